"""Samples that are fitted to e^-60 move as the law says, beside others that are not."""

import mpmath
import numpy as np
import pytest

from ntkng.families import Bernoulli, Poisson, Softmax
from ntkng.function_space_flow import FunctionSpaceFlow, Projector
from ntkng.inductive_bias import DeepLinear, NaturalGradientFlow


def master_law(f0, y, t):
    """`log mu(t)`, `mu(t) = y + e^{-t} (mu(0) - y)` for softmax, in 300 digits."""
    with mpmath.workdps(300):
        out = []
        for logits, target in zip(f0, y, strict=True):
            p = [mpmath.exp(mpmath.mpf(float(v))) for v in logits]
            p = [v / sum(p) for v in p]
            logs = [mpmath.log(b + mpmath.exp(-t) * (a - b)) for a, b in zip(p, target, strict=True)]
            out.append([float(v - sum(logs) / len(logs)) for v in logs])
    return np.array(out)


F0 = np.array([[60.0, 0, 0], [0, 0, 1.0], [-150, 150, 50]])
Y = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_projector_of_full_rank_is_the_master_law():
    found = FunctionSpaceFlow(Softmax(), Projector(np.eye(9)), F0, Y).logit_path([2.0])[0]
    right = master_law(F0, Y, 2.0)
    np.testing.assert_allclose(found - found.mean(-1, keepdims=True), right, rtol=1e-9)
    f0, y = np.array([[60.0], [-1.0], [200.0]]), np.ones((3, 1))
    found = FunctionSpaceFlow(Bernoulli(), Projector(np.eye(3)), f0, y).logit_path([2.0])[0]
    np.testing.assert_allclose(found, np.log(np.exp(2) * (1 + np.exp(f0)) - 1), rtol=1e-9)
    f0 = np.array([[-2.0], [-1.0], [-90.0]])
    found = FunctionSpaceFlow(Poisson(), Projector(np.eye(3)), f0, 0 * y).logit_path([2.0])[0]
    np.testing.assert_allclose(found, f0 - 2, rtol=1e-9)


def test_a_direction_that_only_a_confident_sample_has():
    """Three samples, two dimensions: `d/dt B^T mu = B^T Lambda f' = -B^T (mu - y)` where the second column only has `e^{-40}`."""
    J = np.array([[1.0, 0], [2.0, 0], [0.5, 1.0]])
    f0, y = np.array([[0.3], [-0.2], [40.0]]), np.array([[1.0], [0.0], [1.0]])
    speed = Projector.onto(J).velocity(Bernoulli(), f0, y)
    left = J.T @ (Bernoulli().variance(f0)[..., 0] * speed)
    right = -J.T @ Bernoulli().residual(f0, y)
    assert left[0, 0] == pytest.approx(right[0, 0], rel=1e-9)
    assert left[1, 0] == pytest.approx(right[1, 0], rel=1e-5)  # rounding of P over e^{-20}


def test_softmax_in_parameters_and_its_variance():
    model, X = DeepLinear((3, 3)), np.eye(3)  # the logits are the parameters, transposed
    speed = NaturalGradientFlow(model, Softmax(), X, Y).velocity(F0.T.ravel()).reshape(3, 3).T
    with mpmath.workdps(300):  # Lambda f' = y - mu: f_c' = (y_c - mu_c) / mu_c up to what all classes share
        right = []
        for logits, target in zip(F0, Y, strict=True):
            p = [mpmath.exp(mpmath.mpf(float(v))) for v in logits]
            ratio = [(b - a / sum(p)) / (a / sum(p)) for a, b in zip(p, target, strict=True)]
            right.append([float(v - sum(ratio) / 3) for v in ratio])
    np.testing.assert_allclose(speed, right, rtol=1e-11)
    with mpmath.workdps(300):
        p = [mpmath.exp(mpmath.mpf(float(v))) for v in F0[0]]
        p = [v / sum(p) for v in p]
        right = [[float((a if i == j else 0) - a * b) for j, b in enumerate(p)] for i, a in enumerate(p)]
    np.testing.assert_allclose(Softmax().variance(F0)[0], right, rtol=1e-13)
