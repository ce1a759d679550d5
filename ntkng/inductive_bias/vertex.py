"""Linear programmes `min c.x subject to A x >= b` from a feasible point to a vertex, with exact signs of tiny multipliers.

The cost is given as `c = A^T weights`. At a vertex held by the rows `B` the multipliers `lambda` with `A_B^T lambda = c`
are `weights_B + T weights_rest`, `T` the coefficients of the other rows in terms of those of `B`. Rows of tiny weight
keep their digits in this sum, where `c` itself would have lost them: a residual of `e^{-100}` next to one of 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ntkng.scaled_rows import EPSILON, RowSpace, equilibrated

__all__ = ["UnboundedError", "best_vertex"]


class UnboundedError(ValueError):
    """The cost falls without end."""


def best_vertex(
    A: Float[np.ndarray, "N d"],
    b: Float[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
    x: Float[np.ndarray, " d"],
    held: Int[np.ndarray, " k"],
) -> tuple[Float[np.ndarray, " d"], Int[np.ndarray, " k"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """`argmin (A^T weights).x subject to A x >= b`.

    Args:
        A: rows.
        b: right-hand side.
        weights: of the rows in the cost.
        x: a feasible point.
        held: independent rows with `A x = b`.

    Returns:
        `x`, the rows that hold it (fewer than `d` where a whole face is optimal), their multipliers, and the sum of the
        absolute values of the terms of each multiplier, by which rounding is measured.

    Raises:
        UnboundedError: the cost falls without end.
        ArithmeticError: no vertex was found in many steps.
    """
    A, rows, columns = equilibrated(A)
    b, weights, x = rows * b, weights / rows, x / columns
    top = np.abs(weights).max()
    weights = weights / (top if top > 0 else 1.0)
    stuck = False  # at a degenerate vertex: there the lowest index leaves (Bland's rule), so that no set comes twice
    for _ in range(200 + 20 * sum(A.shape)):
        space = RowSpace(A[held])
        x = x + space.least_norm(b[held] - A[held] @ x)
        rest = np.setdiff1d(np.arange(len(A)), held)
        T = space.combination(A[rest].T)
        multipliers = weights[held] + T @ weights[rest]
        size = np.abs(weights[held]) + np.abs(T) @ np.abs(weights[rest])
        blurred = 8 * EPSILON * (len(held) + 1)
        across = weights[rest] @ (A[rest] - T.T @ A[held])
        fuzzy = blurred * (np.abs(weights[rest]) @ (np.abs(A[rest]) + np.abs(T.T) @ np.abs(A[held])))
        if len(held) < A.shape[1] and (np.abs(across) > fuzzy).any():
            move, leaving = -across / np.abs(across).max(), None
        else:
            wrong = multipliers < -blurred * size
            if not wrong.any():
                return columns * x, held, rows[held] * multipliers * top, rows[held] * size * top
            relative = np.where(wrong, multipliers / np.where(wrong, size, 1.0), 0.0)
            leaving = int(np.argmin(np.where(wrong, held, len(A)))) if stuck else int(relative.argmin())
            move = space.least_norm(np.eye(len(held))[leaving])
        entering, step = _blocking(A, b, x, move, rest, stuck)
        held = np.append(held if leaving is None else np.delete(held, leaving), entering)
        x, stuck = x + step * move, step == 0
    raise ArithmeticError("the linear programme ran out of steps; perturb the inputs")


def _blocking(
    A: np.ndarray, b: np.ndarray, x: np.ndarray, move: np.ndarray, rest: np.ndarray, lowest: bool
) -> tuple[int, float]:
    """The first of the rows `rest` to be met on the way, and how far that is."""
    along = A[rest] @ move
    met = along < -8 * EPSILON * (np.abs(A[rest]) @ np.abs(move))
    if not met.any():
        raise UnboundedError("the linear programme is unbounded: the cost must be -g(0), a positive sum of the y_n x_n")
    slack = A[rest] @ x - b[rest]
    slack[slack < 8 * EPSILON * (np.abs(A[rest]) @ np.abs(x))] = 0
    steps = np.where(met, slack / np.where(met, -along, 1.0), np.inf)
    nearest = np.flatnonzero(steps == steps.min())
    best = nearest[0] if lowest else nearest[along[nearest].argmin()]
    return int(rest[best]), float(steps[best])
