import dataclasses

import numpy as np
import pytest

from ntkng.perspectives.constant_step import (
    averaged_asymptote,
    averaged_bias_asymptote,
    averaged_bias_bounds,
    averaged_risk,
    constant_step_floor,
    constant_step_risk,
)
from ntkng.perspectives.harmonic_step import (
    efficient_risk,
    harmonic_step_constant,
    harmonic_step_exponent,
    harmonic_step_risk,
)
from ntkng.perspectives.quadratic import StochasticQuadratic
from ntkng.perspectives.simulation import agreement, simulate_quadratic

N = 4


def spd(rng, n=N, low=0.3, high=2.0):
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return (q * np.linspace(low, high, n)) @ q.T


@pytest.fixture
def problem():
    rng = np.random.default_rng(3)
    return StochasticQuadratic(spd(rng), spd(rng, low=0.1), rng.normal(size=N), spd(rng, low=0.8, high=1.4))


def dense_moments(problem, step_size, steps, averaged=False):
    """Oracle: mean and covariance of (theta, sum of iterates) propagated as dense matrices."""
    n = problem.error.size
    identity, zero = np.eye(n), np.zeros((n, n))
    inverse = np.linalg.inv(problem.preconditioner)
    mean, covariance = np.concatenate([problem.error, np.zeros(n)]), np.zeros((2 * n, 2 * n))
    out = {}
    for k in range(max(steps) + 1):
        if k in steps:
            if averaged:
                m, c = mean[n:] / max(k, 1), covariance[n:, n:] / max(k, 1) ** 2
            else:
                m, c = mean[:n], covariance[:n, :n]
            out[k] = (0.5 * m @ problem.hessian @ m, 0.5 * np.trace(problem.hessian @ c))
        alpha = step_size(k)
        transition = np.block([[identity - alpha * inverse @ problem.hessian, zero], [identity, identity]])
        push = np.vstack([-alpha * inverse, zero])
        mean = transition @ mean
        covariance = transition @ covariance @ transition.T + push @ problem.noise @ push.T
    return np.array([out[k] for k in steps])


@pytest.mark.parametrize("alpha", [0.3, 1.1])
def test_constant_step_matches_dense_moments(problem, alpha):
    steps = [0, 1, 2, 7, 40]
    got = constant_step_risk(problem, alpha, steps)
    oracle = dense_moments(problem, lambda k: alpha, steps)
    np.testing.assert_allclose(np.stack([got.bias, got.variance], 1), oracle, rtol=1e-11, atol=1e-14)


def test_floor_is_the_limit_and_has_its_newton_form(problem):
    alpha = 0.4
    late = constant_step_risk(problem, alpha, [2000]).total[0]
    assert late == pytest.approx(constant_step_floor(problem, alpha), rel=1e-12)
    newton = problem.with_preconditioner(problem.hessian)
    formula = alpha / (2 * (2 - alpha)) * np.trace(np.linalg.inv(problem.hessian) @ problem.noise)
    assert constant_step_floor(newton, alpha) == pytest.approx(formula, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_average_matches_dense_moments(problem, alpha):
    steps = [1, 2, 3, 10, 60]
    got = averaged_risk(problem, alpha, steps)
    oracle = dense_moments(problem, lambda k: alpha, steps, averaged=True)
    np.testing.assert_allclose(np.stack([got.bias, got.variance], 1), oracle, rtol=1e-10, atol=1e-14)


def test_average_forgets_the_preconditioner_but_not_in_its_bias(problem):
    k = [10**6]
    for b in (problem.hessian, np.eye(N), problem.preconditioner):
        other = problem.with_preconditioner(b)
        risk = averaged_risk(other, 0.3, k)
        assert risk.variance[0] == pytest.approx(averaged_asymptote(other, k)[0], rel=1e-4)
        assert risk.bias[0] == pytest.approx(averaged_bias_asymptote(other, 0.3, k)[0], rel=1e-9)


def test_bias_bounds_hold_and_are_tight(problem):
    k = np.arange(1, 400)
    alpha = 0.999 / problem.modes.lam[-1]
    ratio = averaged_risk(problem, alpha, k).bias / averaged_bias_bounds(problem, alpha, k).min(axis=0)
    assert ratio.max() <= 1 + 1e-12
    assert ratio.max() > 0.9
    with pytest.raises(ValueError, match="alpha lam_max"):
        averaged_bias_bounds(problem, 1.2 / problem.modes.lam[-1], k)


@pytest.mark.parametrize("a", [1.0, 4.5])
def test_efficient_risk_matches_dense_moments(problem, a):
    newton = problem.with_preconditioner(problem.hessian)
    steps = [1, 2, 9, 50]
    got = efficient_risk(newton, a, steps)
    oracle = dense_moments(newton, lambda k: 1 / (k + a), steps)
    np.testing.assert_allclose(np.stack([got.bias, got.variance], 1), oracle, rtol=1e-11, atol=1e-15)
    recursion = harmonic_step_risk(newton, 1.0, a, steps)
    np.testing.assert_allclose(got.total, recursion.total, rtol=1e-12)


def test_harmonic_risk_matches_dense_moments(problem):
    steps = [0, 1, 5, 30]
    got = harmonic_step_risk(problem, 1.7, 2.5, steps)
    oracle = dense_moments(problem, lambda k: 1.7 / (k + 2.5), steps)
    np.testing.assert_allclose(np.stack([got.bias, got.variance], 1), oracle, rtol=1e-11, atol=1e-15)


def test_harmonic_constant_and_exponent(problem):
    c = 1.5 / problem.modes.lam[0]
    k = 40_000
    assert k * harmonic_step_risk(problem, c, 5.0, [k]).total[0] == pytest.approx(
        harmonic_step_constant(problem, c), rel=1e-3
    )
    assert harmonic_step_constant(problem, c) > problem.noise_to_curvature / 2
    slow = 0.2 / problem.modes.lam[0]
    far = dataclasses.replace(problem, error=100 * problem.error)
    early, late = harmonic_step_risk(far, slow, 5.0, [10_000, 40_000]).total
    slope = np.log(late / early) / np.log(4)
    assert slope == pytest.approx(-harmonic_step_exponent(problem, slow), abs=0.01)
    assert harmonic_step_exponent(problem, slow) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="2 c lam_min"):
        harmonic_step_constant(problem, slow)
    with pytest.raises(ValueError, match="log"):
        harmonic_step_exponent(problem, 0.5 / problem.modes.lam[0])


