"""Kernels, projectors and updates from outside: NaN, units, asymmetry, the ends of the floats."""

import mpmath
import numpy as np
import pytest

from ntkng.flow_operators import identity_metric_margin
from ntkng.function_space_flow import (
    Damped,
    EmpiricalFisher,
    FunctionSpaceFlow,
    Gaussian,
    IdentityMetric,
    Poisson,
    Projector,
    check_isotropy,
    transfer_operator,
)
from ntkng.mini_batch import kaczmarz_rate, shuffled_batches
from ntkng.ode import integrate

NAN = np.full((2, 2), np.nan)
K = np.array([[2.0, 1.0], [1.0, 3.0]])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Projector(NAN), "P has 4 NaN"),
        (lambda: Projector.onto(NAN), "J has 4 NaN"),
        (lambda: Projector(1e-9 * np.eye(2)), "idempotent"),
        (lambda: Damped(1.0, NAN), "theta has 4 NaN"),
        (lambda: Damped(1.0, -K), "positive semi-definite"),
        (lambda: Damped(1.0, 1e-12 * np.array([[2.0, 1.0], [1.1, 3.0]])), "symmetric"),
        (lambda: FunctionSpaceFlow(Gaussian(), EmpiricalFisher(NAN), np.ones((1, 2)), np.zeros((1, 2))), "theta has 4"),
        (lambda: transfer_operator([K], [NAN]), "Theta has 4 NaN"),
        (lambda: transfer_operator([NAN], [K]), "has 4 NaN"),
        (lambda: transfer_operator([np.ones((1, 3))], [K]), "do not fit"),
        (lambda: transfer_operator([K], [np.ones((2, 2))]), "invertible"),
        (lambda: check_isotropy(lambda e: np.nan * e, K), "NaN"),
        (lambda: check_isotropy(lambda e: e, K, 0.0), "alpha must be finite and not 0"),
        (lambda: check_isotropy(lambda e: e, K, variance=np.diag([1.0, -1.0])), "semi-definite"),
        (lambda: check_isotropy(lambda e: e, K, variance=np.eye(3)), "variance must have shape"),
        (lambda: kaczmarz_rate(NAN, [[0, 1]]), "theta has 4 NaN"),
        (lambda: kaczmarz_rate(np.array([[2.0, 99.0], [1.0, 3.0]]), [[0], [1]]), "symmetric"),
        (lambda: kaczmarz_rate(np.ones((2, 2)), [[0], [1]]), "positive definite"),
        (lambda: kaczmarz_rate(-K, [[0], [1]]), "positive definite"),
        (lambda: kaczmarz_rate(K, [[0], [2]]), "indices of the 2 samples"),
        (lambda: kaczmarz_rate(K, [[0], [-1]]), "indices of the 2 samples"),
        (lambda: integrate(lambda x: -x, np.array([1.0, np.nan]), [1.0]), "initial state"),
    ],
)
def test_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_velocity_that_is_not_finite_ends_at_once():
    with pytest.raises(RuntimeError, match="velocity at t = 0"):
        integrate(lambda x: np.nan * x, np.ones(2), [1.0])


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e9, 1e150])
def test_rank_of_an_update_of_any_size(scale):
    found = check_isotropy(lambda e: scale * e, np.eye(3))
    assert found.rank == 3
    assert found.deviation < 1e-14
    flat = check_isotropy(lambda e: scale * np.array([1.0, 0, 0]) * e, np.eye(3), alpha=scale)
    assert flat.rank == 1
    assert flat.deviation == pytest.approx(1)


def test_kernels_of_samples_of_very_different_lengths():
    """A condition number of 1e24 that says nothing: with rows of one length it is 2."""
    lengths = np.array([1e-6, 1.0, 1e6])
    kernel = np.eye(3) + 0.3
    scaled, star = kernel * np.outer(lengths, lengths), np.ones((1, 3)) * lengths
    np.testing.assert_allclose(
        transfer_operator([star], [scaled]), np.linalg.solve(kernel, np.ones(3))[None] / lengths, rtol=1e-12
    )
    batches = shuffled_batches(3, 1)
    assert kaczmarz_rate(scaled, batches) == pytest.approx(kaczmarz_rate(kernel, batches), rel=1e-10)
    repeated = np.array([[0, 0], [1, 1], [2, 2]])  # a sample twice in a batch is in it once
    assert kaczmarz_rate(kernel, repeated) == pytest.approx(kaczmarz_rate(kernel, [[0], [1], [2]]), rel=1e-14)


def test_closed_forms_at_the_ends_of_the_floats():
    f0, y = np.array([[-800.0], [2.0]]), np.array([[3.0], [0.0]])
    path = FunctionSpaceFlow(Poisson(), IdentityMetric(), f0, y).logit_path([0.0, 0.5, 400.0])[..., 0]
    with mpmath.workdps(400):
        right = [
            [-mpmath.log(1 / mpmath.mpf(3) + (mpmath.exp(800) - 1 / mpmath.mpf(3)) * mpmath.exp(-3 * mpmath.mpf(t))),
             -mpmath.log(mpmath.exp(-2) + mpmath.mpf(t))] for t in (0.0, 0.5, 400.0)
        ]  # fmt: skip
    np.testing.assert_allclose(path, np.array(right, dtype=float), rtol=1e-13, atol=1e-13)
    e = 1e10
    end = e**2 / 2
    flow = FunctionSpaceFlow(Gaussian(), EmpiricalFisher(), np.array([[e]]), np.zeros((1, 1)))
    t = end * (1 - 1e-14)
    with mpmath.workdps(50):
        right = float(mpmath.sqrt(mpmath.mpf(e) ** 2 - 2 * mpmath.mpf(t)))
    assert flow.logit_path(t).item() == pytest.approx(right, rel=1e-2)
    with mpmath.workdps(50):
        c = mpmath.mpf(30) + 7 + mpmath.exp(7)
        m = float(mpmath.log(mpmath.lambertw(mpmath.exp(c)).real))
    assert identity_metric_margin(7.0, 30.0) == pytest.approx(m, rel=1e-14)
