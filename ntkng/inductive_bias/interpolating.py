"""Natural gradient flow of a linear predictor on at most as many samples as dimensions (`N <= d`): closed forms.

With `X` of full row rank the Jacobian `X` has full row rank, so the flow is isotropic: the mean parameters follow
`mu(t) = y + e^{-t} (mu(0) - y)` for every exponential family, and the weights, which only move in the span of the
inputs, follow the logits. For logistic loss: `r_n(t) = e^{-t} r_n(0)`, `m_n(t) = log(e^t / r_n(0) - 1)`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.families import Bernoulli, Family
from ntkng.flow_operators import Isotropic
from ntkng.function_space_flow import FunctionSpaceFlow
from ntkng.inductive_bias.logistic import LogisticProblem

__all__ = ["interpolating_direction", "interpolating_flow", "interpolating_weights"]


def interpolating_weights(
    family: Family,
    X: Float[np.ndarray, "N d"],
    y: Float[np.ndarray, "N C"],
    W0: Float[np.ndarray, "d C"],
    t: Float[np.ndarray, " T"],
    *,
    alpha: float = 1.0,
) -> Float[np.ndarray, "T d C"]:
    """`W(t) = W(0) + X^+ (f(t) - f(0))` for logits `f = X W`, with `f(t)` from the isotropic flow.

    For softmax `f(t) = log p(t) - mean_c log p(t)` plus the row mean of `f(0)`, which is conserved.

    Args:
        family: of the loss.
        X: inputs, rank `N`.
        y: targets of the family.
        W0: initial weights.
        t: times.
        alpha: rate of the flow (1 for the exact Fisher).

    Raises:
        ValueError: `X` does not have rank `N` (in particular when `N > d`).
    """
    X, W0 = np.asarray(X, dtype=np.float64), np.asarray(W0, dtype=np.float64)
    _require_full_row_rank(X)
    f0 = X @ W0
    change = FunctionSpaceFlow(family, Isotropic(alpha), f0, y).logit_path(np.atleast_1d(t)) - f0
    return W0 + np.linalg.pinv(X) @ change


def interpolating_flow(
    problem: LogisticProblem, w0: Float[np.ndarray, " d"], t: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T d"]:
    """Logistic case: `w(t) = w(0) + X^+ (y * m(t) - f(0))`, `m_n(t) = log(e^t / r_n(0) - 1)`.

    All margins become equal, so the direction tends to that of `X^+ y` whatever `w(0)` is, at the rate `O(1/t)`.

    Raises:
        ValueError: `X` does not have rank `N`.
    """
    w0 = problem.weights(w0)
    return interpolating_weights(Bernoulli(), problem.X, problem.targets, w0[:, None], t)[..., 0]


def interpolating_direction(problem: LogisticProblem) -> Float[np.ndarray, " d"]:
    """`X^+ y`, the limit direction of `interpolating_flow` (not normalised: all margins are 1).

    Raises:
        ValueError: `X` does not have rank `N`.
    """
    _require_full_row_rank(problem.X)
    return np.linalg.pinv(problem.X) @ problem.y


def _require_full_row_rank(X: np.ndarray) -> None:
    rank = np.linalg.matrix_rank(X)
    if rank < len(X):
        raise ValueError(
            f"this closed form needs inputs of rank N, got N = {len(X)}, d = {X.shape[1]}, rank {rank}; for N > d use "
            "legendre_flow"
        )
