"""Maximum margins and limit directions of a few samples in rational numbers: every set of active samples is tried."""

import itertools
from fractions import Fraction

import mpmath
import numpy as np

__all__ = ["l1_max_margin", "l2_max_margin", "limit_direction"]


def solve(A, b):
    """Gauss and Jordan; `None` for a singular matrix."""
    rows = [[*row, right] for row, right in zip(A, b, strict=True)]
    for i in range(len(rows)):
        pivot = next((k for k in range(i, len(rows)) if rows[k][i] != 0), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for k in range(len(rows)):
            if k != i and rows[k][i] != 0:
                rows[k] = [a - rows[k][i] * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] for row in rows]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def rational(Z):
    return [[Fraction(float(v)) for v in row] for row in Z]


def smallest(candidates, Z, cost):
    """The cheapest feasible candidate as floats, or `None`: not separable."""
    feasible = [w for w in candidates if w is not None and all(dot(z, w) >= 1 for z in Z)]
    return np.array([float(v) for v in min(feasible, key=cost)]) if feasible else None


def l2_max_margin(Z):
    """`argmin |w|_2 subject to Z w >= 1`."""
    Z, d = rational(Z), Z.shape[1]

    def candidate(chosen):
        rows = [Z[i] for i in chosen]
        multipliers = solve([[dot(a, b) for b in rows] for a in rows], [Fraction(1)] * len(rows))
        return multipliers and [dot(multipliers, column) for column in zip(*rows, strict=True)]

    sets = (s for k in range(1, d + 1) for s in itertools.combinations(range(len(Z)), k))
    return smallest(map(candidate, sets), Z, lambda w: dot(w, w))


def l1_max_margin(Z):
    """`argmin |w|_1 subject to Z w >= 1`."""
    Z, d = rational(Z), Z.shape[1]

    def candidate(chosen, support):
        values = solve([[Z[i][j] for j in support] for i in chosen], [Fraction(1)] * len(chosen))
        return values and [dict(zip(support, values, strict=True)).get(j, Fraction(0)) for j in range(d)]

    sets = (
        (s, c)
        for k in range(1, d + 1)
        for s in itertools.combinations(range(len(Z)), k)
        for c in itertools.combinations(range(d), k)
    )
    return smallest((candidate(*pair) for pair in sets), Z, lambda w: sum(map(abs, w)))


def limit_direction(Z, w0):
    """`argmin c.u subject to Z u >= 1`, `c = (1/N) sum_n sigma(-z_n.w0) z_n` to sixty digits, and all multipliers."""
    Z, d = rational(Z), Z.shape[1]
    with mpmath.workdps(60):
        residuals = []
        for z in Z:
            margin = dot(z, [Fraction(float(v)) for v in w0])
            r = 1 / (1 + mpmath.exp(mpmath.mpf(margin.numerator) / margin.denominator))
            residuals.append(Fraction(int(r.man)) * Fraction(2) ** int(r.exp) / len(Z))
    cost = [dot(residuals, column) for column in zip(*Z, strict=True)]
    for chosen in itertools.combinations(range(len(Z)), d):
        rows = [Z[i] for i in chosen]
        u = solve(rows, [Fraction(1)] * d)
        if u is not None and all(dot(z, u) >= 1 for z in Z):
            held = solve([list(column) for column in zip(*rows, strict=True)], cost)
            if min(held) >= 0:
                multipliers = np.zeros(len(Z))
                multipliers[list(chosen)] = [float(v) for v in held]
                return np.array([float(v) for v in u]), multipliers
    return None
