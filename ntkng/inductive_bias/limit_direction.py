"""Where the natural gradient flow goes on separable data with `N > d`: a linear programme, and the whole asymptote.

The gradient law `(1/N) sum_n r_n(t) z_n = e^{-t} (-g(0))`, `z_n = y_n x_n`, with `r_n ~ e^{-m_n}` and `w = t u + b`
says: `e^t r_n / N` tends to multipliers `lambda_n >= 0` with `sum_n lambda_n z_n = -g(0)`, positive only where the
margin of `u` is 1. These are the optimality conditions of

    min_u  -g(0).u    subject to    z_n.u >= 1 for all n,    -g(0) = (1/N) sum_n r_n(0) z_n,

that is: the smallest mean margin, weighted by the initial residuals, among all `u` with margins at least 1. (With
`+g(0)` the programme is unbounded.) The limit depends on `w(0)` and in general is no maximum-margin direction.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import log_expit

from ntkng.inductive_bias.least_distance import NARROWEST, least_distance
from ntkng.inductive_bias.logistic import LogisticProblem
from ntkng.inductive_bias.vertex import best_vertex
from ntkng.ode import validate_times
from ntkng.scaled_rows import EPSILON, RowSpace, equilibrated
from ntkng.validation import real_array

__all__ = ["Asymptote", "TiedProgrammeError", "asymptote", "limit_direction", "weighted_margin_programme"]


class TiedProgrammeError(ValueError):
    """The linear programme has more than one optimal vertex or multiplier: the limit is not determined by it."""


def weighted_margin_programme(
    Z: Float[np.ndarray, "N d"], cost: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " N"]]:
    """`min cost.u subject to Z u >= 1`; returns `u` and the multipliers `lambda >= 0`, `Z^T lambda = cost`.

    Raises:
        ValueError: infeasible (the data are not separable) or unbounded (the cost is not a non-negative combination of
            the rows of `Z`; a wrong sign does this).
    """
    Z, cost = real_array("Z", Z, 2).astype(np.float64), real_array("cost", cost, 1).astype(np.float64)
    scaled, rows, columns = equilibrated(Z)
    weights = rows * np.linalg.lstsq(scaled.T, columns * cost, rcond=None)[0]
    u, held, multipliers, _ = _programme(Z, weights)
    return u, np.bincount(held, multipliers, len(Z))


def _programme(Z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The programme of the cost `Z^T weights`, as `best_vertex` returns it, from a maximum margin."""
    scaled, rows, columns = equilibrated(Z)
    start, held = least_distance(scaled, rows)
    return best_vertex(Z, np.ones(len(Z)), weights, columns * start, held)


def limit_direction(
    problem: LogisticProblem, w0: Float[np.ndarray, " d"], *, tolerance: float = 1e-9
) -> Float[np.ndarray, " d"]:
    """The limit `u` of `w(t)/t` (not normalised: its smallest margin is 1).

    Raises:
        ValueError: `X` does not have rank `d`, or the data are not separable.
        TiedProgrammeError: fewer than `d` positive multipliers, so that only a set of directions is determined.
    """
    return _vertex(problem, w0, tolerance)[0]


def asymptote(problem: LogisticProblem, w0: Float[np.ndarray, " d"], *, tolerance: float = 1e-9) -> Asymptote:
    """`w(t) = t u + b + o(1)`: `z_n.u = 1` and `z_n.b = -log(N lambda_n)` on the `d` active samples.

    Raises:
        ValueError: `X` does not have rank `d`, or the data are not separable.
        TiedProgrammeError: not exactly `d` samples are active with positive multipliers.
    """
    u, multipliers, active, logarithm = _vertex(problem, w0, tolerance)
    if active.sum() > len(u):
        raise TiedProgrammeError(
            f"{active.sum()} samples attain the smallest margin in {len(u)} dimensions: the direction is determined, "
            "the offset b is not; perturb the data"
        )
    b = RowSpace(problem.signed[active]).least_norm(-np.log(len(problem.y) * multipliers[active]) - logarithm)
    return Asymptote(problem, problem.weights(w0), u, b, active, np.exp(logarithm) * multipliers)


@dataclasses.dataclass(frozen=True)
class Asymptote:
    """`w(t) = t u + b + o(1)` (see `asymptote`).

    Attributes:
        problem: the data.
        w0: where the flow starts.
        u: limit of `w(t)/t`.
        b: offset.
        active: samples with margin 1 under `u`.
        multipliers: `lambda_n = lim e^t r_n(t) / N`, zero on the others.
    """

    problem: LogisticProblem
    w0: Float[np.ndarray, " d"]
    u: Float[np.ndarray, " d"]
    b: Float[np.ndarray, " d"]
    active: Bool[np.ndarray, " N"]
    multipliers: Float[np.ndarray, " N"]

    @property
    def gap(self) -> float:
        """Smallest inactive margin minus 1: the error of `path` decays as `e^{-min(gap, 1) t}`."""
        inactive = (self.problem.signed @ self.u)[~self.active]
        return float(inactive.min() - 1) if inactive.size else np.inf

    def path(self, t: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T d"]:
        """`t u + b`."""
        return validate_times(t)[:, None] * self.u + self.b

    def correction(self, t: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T d"]:
        """First-order term in the inactive residuals `r_in = e^{-(t m_in + z_in.b)}`, to be added to `path`.

        `dlambda = -Z_act^{-T} Z_in^T (e^t r_in / N)`, `dm = -dlambda / lambda`, `db = Z_act^{-1} dm`. It is the leading
        error of `path` when the gap is below 1; terms of order `e^{-t}` are left out.
        """
        Z, active = self.problem.signed, self.active
        times = validate_times(t)[:, None]
        space = RowSpace(Z[active])
        # e^{-z.b} of the active samples is N lambda: ratios to it do not underflow
        inactive = np.exp(times * (1 - Z[~active] @ self.u) - Z[~active] @ self.b)
        dlam = -space.combination(Z[~active].T) @ inactive.T
        return space.least_norm(-dlam * np.exp(Z[active] @ self.b)[:, None]).T


def _vertex(
    problem: LogisticProblem, w0: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Optimal vertex, its multipliers over `e^s`, its active set, and `s`."""
    d = problem.X.shape[1]
    if problem.rank < d:
        raise ValueError(
            f"the linear programme needs inputs of rank d = {d}, got {problem.rank}; see interpolating_flow"
        )
    Z, logs = problem.signed, log_expit(-problem.margins(w0))
    weights = np.exp(logs - logs.max())  # the residuals, of which only the ratios matter: e^{-1000} is no 0 here
    u, held, multipliers, size = _programme(Z, weights)
    if len(held) < d or not (multipliers > tolerance * size).all():
        raise TiedProgrammeError(
            f"the linear programme is tied: {int((multipliers > tolerance * size).sum())} positive multipliers in {d} "
            "dimensions, so its optimum is not a single vertex and only a set of directions is determined; perturb the "
            "data or w(0)"
        )
    margins = Z @ u
    doubt = 8 * EPSILON * (np.abs(Z) @ np.abs(u))
    if not (doubt <= NARROWEST * np.maximum(1, margins)).all():
        raise ArithmeticError(
            f"rounding of u changes its margins by up to {doubt.max():.1e}: the classes are too close for float64, or "
            "their units too far apart; rescale or perturb the inputs"
        )
    active = margins < 1 + np.maximum(tolerance, doubt)
    active[held] = True
    return u, np.bincount(held, multipliers, len(Z)), active, float(logs.max() - np.log(len(Z)))
