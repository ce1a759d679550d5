"""Maximum margins and limit directions of separable samples in any units."""

import exact_margins as exact
import numpy as np
from tried.row import Row

from ntkng.inductive_bias import LogisticProblem, asymptote, l1_max_margin, l2_max_margin

TRUTH = "rational arithmetic over every set of active samples"


def problems(rows, columns, gap=None):
    """Six samples in two and three dimensions, lengths and units over so many decades."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        d = 2 + seed % 2
        X, w = rng.normal(size=(6, d)), rng.normal(size=d)
        X *= 10 ** rng.uniform(-rows, rows, size=(6, 1))
        y = np.where(X @ w < 0, -1.0, 1.0)
        if gap:
            X[: d + 1] += np.outer((y * gap * np.linalg.norm(X, axis=1) - X @ w)[: d + 1], w / (w @ w))
        yield LogisticProblem(X * 10 ** rng.uniform(-columns, columns, size=d), y), rng


def relative(found, right):
    return float(np.abs(found / right - 1).max())


def rows():
    """Lengths, units, gaps; starts of every confidence."""
    ends = {"lengths 1e-5 to 1e5": (5, 0), "features 1e-6 to 1e6": (0, 6), "both, 1e-3 to 1e3 and 1e-5 to 1e5": (3, 5)}
    found = []
    for what, size in ends.items():
        l2 = max(relative(l2_max_margin(p), exact.l2_max_margin(p.signed)) for p, _ in problems(*size))
        found.append(Row("`l2_max_margin`", what, TRUTH, l2, 1e-12))
        l1 = max(
            np.abs(l1_max_margin(p)).sum() / np.abs(exact.l1_max_margin(p.signed)).sum() - 1 for p, _ in problems(*size)
        )
        found.append(Row("`l1_max_margin`, its norm", what, TRUTH, abs(float(l1)), 1e-12))
    gap = max(relative(l2_max_margin(p), exact.l2_max_margin(p.signed)) for p, _ in problems(0, 0, 1e-8))
    found.append(Row("`l2_max_margin`", "gap of 1e-8 of the inputs", TRUTH, gap, 1e-5))
    error = 0.0
    for p, rng in problems(0, 6):
        w0 = 10.0 ** rng.uniform(0, 2) * exact.l2_max_margin(p.signed)
        error = max(error, relative(asymptote(p, w0).u, exact.limit_direction(p.signed, w0)[0]))
    found.append(Row("`limit_direction`", "margins at the start 1 to 1,000, features 1e-6 to 1e6", TRUTH, error, 1e-12))
    return found
