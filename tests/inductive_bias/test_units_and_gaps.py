"""Margins and limit directions of inputs in any units, with narrow gaps, against rational arithmetic."""

import exact_margins as exact
import numpy as np
import pytest

from ntkng.inductive_bias import LogisticProblem, TiedProgrammeError, asymptote, l1_max_margin, l2_max_margin
from ntkng.inductive_bias import limit_direction as flow_limit


def problem(seed, N=7, rows=0.0, columns=0.0, gap=None, scale=1.0):
    """Separable samples in 2 or 3 dimensions; `rows`, `columns` are decades, `gap` is relative (negative: overlap)."""
    rng = np.random.default_rng(seed)
    d = 2 + seed % 2
    X, w = rng.normal(size=(N, d)), rng.normal(size=d)
    X *= 10 ** rng.uniform(-rows, rows, size=(N, 1))
    y = np.where(X @ w < 0, -1.0, 1.0)
    if gap is not None:  # the first d + 1 samples at (nearly) the same small margin
        wanted = gap * np.linalg.norm(X, axis=1) * rng.uniform(0.5, 1, N)
        X[: d + 1] += np.outer((y * wanted - X @ w)[: d + 1], w / (w @ w))
    return LogisticProblem(scale * X * 10 ** rng.uniform(-columns, columns, size=d), y)


UNITS = [{"rows": 5.0}, {"columns": 6.0}, {"rows": 3.0, "columns": 5.0}, {"scale": 1e-150}, {"scale": 1e150}]


@pytest.mark.parametrize("units", UNITS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_margins_in_any_units(seed, units):
    p = problem(seed, N=6, **units)
    assert p.separable
    for rule, truth, order in ((l2_max_margin, exact.l2_max_margin, 2), (l1_max_margin, exact.l1_max_margin, 1)):
        w, right = rule(p), truth(p.signed)
        assert np.abs(w - right).max() < 1e-9 * np.abs(right).max(), rule
        norms = np.linalg.norm([w / np.abs(right).max(), right / np.abs(right).max()], order, axis=1)
        assert norms[0] == pytest.approx(norms[1], rel=1e-12)
        assert p.margins(w).min() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-12, -1e-12, 1e-15])
@pytest.mark.parametrize("seed", range(3))
def test_narrow_gaps(seed, gap):
    """A right verdict at any gap; the weights to the digits that the gap leaves, or a refusal."""
    p = problem(seed, gap=gap)
    right = exact.l2_max_margin(p.signed)
    assert p.separable == (right is not None)
    if right is None:
        with pytest.raises(ValueError, match="not linearly separable"):
            l2_max_margin(p)
        return
    lost = np.finfo(float).eps * (np.abs(p.signed) @ np.abs(right)).max()  # of a margin, when the weights are rounded
    if lost > 0.1:
        with pytest.raises(ArithmeticError, match="gap|close"):
            l2_max_margin(p)
    else:
        for found, truth in ((l2_max_margin(p), right), (l1_max_margin(p), exact.l1_max_margin(p.signed))):
            assert np.abs(found - truth).max() < 20 * lost * np.abs(truth).max()


def test_degenerate_data():
    twice = LogisticProblem([[1.0, 2], [1, 2], [0, 1]], [1, 1, 1])
    np.testing.assert_allclose(l2_max_margin(twice), exact.l2_max_margin(twice.signed), rtol=1e-14)
    both_labels = LogisticProblem([[1.0, 2, 3], [0.1, 0.2, 0.3], [0, 1, 0]], [1, -1, 1])  # 0.3 is no tenth of 3: a gap
    assert both_labels.separable == (exact.l2_max_margin(both_labels.signed) is not None)
    assert not LogisticProblem([[1.0, 2, 3], [1, 2, 3], [0, 1, 0]], [1, -1, 1]).separable
    assert not LogisticProblem([[1.0, 2], [0, 0]], [1, 1]).separable
    with pytest.raises(ValueError, match="input 1 is 0"):
        l2_max_margin(LogisticProblem([[1.0, 2], [0, 0]], [1, 1]))
    one = LogisticProblem([[3.0, 4.0]], [-1])
    np.testing.assert_allclose(l2_max_margin(one), [-0.12, -0.16])
    np.testing.assert_allclose(l1_max_margin(one), [0, -0.25])
    line = LogisticProblem([[1e-200], [-1e200]], [True, -1])
    assert line.separable
    assert l1_max_margin(line) == l2_max_margin(line) == pytest.approx(1e200)
    many = LogisticProblem(np.random.default_rng(0).normal(size=(5, 40)), np.ones(5))
    w = l2_max_margin(many)  # all samples hold it: the least-norm solution
    np.testing.assert_allclose(w, np.linalg.pinv(many.signed) @ np.ones(5), rtol=1e-10)


def test_rank_is_free_of_units():
    X = np.random.default_rng(0).normal(size=(8, 3)) * [1e10, 1, 1e-10]
    assert LogisticProblem(X, np.ones(8)).rank == 3
    assert LogisticProblem(np.c_[X, X[:, 0] * 1e5], np.ones(8)).rank == 3


@pytest.mark.parametrize("units", [{}, {"rows": 5.0}, {"columns": 6.0}, {"gap": 1e-8}], ids=str)
@pytest.mark.parametrize("confidence", [0.0, 30.0, 200.0])
@pytest.mark.parametrize("seed", range(2))
def test_limit_direction_from_confident_starts(seed, confidence, units):
    """Residuals from 1 down to `e^{-600}` in one programme."""
    p = problem(seed, **units)
    rng = np.random.default_rng(seed)
    size = np.linalg.norm(p.X, axis=1).max()
    w0 = (rng.normal(size=p.X.shape[1]) + confidence * exact.l2_max_margin(problem(seed).signed)) / size
    u, multipliers = exact.limit_direction(p.signed, w0)
    found = asymptote(p, w0)
    tolerance = 1e-14 / units.get("gap", 1e-3)
    assert np.abs((found.u - u) / u).max() < tolerance
    kept = multipliers > 1e-300
    np.testing.assert_allclose(found.multipliers[kept], multipliers[kept], rtol=10 * tolerance)
    assert (found.active == (multipliers > 0)).all()


def test_starts_whose_residuals_underflow():
    p = LogisticProblem([[1.0, 0.2], [-0.3, -1.0]], [1, -1])
    w0 = 2000 * np.linalg.solve(p.signed, np.ones(2))  # both margins 2000, e^{-2000} = 0
    found = asymptote(p, w0)
    np.testing.assert_allclose(p.signed @ found.u, 1)
    np.testing.assert_allclose(p.signed @ found.b, 2000)  # -log(N lambda_n) = -log r_n


def test_ties_are_still_ties():
    tied = LogisticProblem(np.array([[1e6, 0.0], [2e6, 1e-3], [2e6, -1e-3]]), np.ones(3))
    with pytest.raises(TiedProgrammeError, match="1 positive multipliers in 2 dimensions"):
        flow_limit(tied, np.zeros(2))


def test_labels_and_inputs_are_checked():
    with pytest.raises(ValueError, match="NaN"):
        LogisticProblem([[1.0, np.nan]], [1])
    with pytest.raises(TypeError, match="real array"):
        LogisticProblem([[1.0, 1j]], [1])
    with pytest.raises(ValueError, match="weights has 1 NaN"):
        LogisticProblem([[1.0, 2.0]], [1]).gradient([np.nan, 0])
