"""How far an update depends on the parametrisation `theta = zeta(gamma)`, and to which order in the step size.

A curvature matrix that transforms as `B_gamma = J_zeta^T B_theta J_zeta` makes the update a vector: `d_theta = J_zeta
d_gamma`. The Fisher, the generalised Gauss-Newton and the empirical Fisher matrices do; the Hessian has the extra term
`sum_i g_i D^2 zeta_i`; the identity and Tikhonov damping do not transform at all. For those that do, one Euler step
differs by `(alpha^2/2) D^2 zeta[v, v] + O(alpha^3)`, a run over a fixed horizon by `O(alpha)`, the flow not at all, and
an affine `zeta` makes no difference at any `alpha` (Martens 2020). For the others the orders are `alpha`, 1 and 1.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Float

from ntkng.ode import integrate
from ntkng.perspectives.metrics import Metric
from ntkng.perspectives.objective import Objective

__all__ = [
    "ChangeOfParameters",
    "Scheme",
    "discrepancy",
    "euler",
    "flow_discrepancy",
    "leading_discrepancy",
    "midpoint",
    "velocity",
]

Field = Callable[[Float[np.ndarray, " P"]], Float[np.ndarray, " P"]]
Scheme = Callable[[Field, Float[np.ndarray, " P"], float], Float[np.ndarray, " P"]]


@dataclasses.dataclass(frozen=True, eq=False)
class ChangeOfParameters:
    """One objective in two parametrisations.

    Attributes:
        objective: as a function of `theta`.
        zeta: smooth, locally invertible `gamma -> theta`, a JAX function.
    """

    reference: ClassVar[tuple[str, ...]] = ("martens-2020",)

    objective: Objective
    zeta: Callable[[jax.Array], jax.Array]

    @functools.cached_property
    def reparametrised(self) -> Objective:
        """The objective as a function of `gamma`; everything about it comes from differentiating `model(zeta(.))`."""
        return self.objective.reparametrised(self.zeta)

    def theta(self, gamma: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """`zeta(gamma)`."""
        return self._call(0, gamma)

    def jacobian(self, gamma: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
        """`J_zeta = dzeta/dgamma`."""
        return self._call(1, gamma)

    def second_derivative(self, gamma: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P P"]:
        """`D^2 zeta`, indexed (component, first, second derivative)."""
        return self._call(2, gamma)

    @functools.cached_property
    def _compiled(self) -> tuple[Callable[..., jax.Array], ...]:
        return jax.jit(self.zeta), jax.jit(jax.jacfwd(self.zeta)), jax.jit(jax.hessian(self.zeta))

    def _call(self, which: int, gamma: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(self._compiled[which](np.asarray(gamma, dtype=np.float64)))


def velocity(objective: Objective, metric: Metric, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """`v = -B^{-1} grad h`.

    Raises:
        ValueError: if `B` is numerically singular (condition number above 1e12).
    """
    matrix = metric(objective, theta)
    condition = np.linalg.cond(matrix)
    if not condition < 1e12:
        raise ValueError(f"the metric is singular, condition number {condition:.3g}; use fewer parameters or more data")
    return -np.linalg.solve(matrix, objective.gradient(theta))


def euler(field: Field, point: Float[np.ndarray, " P"], alpha: float) -> Float[np.ndarray, " P"]:
    """`point + alpha v(point)`: the usual update with step size `alpha`."""
    return point + alpha * field(point)


def midpoint(field: Field, point: Float[np.ndarray, " P"], alpha: float) -> Float[np.ndarray, " P"]:
    """`point + alpha v(point + alpha v(point) / 2)`: closer to the flow, hence one order more invariant."""
    return point + alpha * field(point + 0.5 * alpha * field(point))


def discrepancy(
    change: ChangeOfParameters,
    gamma: Float[np.ndarray, " P"],
    metric: Metric,
    alpha: float,
    *,
    steps: int = 1,
    scheme: Scheme = euler,
    metric_gamma: Metric | None = None,
) -> float:
    """`|zeta(gamma_K) - theta_K|` after `K` steps of the same method in `gamma` and in `theta = zeta(gamma)`.

    Args:
        change: the objective in both parametrisations.
        gamma: where both runs start.
        metric: the preconditioner.
        alpha: step size.
        steps: `K`; a fixed horizon `T` is `K = T / alpha`.
        scheme: `euler` or `midpoint`.
        metric_gamma: the preconditioner in `gamma` when it is not the same rule, see `transforming_damping`.
    """
    theta, gamma = change.theta(gamma), np.asarray(gamma, dtype=np.float64)
    for _ in range(steps):
        theta = scheme(lambda p: velocity(change.objective, metric, p), theta, alpha)
        gamma = scheme(lambda p: velocity(change.reparametrised, metric_gamma or metric, p), gamma, alpha)
    return float(np.linalg.norm(change.theta(gamma) - theta))


def leading_discrepancy(
    change: ChangeOfParameters, gamma: Float[np.ndarray, " P"], metric: Metric, alpha: float
) -> Float[np.ndarray, " P"]:
    """`(alpha^2 / 2) D^2 zeta[v, v]`, `v = -B_gamma^{-1} grad`: what one Euler step of a covariant metric leaves.

    `zeta(gamma + alpha v) - (theta + alpha J_zeta v)` is this plus `O(alpha^3)`; it vanishes for affine `zeta`.
    """
    v = velocity(change.reparametrised, metric, gamma)
    return 0.5 * alpha**2 * np.einsum("ipq,p,q->i", change.second_derivative(gamma), v, v)


def flow_discrepancy(
    change: ChangeOfParameters,
    gamma: Float[np.ndarray, " P"],
    metric: Metric,
    horizon: float,
    *,
    tolerance: float = 1e-13,
) -> float:
    """`|zeta(gamma(T)) - theta(T)|` for the flows `theta' = -B^{-1} grad` in both parametrisations (DOP853).

    Raises:
        RuntimeError: if the solver fails, for instance where the metric becomes singular.
    """
    ends = [
        integrate(lambda p, o=o: velocity(o, metric, p), start, np.array([horizon]), rtol=tolerance, atol=tolerance)[0]
        for o, start in ((change.objective, change.theta(gamma)), (change.reparametrised, np.asarray(gamma)))
    ]
    return float(np.linalg.norm(change.theta(ends[1]) - ends[0]))
