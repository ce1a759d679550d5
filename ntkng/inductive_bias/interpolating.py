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
from ntkng.scaled_rows import RowSpace, equilibrated
from ntkng.validation import real_array

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
    X, W0 = (real_array(name, v, 2).astype(np.float64) for name, v in (("X", X), ("W0", W0)))
    if W0.shape[0] != X.shape[1]:
        raise ValueError(f"W0 must have shape [d C] with d = {X.shape[1]}, got {W0.shape}")
    space, f0 = _row_space(X), X @ W0
    change = FunctionSpaceFlow(family, Isotropic(alpha), f0, y).logit_path(np.atleast_1d(t)) - f0
    moved = space.least_norm(np.moveaxis(change, 1, 0).reshape(len(X), -1))
    return W0 + np.moveaxis(moved.reshape(X.shape[1], len(change), -1), 1, 0)


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
    return _row_space(problem.X).least_norm(problem.y)


def _row_space(X: np.ndarray) -> RowSpace:
    rank = np.linalg.matrix_rank(equilibrated(X)[0])  # whatever the units of rows and columns
    if rank < len(X):
        raise ValueError(
            f"this closed form needs inputs of rank N, got N = {len(X)}, d = {X.shape[1]}, rank {rank}; for N > d use "
            "legendre_flow"
        )
    return RowSpace(X)
