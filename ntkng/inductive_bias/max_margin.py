"""Maximum-margin directions: what gradient descent on separable data tends to.

Gradient descent on the logistic loss tends to a first-order stationary point of `min |w|_p subject to Z w >= 1`, with
`p = 2` for a linear predictor and fully connected linear networks, and `p = 2/L` for a diagonal network of depth `L`.
"""

from __future__ import annotations

import contextlib

import numpy as np
import scipy.optimize
from jaxtyping import Float

from ntkng.direction import angle, unit
from ntkng.inductive_bias.least_distance import NARROWEST, least_distance
from ntkng.inductive_bias.logistic import LogisticProblem
from ntkng.inductive_bias.vertex import best_vertex
from ntkng.scaled_rows import EPSILON, row_scales
from ntkng.validation import real_array

__all__ = ["l1_max_margin", "l2_max_margin", "stationarity_angle"]

SMALLEST = 1e-7  # relative size of entries and multipliers that HiGHS may mean as 0


def l2_max_margin(problem: LogisticProblem) -> Float[np.ndarray, " d"]:
    """`argmin |w|_2 subject to y_n x_n.w >= 1`, for inputs in any units (see `least_distance`).

    Raises:
        ValueError: the data are not separable.
        ArithmeticError: float64 does not hold the solution: the classes are too close, or it overflows.
    """
    return least_distance(problem.signed, np.ones(len(problem.y)))[0]


def l1_max_margin(problem: LogisticProblem) -> Float[np.ndarray, " d"]:
    """`argmin |w|_1 subject to y_n x_n.w >= 1`, by HiGHS; where its answer fails the optimality conditions, step by step.

    Raises:
        ValueError: the data are not separable.
        ArithmeticError: float64 does not hold the solution: the classes are too close, or it overflows.
    """
    w = _by_highs(problem.signed)
    return _by_steps(problem.signed) if w is None else w


def _by_highs(Z: np.ndarray) -> np.ndarray | None:
    """HiGHS's support and active samples, solved again, or its own answer, or `None` where both are not optimal."""
    rows = row_scales(Z)
    scaled, longest = rows[:, None] * Z, rows.max()
    result = scipy.optimize.linprog(
        np.ones(2 * Z.shape[1]), A_ub=np.hstack([-scaled, scaled]), b_ub=-rows / longest, method="highs"
    )
    if result.status != 0:
        return None
    w, held = longest * np.subtract(*np.split(result.x, 2)), -result.ineqlin.marginals
    support = np.abs(w) > SMALLEST * np.abs(w).max(initial=0)
    active = held > SMALLEST * held.max()
    square = scaled[np.ix_(active, support)]
    if support.any() and square.shape[0] == square.shape[1]:
        again, multipliers = np.zeros(len(w)), np.zeros(len(held))
        with contextlib.suppress(np.linalg.LinAlgError):
            again[support] = np.linalg.solve(square, rows[active])
            multipliers[active] = np.linalg.solve(square.T, np.sign(again[support]))
        if _optimal(scaled, rows, again, multipliers, 32 * EPSILON):
            return again
    return w if _optimal(scaled, rows, w, held, 1e-10) else None  # several optima: no square system


def _optimal(Z: np.ndarray, b: np.ndarray, w: np.ndarray, held: np.ndarray, tolerance: float) -> bool:
    """Whether `Z w >= b`, `|Z^T held| <= 1`, `held >= 0` and `held.b = |w|_1`, each relative to its largest terms."""
    reach, norm = np.abs(Z) @ np.abs(w), np.abs(w).sum()
    return bool(
        (reach * tolerance <= NARROWEST * b + np.maximum(Z @ w - b, 0)).all()
        and (Z @ w - b >= -tolerance * reach).all()
        and (held >= -tolerance * np.abs(held).max()).all()
        and (np.abs(held @ Z) <= 1 + tolerance * (1 + np.abs(held) @ np.abs(Z))).all()
        and abs(held @ b - norm) <= tolerance * (np.abs(held) @ b + norm) * len(w)
    )


def _by_steps(Z: np.ndarray) -> np.ndarray:
    """The linear programme in `w = p - q`, `p, q >= 0`, from the maximum margin in the l2 norm."""
    count, d = Z.shape
    w, held = least_distance(Z, np.ones(count))
    A = np.vstack([np.hstack([Z, -Z]), np.eye(2 * d)])
    zero = count + np.where(w > 0, d + np.arange(d), np.arange(d))  # the part of the other sign
    start = np.concatenate([np.maximum(w, 0), np.maximum(-w, 0)])
    b, weights = np.repeat([1.0, 0.0], [count, 2 * d]), np.repeat([0.0, 1.0], [count, 2 * d])
    x = best_vertex(A, b, weights, start, np.concatenate([held, zero]))[0]
    w = x[:d] - x[d:]
    doubt = 8 * EPSILON * (np.abs(Z) @ np.abs(w))
    if not (np.isfinite(w).all() and (doubt <= NARROWEST * np.maximum(1, Z @ w)).all()):
        raise ArithmeticError(
            "the classes are too close for float64, or their units too far apart: rounding of the weights changes margins "
            f"by up to {doubt.max():.1e} of the smallest; rescale or perturb the inputs"
        )
    return w


def stationarity_angle(
    theta: Float[np.ndarray, " P"], margin_jacobian: Float[np.ndarray, "N P"], margins: Float[np.ndarray, " N"]
) -> float:
    """Angle in degrees between `theta` and the cone of the gradients of the smallest margins.

    First-order stationarity of `min |theta|^2 subject to m_n(theta) >= 1` asks `theta = sum_n a_n grad m_n(theta)`,
    `a_n >= 0`, `a_n > 0` only for the smallest margins (here: within 1 %). For a diagonal network of depth `L` this is
    stationarity of the `l_{2/L}` quasi-norm of its end-to-end vector.

    Raises:
        ValueError: a margin that is not positive, or a zero `theta`.
    """
    theta, margins = real_array("theta", theta, 1), real_array("margins", margins, 1)
    jacobian = real_array("margin_jacobian", margin_jacobian, 2)
    if margins.min() <= 0:
        raise ValueError(f"stationarity is defined where all margins are positive, got {margins.min():.4g}")
    nearest = jacobian[margins < 1.01 * margins.min()]
    nearest = unit("margin_jacobian", nearest[nearest.any(1)])  # the cone depends on directions only
    goal = unit("theta", theta)
    coefficients, _ = scipy.optimize.nnls(nearest.T, goal)
    if not coefficients.any():
        return 90.0  # the nearest point of the cone is its tip
    return float(angle(goal, nearest.T @ coefficients))
