"""Flows from starts far away, already there, or at a saddle; confident samples; lengths at the ends of the floats."""

import mpmath
import numpy as np
import pytest

from ntkng.families import Bernoulli
from ntkng.inductive_bias import (
    DeepLinear,
    LogisticProblem,
    MatrixCompletion,
    NaturalGradientFlow,
    angle,
    direction_error,
    interpolating_direction,
    interpolating_weights,
    interpolation_cosine,
    l2_max_margin,
    legendre_flow,
    normalised_gradient_flow,
    stationarity_angle,
)


def separable(seed=0, columns=1.0, N=6, d=2):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(N, d)), rng.normal(size=d)
    return LogisticProblem(X * columns, np.sign(X @ w)), w / columns


def by_mpmath(problem, w0, t, guess):
    """Newton's method in 300 digits for `sum_n z_n (r_n(w) - e^{-t} r_n(0)) = 0`."""
    with mpmath.workdps(300):
        Z, w = mpmath.matrix(problem.signed.tolist()), mpmath.matrix(guess.tolist())

        def residuals(w):
            return [1 / (1 + mpmath.exp(m)) for m in Z * w]

        goal = [mpmath.exp(-t) * r for r in residuals(mpmath.matrix(w0.tolist()))]
        for _ in range(30):
            r = residuals(w)
            S = mpmath.diag([v * (1 - v) for v in r])
            step = mpmath.lu_solve(Z.T * S * Z, Z.T * mpmath.matrix([a - b for a, b in zip(r, goal, strict=True)]))
            w += step
            if mpmath.norm(Z * step) < mpmath.mpf(10) ** -25:
                return np.array([float(v) for v in w])
    raise AssertionError("no solution")


@pytest.mark.parametrize("t", [1e-9, 0.5, 3.0])
@pytest.mark.parametrize("start", [-300.0, -20.0, 30.0, 150.0])
def test_the_legendre_form_from_far_starts(start, t):
    problem, w_star = separable()
    w0 = start * w_star
    found = legendre_flow(problem, w0, [t])[0]
    right = by_mpmath(problem, w0, t, found)
    assert np.abs(problem.X @ (found - right)).max() < 1e-12 * np.abs(problem.X @ right).max()


def test_the_legendre_form_in_any_units_and_late():
    for columns, t in (([1e8, 1e-8], 2.0), ([1.0, 1.0], 300.0)):
        problem, w_star = separable(1, np.array(columns))
        found = legendre_flow(problem, w_star, [t, 0.0])
        right = by_mpmath(problem, w_star, t, found[0])
        assert np.abs(problem.X @ (found[0] - right)).max() < 1e-12 * np.abs(problem.X @ right).max()
        np.testing.assert_array_equal(found[1], w_star)
    with pytest.raises(RuntimeError, match="float64"):
        legendre_flow(problem, -1e6 * w_star, [1.0])


def test_a_start_beyond_the_margin_is_the_whole_path():
    problem, _ = separable(N=12, d=3)
    start = 2 * l2_max_margin(problem)
    path = normalised_gradient_flow(problem, DeepLinear((3, 1)), start, margin=1.0)
    np.testing.assert_array_equal(path.theta, start[None])
    assert path.margin[-1] == pytest.approx(2)
    with pytest.raises(RuntimeError, match="saddle"):
        normalised_gradient_flow(problem, DeepLinear((3, 2, 1)), np.zeros(8))
    with pytest.raises(ValueError, match="theta has 1 NaN"):
        normalised_gradient_flow(problem, DeepLinear((3, 1)), [1, np.nan, 0])


def test_natural_gradient_flow_does_not_cut_off_confident_samples():
    """Independent rows: `mu' = y - mu` of every sample, also of one with the variance `e^{-60}`."""
    X, y = np.array([[1.0, 0, 0.5], [0, 2.0, 0.1]]), np.array([[1.0], [1.0]])
    w = np.linalg.pinv(X) @ [60.0, -1.0]
    flow = NaturalGradientFlow(DeepLinear((3, 1)), Bernoulli(), X, y)
    logit_speed = X @ flow.velocity(w)
    right = [float(1 + mpmath.exp(-60)), float(1 + mpmath.exp(1))]  # (y - mu) / (mu (1 - mu)) = 1 / mu
    np.testing.assert_allclose(logit_speed, right, rtol=1e-12)


