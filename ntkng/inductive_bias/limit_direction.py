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
import scipy.optimize
from jaxtyping import Bool, Float

from ntkng.inductive_bias.logistic import LogisticProblem
from ntkng.ode import validate_times

__all__ = ["Asymptote", "TiedProgrammeError", "asymptote", "limit_direction", "weighted_margin_programme"]


class TiedProgrammeError(ValueError):
    """The linear programme has more than one optimal vertex or multiplier: the limit is not determined by it."""


def weighted_margin_programme(
    Z: Float[np.ndarray, "N d"], cost: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " N"]]:
    """`min cost.u subject to Z u >= 1` by HiGHS; returns `u` and the multipliers `lambda >= 0`, `Z^T lambda = cost`.

    Raises:
        ValueError: infeasible (the data are not separable) or unbounded (the cost is not a non-negative combination of
            the rows of `Z`; a wrong sign does this).
    """
    # dual simplex ends on a vertex, from which the active set can be read
    result = scipy.optimize.linprog(cost, A_ub=-Z, b_ub=-np.ones(len(Z)), bounds=(None, None), method="highs-ds")
    if result.status == 2:
        raise ValueError("the linear programme is infeasible: the data are not linearly separable")
    if result.status == 3:
        raise ValueError("the linear programme is unbounded: the cost must be -g(0), a positive sum of the y_n x_n")
    if result.status != 0:
        raise RuntimeError(f"HiGHS stopped: {result.message}")
    return result.x, -result.ineqlin.marginals


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
    u, multipliers, active = _vertex(problem, w0, tolerance)
    if active.sum() > len(u):
        raise TiedProgrammeError(
            f"{active.sum()} samples attain the smallest margin in {len(u)} dimensions: the direction is determined, "
            "the offset b is not; perturb the data"
        )
    b = np.linalg.solve(problem.signed[active], -np.log(len(problem.y) * multipliers[active]))
    return Asymptote(problem, problem.weights(w0), u, b, active, multipliers)


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
        inactive = np.exp(times * (1 - Z[~active] @ self.u) - Z[~active] @ self.b) / len(Z)
        dlam = -np.linalg.solve(Z[active].T, Z[~active].T @ inactive.T)
        return np.linalg.solve(Z[active], -dlam / self.multipliers[active][:, None]).T


def _vertex(problem: LogisticProblem, w0: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Optimal vertex, its multipliers and active set, solved again from the active set to full precision."""
    d = problem.X.shape[1]
    if problem.rank < d:
        raise ValueError(
            f"the linear programme needs inputs of rank d = {d}, got {problem.rank}; see interpolating_flow"
        )
    Z, cost = problem.signed, -problem.gradient(problem.weights(w0))
    u, multipliers = weighted_margin_programme(Z, cost)
    positive = multipliers > tolerance * multipliers.max()
    if positive.sum() != d or np.linalg.cond(Z[positive]) > 1e12:
        raise TiedProgrammeError(
            f"the linear programme is tied: {positive.sum()} positive multipliers in {d} dimensions, so its optimum is "
            "not a single vertex and only a set of directions is determined; perturb the data or w(0)"
        )
    u = np.linalg.solve(Z[positive], np.ones(d))
    exact = np.zeros(len(Z))
    exact[positive] = np.linalg.solve(Z[positive].T, cost)
    active = Z @ u < 1 + tolerance * max(1.0, np.abs(Z @ u).max())
    return u, exact, active
