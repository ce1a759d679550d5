import jax.numpy as jnp
import numpy as np
import pytest

from ntkng.families import Bernoulli, Softmax
from ntkng.inductive_bias import (
    DifferentiableModel,
    NaturalGradientFlow,
    direction_error,
    interpolation_cosine,
    interpolation_error,
)

T = np.array([0.0, 0.5, 1.5])


def perceptron(d, h, C=1):
    def apply(theta, X):
        W, b, a = jnp.split(theta, [d * h, d * h + h])
        return jnp.tanh(X @ W.reshape(d, h) + b) @ a.reshape(h, C)

    return DifferentiableModel(apply), d * h + h + h * C


@pytest.mark.parametrize(("family", "C"), [(Bernoulli(), 1), (Softmax(), 3)])
def test_over_parametrised_network(family, C):
    model, P = perceptron(3, 14, C)
    rng = np.random.default_rng(0)
    X, extra, theta = rng.normal(size=(4, 3)), rng.normal(size=(3, 3)), rng.normal(size=P)
    y = np.eye(C)[rng.integers(0, C, 4)] if C > 1 else np.array([[0.0], [1], [1], [0]])
    frozen = NaturalGradientFlow(model, family, X, y, extra=extra)
    free = NaturalGradientFlow(model, family, X, y)
    start = family.residual(model.outputs(theta, X), y)
    for flow in (frozen, free):
        path = flow.path(theta, T)
        residual = family.residual(flow.outputs(path, X), y)
        np.testing.assert_allclose(residual, np.exp(-T)[:, None, None] * start, atol=1e-9)
        moved = np.abs(np.diff(family.mean(flow.outputs(path, extra)), axis=0)).max()
        assert (moved < 1e-8) == (flow is frozen)


def test_too_few_parameters_break_the_law():
    model, P = perceptron(4, 1)
    rng = np.random.default_rng(1)
    X, theta = rng.normal(size=(8, 4)), rng.normal(size=P)
    y = rng.integers(0, 2, (8, 1)).astype(float)
    flow = NaturalGradientFlow(model, Bernoulli(), X, y, evaluations=20_000)
    t = np.array([0.0, 0.1])
    residual = Bernoulli().residual(flow.outputs(flow.path(theta, t), X), y)
    assert np.abs(residual[1] - np.exp(-0.1) * residual[0]).max() > 5e-3


def test_jacobian_is_float64():
    model, P = perceptron(3, 2)
    rng = np.random.default_rng(0)
    theta, X = rng.normal(size=P), rng.normal(size=(2, 3))
    J = model.jacobian(theta, X)
    assert J.dtype == np.float64
    W, b, a = np.split(theta, [6, 8])
    hidden = np.tanh(X @ W.reshape(3, 2) + b)
    np.testing.assert_allclose(J[:, 8:], hidden, atol=1e-14)
    np.testing.assert_allclose(J[:, 6:8], (1 - hidden**2) * a, atol=1e-14)


@pytest.mark.parametrize(("gamma", "expected"), [(0.3, 0.3667), (0.6, 0.3344), (0.8, 0.3494), (0.95, 0.4108)])
def test_published_values_of_the_test_error(gamma, expected):
    assert interpolation_error(gamma) == pytest.approx(expected, abs=6e-5)


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.3, 0.8])
def test_test_error_against_simulation(gamma):
    d, errors = 200, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X, w = rng.normal(size=(int(gamma * d), d)), rng.normal(size=d)
        errors.append(direction_error(np.linalg.pinv(X) @ np.sign(X @ w), w))
    assert np.mean(errors) == pytest.approx(float(interpolation_error(gamma)), abs=4 * np.std(errors) / np.sqrt(60))


def test_test_error_tends_to_one_half_at_the_peak():
    assert interpolation_error(1 - 1e-9) == pytest.approx(0.5, abs=1e-4)
    errors = interpolation_error(np.array([0.6, 0.8, 0.95]))
    assert (np.diff(errors) > 0).all()
    assert interpolation_cosine(0.5, 1.0) == pytest.approx(np.sqrt(0.5))


def test_direction_error():
    assert direction_error(np.array([1.0, 0]), np.array([1.0, 1.0])) == pytest.approx(0.25)
    rng = np.random.default_rng(0)
    x, w, v = rng.normal(size=(200_000, 3)), rng.normal(size=3), rng.normal(size=3)
    assert direction_error(w, v) == pytest.approx(np.mean(np.sign(x @ w) != np.sign(x @ v)), abs=5e-3)


@pytest.mark.parametrize("arguments", [(1.0,), (0.0,), (0.5, 0.0), (0.5, 1.5)])
def test_outside_the_range_of_the_formula(arguments):
    with pytest.raises(ValueError, match=r"gamma|alignment"):
        interpolation_cosine(*arguments)
