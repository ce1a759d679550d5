"""Closed forms at the ends of their range, against exact rational arithmetic, adaptive quadrature and optimality conditions."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit

from ntkng.perspectives import (
    StochasticQuadratic,
    StreamingLogistic,
    averaged_bias_asymptote,
    averaged_risk,
    constant_step_risk,
    damped_step,
    empirical_fisher_direction,
    kl_ball_step,
    mode_rates,
    power_orbit,
    trust_region_step,
)
from ntkng.reversible.metrics import kernel_cosine, linear_cka, probe_cosine

ONE = np.ones((1, 1))
MODE = StochasticQuadratic(hessian=ONE, noise=ONE, error=np.ones(1), preconditioner=ONE)


@pytest.mark.parametrize("alpha", [1e-17, 1e-8, 1e-4, 1e-2, 0.06, 0.3, 1.0, 1.5, 1.9999, 2 - 1e-9])
@pytest.mark.parametrize("k", [1, 2, 9, 70])
def test_risks_of_small_and_large_steps(alpha, k):
    a = Fraction(alpha)
    powers = [(1 - a) ** m for m in range(2 * k + 1)]
    averaged = averaged_risk(MODE, alpha, [k])
    assert averaged.bias[0] == pytest.approx(float((sum(powers[:k]) / k) ** 2 / 2), rel=1e-12)
    variance = sum((1 - powers[m]) ** 2 for m in range(1, k)) / k**2 / 2
    assert averaged.variance[0] == pytest.approx(float(variance), rel=1e-10, abs=0)
    last = constant_step_risk(MODE, alpha, [k])
    assert last.bias[0] == pytest.approx(float(powers[2 * k] / 2), rel=1e-10, abs=1e-300)
    assert last.variance[0] == pytest.approx(float(a * (1 - powers[2 * k]) / (2 - a) / 2), rel=1e-12, abs=0)


def test_step_numbers_beyond_int64_squares():
    k = 4 * 10**9
    assert averaged_bias_asymptote(MODE, 0.5, [k])[0] == pytest.approx(1 / (2 * float(k) ** 2 * 0.25))
    slow = averaged_risk(MODE, 1e-10, [k])  # k alpha = 0.4: the integral of (1 - e^-u)^2
    expected = quad(lambda u: np.expm1(-u) ** 2, 0, 0.4)[0] / 0.4 / k / 2
    assert slow.variance[0] == pytest.approx(expected, rel=1e-8)
    for wrong in ([1.5], [np.nan], ["3"], [-1]):
        with pytest.raises((ValueError, TypeError), match="steps"):
            averaged_risk(MODE, 0.5, wrong)


@pytest.mark.parametrize("length", [1e-6, 0.1, 1.0, 5.0, 20.0, 1000.0, 1e6])
def test_streaming_fisher_of_any_steepness(length):
    peak = [p for p in (k / length for k in (1, 3, 10, 30)) if p < 12]

    def moment(power):
        def slope(g):
            return g**power * expit(length * g) * expit(-length * g) * np.exp(-g * g / 2) / np.sqrt(2 * np.pi)

        parts = [0.0, *peak, 12.0] if length < 1e3 else [0.0, *[k / length for k in (1, 5, 30, 800)]]
        return 2 * sum(quad(slope, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in itertools.pairwise(parts))

    fisher = StreamingLogistic(np.array([0.0, length])).fisher
    np.testing.assert_allclose(np.diag(fisher), [moment(0), moment(2)], rtol=1e-10)


SYMMETRIC = np.random.default_rng(0).normal(size=(4, 4))


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("small", [1.0, 1e-6, 1e-12, 2e-13, 1e-14])
@pytest.mark.parametrize("lowest", [-1.0, 0.0, 0.3])
def test_trust_region_meets_its_optimality_conditions(small, lowest, scale):
    values, vectors = np.array([lowest, 0.5, 1.0, 2.0]), np.linalg.qr(SYMMETRIC)[0] if small >= 1e-6 else np.eye(4)
    b = scale * (vectors * values) @ vectors.T
    g = vectors @ np.array([small, 1.0, -1.0, 0.5])
    step, lam = trust_region_step((b + b.T) / 2, g, 10.0 / scale)
    length = np.linalg.norm(step * scale) / 10
    assert lam >= 0
    assert length <= 1 + 1e-10
    assert lam == 0 or length == pytest.approx(1, rel=1e-7)
    assert lam / scale >= -lowest - 1e-12
    np.testing.assert_allclose((b + lam * np.eye(4)) @ step, -g, atol=1e-12 * max(1, 10 * lam / scale))


def test_singular_curvature_is_not_the_hard_case():
    j = np.random.default_rng(0).normal(size=(2, 5))
    fisher, gradient = j.T @ j / 2, j.T @ np.ones(2) / 2
    step, lam = trust_region_step(fisher, gradient, 100.0)
    assert lam == 0
    np.testing.assert_allclose(step, -np.linalg.pinv(j) @ np.ones(2), rtol=1e-10)
    short, lam = trust_region_step(fisher, gradient, 0.5)
    assert lam > 0
    assert np.linalg.norm(short) == pytest.approx(0.5)
    step, lam = trust_region_step(np.zeros((3, 3)), np.array([3.0, 0.0, 4.0]), 2.0)
    np.testing.assert_allclose((*step, lam), (-1.2, 0, -1.6, 2.5))
    with pytest.raises(ValueError, match="hard case"):
        trust_region_step(np.diag([-1.0, 1.0]), np.array([0.0, 1.0]), 2.0)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_singularity_is_no_luck_of_rounding(scale):
    """The Fisher of logits is singular along a common shift, whatever sign the eigenvalue 0 is computed with."""
    for logits in np.random.default_rng(0).normal(size=(40, 3)) * 2:
        p = np.exp(logits) / np.exp(logits).sum()
        fisher = scale * (np.diag(p) - np.outer(p, p))
        for step in (
            lambda f=fisher, p=p: kl_ball_step(f, p - [1, 0, 0], 0.01),
            lambda f=fisher, p=p: damped_step(f, p, 0.0),
        ):
            with pytest.raises(ValueError, match="positive definite"):
                step()
    np.testing.assert_allclose(
        damped_step(scale * np.diag([1.0, 1e-10]), np.ones(2), 0.0) * scale, [-1, -1e10], rtol=1e-10
    )


def test_bad_matrices_are_refused():
    with pytest.raises(ValueError, match="symmetric"):
        damped_step(np.array([[1.0, 2.0], [0.0, 1.0]]), np.ones(2), 0.1)
    with pytest.raises(ValueError, match="NaN"):
        trust_region_step(np.full((2, 2), np.nan), np.ones(2), 1.0)
    with pytest.raises(ValueError, match="2 entries"):
        trust_region_step(np.eye(2), np.ones(3), 1.0)
    with pytest.raises(ValueError, match="radius"):
        trust_region_step(np.eye(2), np.ones(2), np.nan)
    with pytest.raises(ValueError, match="one entry for each"):
        empirical_fisher_direction(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ValueError, match="damping"):
        mode_rates(np.array([1.0]), np.nan)
    np.testing.assert_array_equal(mode_rates(np.array([-1e-17, 1.0]), 1.0), [0, 0.5])


def test_orbits_that_land_on_zero_or_leave_the_floats():
    with pytest.raises(ValueError, match="step 1 lands at"):
        power_orbit(1.0, 1.0, 1.0, 3)
    with pytest.raises(ValueError, match="step 1 leaves the range"):
        power_orbit(1e-200, 1.0, 2.0, 3)
    assert power_orbit(1.0, 1.0, 1.0, 1)[-1] == 0


@pytest.mark.parametrize("scale", [1e-250, 1e-90, 1e-20, 1e80, 1e200])
def test_alignments_do_not_depend_on_scale(scale):
    rng = np.random.default_rng(0)
    x, kernel, probe = rng.normal(size=(20, 5)), np.diag([1.0, 2.0]), np.array([3.0, 1.0])
    other = np.array([[2.0, 1.0], [1.0, 3.0]])
    assert linear_cka(scale * x, x + 7) == pytest.approx(1)
    assert kernel_cosine(scale * kernel, other) == pytest.approx(8 / 5**0.5 / 15**0.5)
    assert probe_cosine(scale * kernel, other, probe / scale) == pytest.approx(33 / 13**0.5 / 85**0.5)


def test_alignments_with_nothing_are_refused():
    for wrong in (
        lambda: kernel_cosine(np.zeros((2, 2)), np.eye(2)),
        lambda: probe_cosine(np.eye(2), np.eye(2), np.zeros(2)),
    ):
        with pytest.raises(ValueError, match="alignment with 0"):
            wrong()
    with pytest.raises(ValueError, match="constant"):
        linear_cka(np.full((7, 2), 0.1), np.ones((7, 2)))
    with pytest.raises(ValueError, match="NaN"):
        kernel_cosine(np.full((2, 2), np.nan), np.eye(2))
