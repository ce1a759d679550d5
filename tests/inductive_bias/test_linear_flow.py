"""Closed forms of natural gradient flow of a linear predictor, against flows with a dense Fisher matrix."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from ntkng.families import Bernoulli, Gaussian, Poisson, Softmax
from ntkng.inductive_bias import (
    LogisticProblem,
    angle,
    gradient_law,
    interpolating_direction,
    interpolating_flow,
    interpolating_weights,
    legendre_flow,
)

T = np.array([0.0, 0.7, 2.0, 4.0])


def problem(N, d, seed=0, separable=True):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, d))
    y = np.sign(X @ rng.normal(size=d)) if separable else rng.choice([-1.0, 1.0], size=N)
    return LogisticProblem(X, y), rng.normal(size=d)


def dense_flow(p, w0, t=T):
    """`w' = -F^+ g`, everything written out."""

    def velocity(_, w):
        f = p.X @ w
        s = 1 / (1 + np.exp(-f))
        F = np.einsum("n,ni,nj->ij", s * (1 - s), p.X, p.X) / len(f)
        return -np.linalg.lstsq(F, p.X.T @ (s - (p.y > 0)) / len(f), rcond=1e-10)[0]

    return solve_ivp(velocity, (0, t[-1]), w0, "DOP853", t, rtol=1e-12, atol=1e-13).y.T


def test_problem_quantities():
    p, w = problem(6, 3)
    eps = 1e-5 * np.eye(3)
    slope = [(p.loss(w + e) - p.loss(w - e)) / 2e-5 for e in eps]
    np.testing.assert_allclose(p.gradient(w), slope, atol=1e-9)
    hessian = np.stack([(p.gradient(w + e) - p.gradient(w - e)) / 2e-5 for e in eps])
    np.testing.assert_allclose(p.fisher(w), hessian, atol=1e-9)
    np.testing.assert_allclose(p.loss(w), np.mean(np.log1p(np.exp(-p.y * (p.X @ w)))), rtol=1e-13)
    assert p.separable
    assert not problem(30, 3, separable=False)[0].separable


@pytest.mark.parametrize(("N", "d"), [(5, 8), (6, 6)])
def test_interpolating_flow(N, d):
    p, w0 = problem(N, d)
    w = interpolating_flow(p, w0, T)
    np.testing.assert_allclose(w, dense_flow(p, w0), atol=1e-9)
    r0 = p.residuals(w0)
    np.testing.assert_allclose(p.residuals(w) / r0, np.exp(-T)[:, None] * np.ones(N), rtol=1e-12)
    np.testing.assert_allclose(p.margins(w), np.log(np.exp(T)[:, None] / r0 - 1), atol=1e-12)


def test_interpolating_direction_is_reached_like_one_over_t_from_anywhere():
    p, w0 = problem(5, 8)
    u = interpolating_direction(p)
    np.testing.assert_allclose(p.margins(u), 1, atol=1e-12)
    t = np.array([50.0, 500.0, 5000.0])
    for start in (w0, -3 * w0):
        angles = np.asarray(angle(interpolating_flow(p, start, t), u))
        np.testing.assert_allclose(angles[1:] / angles[:-1], 0.1, atol=0.01)


@pytest.mark.parametrize("family", [Gaussian(), Bernoulli(), Softmax(), Poisson()])
def test_interpolating_weights_of_every_family(family):
    rng = np.random.default_rng(1)
    N, d, C = 4, 6, 3
    X, W0 = rng.normal(size=(N, d)), 0.4 * rng.normal(size=(d, C))
    y = family.mean(rng.normal(size=(N, C)))

    def velocity(_, w):
        f = X @ w.reshape(d, C)
        F = np.einsum("ni,nab,nj->iajb", X, family.variance(f), X).reshape(d * C, d * C) / N
        return -np.linalg.lstsq(F, (X.T @ (family.mean(f) - y)).ravel() / N, rcond=1e-10)[0]

    path = solve_ivp(velocity, (0, T[-1]), W0.ravel(), "DOP853", T, rtol=1e-11, atol=1e-12).y.T.reshape(-1, d, C)
    np.testing.assert_allclose(interpolating_weights(family, X, y, W0, T), path, atol=1e-8)


@pytest.mark.parametrize("separable", [True, False])
def test_legendre_flow_and_gradient_law(separable):
    p, w0 = problem(15, 4, separable=separable)
    w = legendre_flow(p, w0, T)
    expected = dense_flow(p, w0)
    np.testing.assert_allclose(w, expected, atol=1e-10)
    np.testing.assert_allclose(p.gradient(expected), gradient_law(p, w0, T), atol=1e-11)
    spread = np.log(p.residuals(expected)[-1] / p.residuals(w0))
    assert np.ptp(spread) > 0.1  # N > d: single residuals do not decay alike


def test_legendre_flow_minimises_the_tilted_loss():
    from scipy.optimize import minimize

    p, w0 = problem(12, 3)
    g0 = p.gradient(w0)
    for t, w in zip(T, legendre_flow(p, w0, T), strict=True):
        found = minimize(lambda v, t=t: p.loss(v) - np.exp(-t) * g0 @ v, w, method="BFGS", options={"gtol": 1e-10})
        np.testing.assert_allclose(w, found.x, atol=1e-5)


def test_legendre_flow_goes_to_the_maximum_likelihood_estimate_when_not_separable():
    p, w0 = problem(40, 3, separable=False)
    w = legendre_flow(p, w0, np.array([30.0]))[0]
    np.testing.assert_allclose(p.gradient(w), 0, atol=1e-12)


def test_gradient_law_also_for_dependent_inputs():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 4))
    p, w0 = LogisticProblem(X, rng.choice([-1.0, 1.0], size=9)), rng.normal(size=4)
    np.testing.assert_allclose(p.gradient(dense_flow(p, w0)), gradient_law(p, w0, T), atol=1e-9)


def test_conditions_are_checked():
    wide, w_wide = problem(5, 8)
    tall, w_tall = problem(15, 4)
    with pytest.raises(ValueError, match=r"rank d.*interpolating_flow"):
        legendre_flow(wide, w_wide, T)
    with pytest.raises(ValueError, match=r"rank N.*legendre_flow"):
        interpolating_flow(tall, w_tall, T)
    with pytest.raises(ValueError, match="components"):
        interpolating_flow(wide, w_tall, T)
    with pytest.raises(ValueError, match="-1 or 1"):
        LogisticProblem(wide.X, wide.y * 0)
    with pytest.raises(ValueError, match=r"\[N d\]"):
        LogisticProblem(wide.X, wide.y[:2])
