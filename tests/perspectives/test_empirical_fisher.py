import numpy as np
import pytest

from ntkng.function_space_flow import EmpiricalFisher, FunctionSpaceFlow, Gaussian
from ntkng.perspectives import cycle_amplitude, cycle_multiplier, empirical_fisher_direction, power_orbit


def test_orbit_is_preconditioned_descent():
    orbit = power_orbit(0.7, 0.1, 0.3, 5)
    theta = 0.7
    for expected in orbit:
        assert expected == pytest.approx(theta, rel=1e-14)
        theta -= 0.1 * theta / (theta**2) ** 0.3
    boole = power_orbit(0.7, 0.1, 1.0, 1)[1]
    assert boole == pytest.approx(0.7 - 0.1 / 0.7, rel=1e-15)


def test_true_fisher_converges_geometrically():
    orbit = power_orbit(2.0, 0.1, 0.0, 50)
    np.testing.assert_allclose(orbit, 2.0 * 0.9 ** np.arange(51), rtol=1e-13)


@pytest.mark.parametrize("xi", [0.1, 0.25, 0.4])
def test_small_powers_end_in_the_two_cycle(xi):
    tail = np.abs(power_orbit(np.array([0.3, -2.0]), 0.1, xi, 3000)[-4:])
    np.testing.assert_allclose(tail, cycle_amplitude(0.1, xi), rtol=1e-9)
    wrong = (0.1 / 2) ** (1 / (1.05 * 2 * xi))
    assert np.abs(tail / wrong - 1).min() > 1e-2


@pytest.mark.parametrize("xi", [0.1, 0.4, 0.7, 1.0])
def test_multiplier_is_the_derivative_of_the_squared_map(xi):
    r = cycle_amplitude(0.3, xi)
    step = 1e-5 * r
    ends = power_orbit(np.array([r - step, r + step]), 0.3, xi, 2)[2]
    assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(cycle_multiplier(xi), rel=1e-5)


def test_square_root_is_bounded_without_convergence():
    orbit = np.abs(power_orbit(np.array([0.31, 1.7]), 0.1, 0.5, 500))
    assert orbit[-100:].max() <= 0.1
    assert np.abs(np.diff(orbit[-100::2], axis=0)).max() < 1e-12
    assert orbit[-2:].max() > 0.05


def test_empirical_fisher_wanders():
    orbit = np.abs(power_orbit(0.31, 0.1, 1.0, 20_000))
    assert orbit.max() > 10
    assert orbit[10_000:].max() > 10


def test_direction_is_the_dense_one_and_moves_each_output_by_its_inverse_residual():
    rng = np.random.default_rng(0)
    jacobian, residual = rng.normal(size=(4, 9)), rng.uniform(0.5, 2, size=4) * [1, -1, 1, -1]
    g = residual[:, None] * jacobian
    dense = -np.linalg.pinv(g.T @ g / 4, rcond=1e-10) @ g.mean(axis=0)
    direction = empirical_fisher_direction(jacobian, residual)
    np.testing.assert_allclose(direction, dense, atol=1e-10)
    np.testing.assert_allclose(jacobian @ direction, -1 / residual, rtol=1e-10)
    # the same operator as in the function-space flow
    flow = FunctionSpaceFlow(Gaussian(), EmpiricalFisher(), residual[:, None], np.zeros((4, 1)))
    e = flow.residual_path(np.array([0.1]))[0, :, 0]
    np.testing.assert_allclose(e**2, residual**2 - 0.2, rtol=1e-12)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="alpha"):
        power_orbit(1.0, -0.1, 1.0, 3)
    with pytest.raises(ValueError, match="singular at theta = 0"):
        power_orbit(0.0, 0.1, 1.0, 3)
    with pytest.raises(ValueError, match="xi"):
        cycle_amplitude(0.1, 0.0)
    with pytest.raises(ValueError, match="xi"):
        cycle_multiplier(-1.0)
    with pytest.raises(ValueError, match="full row rank"):
        empirical_fisher_direction(np.ones((3, 2)), np.ones(3))
    with pytest.raises(ValueError, match="full row rank"):
        empirical_fisher_direction(np.eye(3), np.array([1.0, 0.0, 1.0]))