def test_interpolation_of_samples_of_any_length():
    X = np.random.default_rng(0).normal(size=(3, 5)) * np.array([[1e9], [1], [1e-9]])
    problem = LogisticProblem(X, [1, -1, 1])
    unit = X / np.linalg.norm(X, axis=1)[:, None]
    right = unit.T @ np.linalg.solve(unit @ unit.T, problem.y / np.linalg.norm(X, axis=1))
    np.testing.assert_allclose(interpolating_direction(problem), right, rtol=1e-11)
    W = interpolating_weights(Bernoulli(), X, problem.targets, np.zeros((5, 1)), [0.7])[0, :, 0]
    margin = np.log(2 * np.exp(0.7) - 1)  # the same for all samples: log(e^t / r(0) - 1), r(0) = 1/2
    np.testing.assert_allclose(W, margin * right, rtol=1e-11)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_angles_of_vectors_of_any_length(scale):
    a, b = scale * np.array([1.0, 0]), np.array([1.0, 1.0])
    assert angle(a, b) == pytest.approx(45, rel=1e-15)
    assert direction_error(a, b) == pytest.approx(0.25, rel=1e-15)
    assert direction_error(scale * np.array([1.0, 1e-9]), a) == pytest.approx(1e-9 / np.pi, rel=1e-12)
    assert stationarity_angle(a, scale * np.eye(2), np.ones(2)) == 0
    for bad in (np.zeros(2), np.array([1, np.nan])):
        with pytest.raises(ValueError, match=r"b has no direction|b has 1 NaN"):
            angle(a, bad)
    with pytest.raises(ValueError, match="vector"):
        angle(a, np.array([[1.0, 0], [0, 0]]))
    with pytest.raises(ValueError, match="gamma has"):
        interpolation_cosine(np.nan)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("widths", [(4, 2, 4), (4, 3, 2, 4), (4, 2, 5, 3)])
def test_balanced_factors_need_the_rank_only(widths, size):
    rng = np.random.default_rng(0)
    network = DeepLinear(widths)
    beta = size * rng.normal(size=(4, 2)) @ rng.normal(size=(2, widths[-1]))
    theta = network.balanced(beta)
    assert np.abs(network.end_to_end(theta) - beta).max() < 1e-14 * np.abs(beta).max() * 20
    assert np.abs(network.imbalance(theta)).max() < 1e-13 * max(np.abs(theta).max() ** 2, 1e-300)
    with pytest.raises(ValueError, match="at least the rank 3"):
        network.balanced(size * rng.normal(size=(4, 3)) @ rng.normal(size=(3, widths[-1])))
    with pytest.raises(ValueError, match="NaN"):
        network.balanced(np.full(beta.shape, np.nan))


def test_completion_with_nothing_to_complete():
    M = np.arange(6.0).reshape(2, 3)
    with pytest.raises(ValueError, match="every entry of M is observed"):
        MatrixCompletion(M, np.ones((2, 3), bool)).unobserved_ratio(M)
    with pytest.raises(ValueError, match="all hidden entries of M are 0"):
        MatrixCompletion(M, M > 0).unobserved_ratio(M)
    with pytest.raises(ValueError, match="shape"):
        MatrixCompletion(M, M > 1).unobserved_ratio(M.T)
    for scale in (1e-200, 1.0, 1e200):
        assert MatrixCompletion(scale * M, M > 1).unobserved_ratio(3 * scale * M) == pytest.approx(2, rel=1e-14)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_completion_is_free_of_units(scale):
    """A rank-1 matrix, all observed: the tangent flow is `W(t) = M + e^{-t} (W(0) - M)` along one line."""
    M = scale * np.outer([1.0, 2], [1, -1, 2])
    path = MatrixCompletion(M, np.ones((2, 3), bool)).tangent_path(3 * M, 1, [1.0])[0]
    np.testing.assert_allclose(path, M * (1 + 2 * np.exp(-1)), rtol=1e-10)
