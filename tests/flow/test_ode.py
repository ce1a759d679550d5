import numpy as np
import pytest

from ntkng.ode import integrate, validate_times


def test_unsorted_and_repeated_times():
    t = np.array([2.0, 0.0, 1.0, 1.0])
    path = integrate(lambda x: -x, np.array([1.0, 2.0]), t)
    np.testing.assert_allclose(path, np.exp(-t)[:, None] * [1, 2], rtol=1e-11)


def test_time_zero_only():
    np.testing.assert_array_equal(integrate(lambda x: x, np.ones(2), np.zeros(3)), np.ones((3, 2)))


@pytest.mark.parametrize("t", [-1.0, np.nan, [], [[1.0]]])
def test_bad_times(t):
    with pytest.raises(ValueError, match="times"):
        validate_times(t)


def test_a_singularity_is_an_error():
    with pytest.raises(RuntimeError, match="singular"):
        integrate(lambda x: x**2, np.ones(1), np.array([2.0]))


def test_stiff_systems_do_not_run_for_ever():
    with pytest.raises(RuntimeError, match="100 velocities"):
        integrate(lambda x: -1e6 * x, np.ones(1), np.array([1.0]), evaluations=100)
