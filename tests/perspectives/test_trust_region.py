import numpy as np
import pytest
import scipy.optimize

from ntkng.families import Bernoulli, Gaussian, Poisson, Softmax
from ntkng.function_space_flow import Damped, FunctionSpaceFlow
from ntkng.perspectives import (
    damped_step,
    kl_ball_step,
    kl_divergence,
    mode_rates,
    step_length,
    trust_region_step,
)

P = 5


def problem(seed=0, lowest=0.2):
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(P, P)))[0]
    return (q * np.linspace(lowest, 3, P)) @ q.T, rng.normal(size=P)


@pytest.mark.parametrize("lowest", [0.2, -1.0])
@pytest.mark.parametrize("radius", [0.05, 0.4])
def test_trust_region_matches_a_constrained_optimiser(lowest, radius):
    b, g = problem(lowest=lowest)
    step, damping = trust_region_step(b, g, radius)

    def value(d):
        return g @ d + 0.5 * d @ b @ d

    found = scipy.optimize.minimize(
        value, -radius * g / np.linalg.norm(g), jac=lambda d: g + b @ d, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda d: radius**2 - d @ d, "jac": lambda d: -2 * d},
        options={"ftol": 1e-15, "maxiter": 500},
    )  # fmt: skip
    assert np.linalg.norm(step) == pytest.approx(radius, rel=1e-10)
    assert value(step) == pytest.approx(found.fun, rel=1e-8)
    np.testing.assert_allclose(step, found.x, atol=1e-6)
    np.testing.assert_allclose((b + damping * np.eye(P)) @ step, -g, atol=1e-12)


def test_inside_the_ball_there_is_no_damping():
    b, g = problem()
    step, damping = trust_region_step(b, g, 1e3)
    assert damping == 0
    np.testing.assert_allclose(step, -np.linalg.solve(b, g), rtol=1e-12)


def test_step_length_decreases():
    b, g = problem()
    lengths = [step_length(b, g, lam) for lam in np.logspace(-3, 3, 30)]
    assert np.all(np.diff(lengths) < 0)
    np.testing.assert_allclose(damped_step(b, g, 0.3), -np.linalg.solve(b + 0.3 * np.eye(P), g), rtol=1e-12)


def test_kl_step_is_the_steepest_in_its_ball():
    f, g = problem()
    step = kl_ball_step(f, g, 1e-2)
    assert 0.5 * step @ f @ step == pytest.approx(1e-2, rel=1e-12)
    root = np.linalg.cholesky(np.linalg.inv(f)).T
    others = np.random.default_rng(1).normal(size=(500, P))
    others = (others / np.linalg.norm(others, axis=1, keepdims=True) * np.sqrt(2e-2)) @ root
    assert np.all(others @ g > step @ g)


@pytest.mark.parametrize("family", [Gaussian(), Bernoulli(), Softmax(), Poisson()])
def test_kl_is_the_sum_over_outcomes(family):
    rng = np.random.default_rng(0)
    f, other = rng.normal(size=(2, 3, 2))
    kl = kl_divergence(family, f, other)
    p, q = family.mean(f), family.mean(other)
    direct = {
        Gaussian: lambda: 0.5 * (p - q) ** 2,
        Bernoulli: lambda: p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)),
        Softmax: lambda: p * np.log(p / q),
        Poisson: lambda: p * np.log(p / q) - p + q,
    }[type(family)]()
    assert kl == pytest.approx(direct.sum() / 3, rel=1e-12)


def test_mode_rates_are_those_of_the_dense_operator_and_of_the_flow():
    rng = np.random.default_rng(0)
    n, lam = 4, 0.3
    j = rng.normal(size=(n, 7))
    dense = j @ np.linalg.solve(j.T @ j + lam * np.eye(7), j.T)
    values, modes = np.linalg.eigh(j @ j.T)
    np.testing.assert_allclose(modes.T @ dense @ modes, np.diag(mode_rates(values, lam)), atol=1e-12)
    f0 = rng.normal(size=(n, 1))
    flow = FunctionSpaceFlow(Gaussian(), Damped(lam / n, j @ j.T), f0, np.zeros((n, 1)))
    late = modes.T @ flow.logit_path(2.0)[:, 0]
    np.testing.assert_allclose(late, np.exp(-2 * mode_rates(values, lam)) * (modes.T @ f0[:, 0]), rtol=1e-10)


def test_bad_input_is_refused():
    b, g = problem()
    with pytest.raises(ValueError, match="radius"):
        trust_region_step(b, g, 0.0)
    with pytest.raises(ValueError, match="gradient is zero"):
        trust_region_step(b, np.zeros(P), 1.0)
    with pytest.raises(ValueError, match="hard case"):
        trust_region_step(np.diag([-1.0, 1.0]), np.array([0.0, 1.0]), 2.0)
    with pytest.raises(ValueError, match="positive definite"):
        damped_step(-b, g, 0.1)
    with pytest.raises(ValueError, match="KL ball"):
        kl_ball_step(b, g, -1.0)
    with pytest.raises(ValueError, match="positive definite"):
        kl_ball_step(-b, g, 1.0)
    with pytest.raises(ValueError, match="eigenvalues"):
        mode_rates(np.array([0.0, 1.0]), 0.0)
