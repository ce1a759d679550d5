import numpy as np
import pytest

from ntkng.precision import in_float64
from ntkng.reversible import solve_truncated


@pytest.mark.parametrize("shape", [(6, 15), (15, 6), (8, 8)])
@pytest.mark.parametrize("rtol", [1e-12, 1e-2, 0.4])
def test_against_numpy(shape, rtol):
    """Singular values from 1 down to 1e-3 (1e-8 for the small cut): both decompositions, tall and wide."""
    rng = np.random.default_rng(1)
    size = min(shape)
    u = np.linalg.qr(rng.standard_normal((shape[0], size)))[0]
    v = np.linalg.qr(rng.standard_normal((shape[1], size)))[0]
    s = np.geomspace(1, 1e-8 if rtol < 1e-3 else 1e-3, size)
    a, e = (u * s) @ v.T, rng.standard_normal((shape[0], 3))
    x, rank = in_float64(lambda: solve_truncated(np.asarray(a), e, rtol))()
    kept = s > rtol
    expected = (v[:, kept] / s[kept]) @ (u[:, kept].T @ e)
    assert rank == kept.sum()
    accuracy = 1e-7 if rtol < 1e-3 else 1e-9
    np.testing.assert_allclose(x, expected, rtol=0, atol=accuracy * np.abs(expected).max())


def test_absolute_cut():
    a = np.diag([1.0, 0.1, 0.001])
    x, rank = in_float64(lambda: solve_truncated(a, np.ones((3, 1)), 1e-12, atol=0.01))()
    assert rank == 2
    np.testing.assert_allclose(x.ravel(), [1, 10, 0], atol=1e-12)


def test_zero_matrix():
    x, rank = in_float64(lambda: solve_truncated(np.zeros((4, 6)), np.ones((4, 2)), 1e-2))()
    assert rank == 0
    assert (x == 0).all()


@pytest.mark.parametrize(("rtol", "atol"), [(-0.1, 0.0), (1.0, 0.0), (0.1, -1.0)])
def test_bad_cut(rtol, atol):
    with pytest.raises(ValueError, match="expected 0 <= rtol < 1"):
        solve_truncated(np.eye(2), np.eye(2), rtol, atol)
