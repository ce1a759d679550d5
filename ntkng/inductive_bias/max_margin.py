"""Maximum-margin directions: what gradient descent on separable data tends to.

Gradient descent on the logistic loss tends to a first-order stationary point of `min |w|_p subject to Z w >= 1`, with
`p = 2` for a linear predictor and fully connected linear networks, and `p = 2/L` for a diagonal network of depth `L`.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
from jaxtyping import Float

from ntkng.inductive_bias.logistic import LogisticProblem

__all__ = ["angle", "l1_max_margin", "l2_max_margin", "stationarity_angle"]


def angle(a: Float[np.ndarray, "*T d"], b: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T"]:
    """Angle between two vectors in degrees, accurate also for angles near 0 (half-angle formula of Kahan)."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (a, b))
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    half = np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))
    return np.degrees(2 * half)


def l2_max_margin(problem: LogisticProblem) -> Float[np.ndarray, " d"]:
    """`argmin |w|_2 subject to y_n x_n.w >= 1`, by non-negative least squares (least distance programming).

    With `E = [Z^T; 1^T]` and `e = (0, ..., 0, 1)`, the residual `rho = E v - e` of `min_{v >= 0} |E v - e|` gives
    `w = -rho_{1..d} / rho_{d+1}` (Lawson and Hanson 1974, chapter 23).

    Raises:
        ValueError: the data are not separable.
    """
    Z = problem.signed
    E = np.vstack([Z.T, np.ones(len(Z))])
    goal = np.append(np.zeros(Z.shape[1]), 1.0)
    v, distance = scipy.optimize.nnls(E, goal, maxiter=100 * len(Z))
    rho = E @ v - goal
    if distance < 1e-10:
        raise ValueError("there is no maximum margin: the data are not linearly separable")
    support = v > 0
    # solved again from the support vectors: the residual above loses digits when the margin is small
    w = -rho[:-1] / rho[-1]
    if np.linalg.matrix_rank(Z[support]) == support.sum():
        w = np.linalg.lstsq(Z[support], np.ones(support.sum()), rcond=None)[0]
    return w


def l1_max_margin(problem: LogisticProblem) -> Float[np.ndarray, " d"]:
    """`argmin |w|_1 subject to y_n x_n.w >= 1`, by HiGHS on `w = a - b`, `a, b >= 0`.

    Raises:
        ValueError: the data are not separable.
    """
    Z = problem.signed
    result = scipy.optimize.linprog(
        np.ones(2 * Z.shape[1]), A_ub=np.hstack([-Z, Z]), b_ub=-np.ones(len(Z)), bounds=(0, None), method="highs"
    )
    if result.status == 2:
        raise ValueError("there is no maximum margin: the data are not linearly separable")
    if result.status != 0:
        raise RuntimeError(f"HiGHS stopped: {result.message}")
    a, b = np.split(result.x, 2)
    return a - b


def stationarity_angle(
    theta: Float[np.ndarray, " P"], margin_jacobian: Float[np.ndarray, "N P"], margins: Float[np.ndarray, " N"]
) -> float:
    """Angle in degrees between `theta` and the cone of the gradients of the smallest margins.

    First-order stationarity of `min |theta|^2 subject to m_n(theta) >= 1` asks `theta = sum_n a_n grad m_n(theta)`,
    `a_n >= 0`, `a_n > 0` only for the smallest margins (here: within 1 %). For a diagonal network of depth `L` this is
    stationarity of the `l_{2/L}` quasi-norm of its end-to-end vector.
    """
    theta, margins = np.asarray(theta, dtype=np.float64), np.asarray(margins, dtype=np.float64)
    if margins.min() <= 0:
        raise ValueError(f"stationarity is defined where all margins are positive, got {margins.min():.4g}")
    nearest = np.asarray(margin_jacobian)[margins < 1.01 * margins.min()]
    unit = theta / np.linalg.norm(theta)
    scale = np.linalg.norm(nearest, axis=1).max()
    coefficients, _ = scipy.optimize.nnls(nearest.T / scale, unit)
    return float(angle(unit, nearest.T @ coefficients))