def test_monte_carlo_agrees_and_a_wrong_theory_does_not(problem):
    alpha, steps = 0.5, [2, 10, 100]
    rng = np.random.default_rng(0)
    samples = simulate_quadratic(problem, lambda k: alpha, steps, runs=4000, rng=rng)
    for drawn, risk in ((samples.risk, constant_step_risk), (samples.averaged, averaged_risk)):
        scores, p = agreement(drawn, risk(problem, alpha, steps).total)
        assert np.abs(scores).max() < 3
        assert p > 1e-3
        assert agreement(drawn, 1.05 * risk(problem, alpha, steps).total)[1] < 1e-3
    # the risk of the average hardly knows the step size: only that of the last iterate can refute a wrong one
    assert agreement(samples.risk, constant_step_risk(problem, 1.05 * alpha, steps).total)[1] < 1e-3
    crossed = constant_step_risk(problem.with_preconditioner(problem.hessian), alpha, steps).total
    assert agreement(samples.risk, crossed)[1] < 1e-3


def test_bad_input_is_refused(problem):
    with pytest.raises(ValueError, match="0 < alpha lam_i < 2"):
        constant_step_risk(problem, 2.1 / problem.modes.lam[-1], [1])
    with pytest.raises(ValueError, match="0 < alpha lam_i < 2"):
        constant_step_floor(problem, 0.0)
    with pytest.raises(ValueError, match="steps must be"):
        averaged_risk(problem, 0.1, [0])
    with pytest.raises(ValueError, match="B = H"):
        efficient_risk(problem, 1.0, [1])
    with pytest.raises(ValueError, match="at least 1"):
        efficient_risk(problem.with_preconditioner(problem.hessian), 0.5, [1])
    with pytest.raises(ValueError, match="c > 0"):
        harmonic_step_risk(problem, -1.0, 1.0, [1])
    with pytest.raises(ValueError, match="symmetric"):
        problem.with_preconditioner(np.triu(problem.hessian))
    with pytest.raises(ValueError, match="positive definite"):
        problem.with_preconditioner(-problem.hessian)
    with pytest.raises(ValueError, match="semi-definite"):
        StochasticQuadratic(problem.hessian, -problem.noise, problem.error, problem.hessian)
    with pytest.raises(ValueError, match="shape"):
        problem.with_preconditioner(np.eye(N + 1))
    with pytest.raises(ValueError, match="does not vary"):
        agreement(np.ones((5, 1)), np.ones(1))
    with pytest.raises(ValueError, match="runs"):
        simulate_quadratic(problem, lambda k: 0.1, [1], runs=1, rng=np.random.default_rng(0))
