"""Gradient flows seen in function space: `f' = -M (mu(f) - y)`.

A preconditioned gradient flow `theta' = -G^+ grad L`, `L = (1/N) sum_n l(f_n, y_n)`, moves the logits on the `N`
training inputs by `f' = -M (mu(f) - y)`, `M = J G^+ J^T / N`. The choice of `G` becomes an operator:

| `G` | operator | condition |
|---|---|---|
| exact Fisher `J^T Lambda J / N`, pseudo-inverse | `Isotropic(1)` | `J` of full row rank |
| block-diagonal over `L` layers | `Isotropic(L)` | every layer's `J` of full row rank |
| exact Fisher `+ rho I` | `Damped(rho, Theta)` | `Theta` constant |
| exact Fisher, `J` rank deficient | `Projector.onto(J)` | range of `J` constant |
| curvature of the loss ignored (`Lambda -> I`) | `IdentityMetric(alpha)` | `J` of full row rank |
| empirical Fisher (training labels) | `EmpiricalFisher()` | `J` of full row rank, no zero residual |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from ntkng.families import Bernoulli, Family, Gaussian, Poisson, Softmax
from ntkng.flow_kernel_operators import Damped, Projector
from ntkng.flow_operators import EmpiricalFisher, IdentityMetric, Isotropic, Operator
from ntkng.ode import integrate, validate_times
from ntkng.short_repr import short_repr
from ntkng.validation import real_array, symmetric

RANK = 1e-8  # singular values of J R above this times the largest count

__all__ = [
    "Bernoulli", "Damped", "EmpiricalFisher", "Family", "FunctionSpaceFlow", "Gaussian", "IdentityMetric", "Isotropic",
    "Isotropy", "Operator", "Poisson", "Projector", "Softmax", "check_isotropy", "transfer_operator",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FunctionSpaceFlow:
    """The flow `f' = -M (mu(f) - y)` of the training logits from `initial`.

    Paths take times of shape `[T]` (any order, all >= 0) and return arrays with the leading axis `T`; a scalar time
    gives no leading axis. `solved_by` says whether the closed form or an ODE solver answers.

    Attributes:
        family: the exponential family (loss).
        operator: the rule for `M`.
        initial: logits `f(0)`, shape `[N C]`.
        targets: `y`, shape `[N C]`, possible means of the family.
        rtol: relative tolerance of the ODE solver (DOP853).
        atol: its absolute tolerance.

    Raises:
        ValueError: shapes or targets do not fit, or a time is negative or past a singularity of the flow.
    """

    family: Family
    operator: Operator
    initial: Float[np.ndarray, "N C"]
    targets: Float[np.ndarray, "N C"]
    rtol: float = 1e-12
    atol: float = 1e-13

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if not isinstance(self.family, Family) or not isinstance(self.operator, Operator):
            raise TypeError(f"expected a Family and an Operator, got {self.family!r} and {self.operator!r}")
        f0, y = self.family.validate_logits(self.initial), self.family.validate_targets(self.targets)
        if f0.shape != y.shape:
            raise ValueError(f"initial and targets must have one shape [N C], got {f0.shape} and {y.shape}")
        self.operator.validate(self.family, f0, y)
        object.__setattr__(self, "initial", f0)
        object.__setattr__(self, "targets", y)

    @property
    def solved_by(self) -> Literal["closed form", "ODE"]:
        """How the paths are computed."""
        return "closed form" if self.operator.has_closed_form(self.family, self.targets) else "ODE"

    def logit_path(self, t: Float[np.ndarray, " T"] | float) -> Float[np.ndarray, "T N C"]:
        """`f(t)`."""
        times = self._times(t)
        if self.solved_by == "closed form":
            path = self.operator.closed_form(self.family, self.initial, self.targets, times)
        else:
            path = self._integrate(times)
        return path if np.ndim(t) else path[0]

    def ode_path(self, t: Float[np.ndarray, " T"] | float) -> Float[np.ndarray, "T N C"]:
        """`f(t)` by the ODE solver even where there is a closed form: an independent check of it."""
        path = self._integrate(self._times(t))
        return path if np.ndim(t) else path[0]

    def mean_path(self, t: Float[np.ndarray, " T"] | float) -> Float[np.ndarray, "T N C"]:
        """`mu(f(t))`."""
        return self.family.mean(self.logit_path(t))

    def residual_path(self, t: Float[np.ndarray, " T"] | float) -> Float[np.ndarray, "T N C"]:
        """`mu(f(t)) - y`."""
        return self.family.residual(self.logit_path(t), self.targets)

    def loss_path(self, t: Float[np.ndarray, " T"] | float) -> Float[np.ndarray, " T"]:
        """`L(t) = (1/N) sum_n l(f_n(t), y_n)`."""
        return self.family.loss(self.logit_path(t), self.targets)

    def transfer(
        self,
        t: Float[np.ndarray, " T"] | float,
        K_star: Float[np.ndarray, "MC NC"],
        initial_star: Float[np.ndarray, "M C"],
    ) -> Float[np.ndarray, "T M C"]:
        """Held-out logits `f*(t) = f*(0) + K_star (f(t) - f(0))` of a model linear in its parameters (lazy regime).

        Args:
            t: times.
            K_star: `Theta_{*X} Theta^{-1}` for the exact Fisher; see `transfer_operator` for block-diagonal ones.
            initial_star: `f*(0)`.
        """
        K_star, star = real_array("K_star", K_star).astype(np.float64), self.family.validate_logits(initial_star)
        if K_star.shape != (star.size, self.initial.size):
            raise ValueError(f"K_star must have shape {(star.size, self.initial.size)}, got {K_star.shape}")
        change = self.logit_path(t) - self.initial
        moved = change.reshape(*change.shape[:-2], -1) @ K_star.T
        return star + moved.reshape(*change.shape[:-2], *star.shape)

    def _times(self, t: Float[np.ndarray, " T"] | float) -> np.ndarray:
        times = validate_times(t)
        end = self.operator.end(self.family, self.initial, self.targets)
        if times.max() > end:
            raise ValueError(f"the flow is singular at t = {end:.6g}, got a time {times.max():.6g}; stop before it")
        return times

    def _integrate(self, times: np.ndarray) -> np.ndarray:
        shape = self.initial.shape

        def velocity(f: np.ndarray) -> np.ndarray:
            return self.operator.velocity(self.family, f.reshape(shape), self.targets).ravel()

        path = integrate(velocity, self.initial.ravel(), times, rtol=self.rtol, atol=self.atol)
        return path.reshape(-1, *shape)


@dataclasses.dataclass(frozen=True)
class Isotropy:
    """How far an update is from isotropic.

    Attributes:
        deviation: spectral norm of `J R / alpha - I` (see `check_isotropy`).
        alpha: the given constant, or the mean eigenvalue `trace(J R) / NC` if none was given.
        rank: numerical rank of `J R`: singular values above 1e-8 times the largest.
    """

    deviation: float
    alpha: float
    rank: int


def check_isotropy(
    apply_update: Callable[[Float[np.ndarray, " NC"]], Float[np.ndarray, " P"]],
    J: Float[np.ndarray, "NC P"],
    alpha: float | None = None,
    *,
    variance: Float[np.ndarray, "NC NC"] | None = None,
) -> Isotropy:
    """`|| J R / alpha - I ||_2` for the linear map `R` that turns a function-space direction into a parameter update.

    An update is isotropic when moving the parameters by `R eps` moves the training logits by `alpha eps`. With a
    `variance` `Lambda`, `apply_update` takes the residual and the condition is `J R = alpha Lambda^+`; what is measured
    is then `|| Lambda^{1/2} J R Lambda^{1/2} / alpha - Pi ||_2`, `Pi` the projector on the range of `Lambda`.

    Args:
        apply_update: `eps [NC] -> d [P]`, linear; called once for each column.
        J: Jacobian of the training logits, sample-major.
        alpha: the constant that theory predicts; `None` takes the best fit, which does not test its value.
        variance: `Lambda`, if the update is meant for a metric other than the identity.

    Raises:
        ValueError: shapes do not fit, entries that are not finite, or an `alpha` of 0.
    """
    J = real_array("J", J, 2).astype(np.float64)
    size = J.shape[0]
    columns = [np.asarray(apply_update(e), dtype=np.float64).ravel() for e in np.eye(size)]
    if columns[0].shape != (J.shape[1],):
        raise ValueError(f"apply_update must return {J.shape[1]} parameters, got shape {columns[0].shape}")
    moved, target = J @ real_array("what apply_update returns", np.stack(columns, axis=1)), np.eye(size)
    if variance is not None:
        variance = symmetric("variance", variance)
        if variance.shape != (size, size):
            raise ValueError(f"variance must have shape {(size, size)} as J has {size} rows, got {variance.shape}")
        values, vectors = np.linalg.eigh(variance)
        if not values[0] >= -1e-8 * values[-1]:
            raise ValueError(f"variance must be positive semi-definite, got the eigenvalue {values[0]:.3g}")
        large = values > 1e-12 * values[-1]
        kept = vectors[:, large]
        root = (kept * np.sqrt(values[large])) @ kept.T
        moved, target = root @ moved @ root, kept @ kept.T
    constant = float(np.trace(moved) / np.trace(target)) if alpha is None else float(alpha)
    if constant == 0 or not np.isfinite(constant):
        raise ValueError(
            f"alpha must be finite and not 0, got {constant}; for None the mean eigenvalue of J R is taken"
        )
    deviation = float(np.linalg.norm(moved / constant - target, 2))
    return Isotropy(deviation, constant, int(np.linalg.matrix_rank(moved, rtol=RANK)))


def transfer_operator(
    theta_star: Sequence[Float[np.ndarray, "MC NC"]], theta: Sequence[Float[np.ndarray, "NC NC"]]
) -> Float[np.ndarray, "MC NC"]:
    """`(1/L) sum_l Theta_{l,*X} Theta_l^{-1}`, what carries a training path to held-out inputs.

    One block (`L = 1`) is the exact Fisher; several are the block-diagonal one. Training paths agree between them up to
    the time scale, held-out ones do not.

    Raises:
        ValueError: a `Theta_l` is numerically singular (condition number above 1e13 with its diagonal scaled to 1), not
            symmetric or not finite, or numbers or shapes of blocks differ.
    """
    if len(theta_star) != len(theta) or not theta:
        raise ValueError(f"expected as many Theta_* as Theta, got {len(theta_star)} and {len(theta)}")
    total: np.ndarray | None = None
    for star, kernel in zip(theta_star, theta, strict=True):
        kernel = symmetric("Theta", kernel)
        star = real_array("Theta_*", star, 2).astype(np.float64)
        if star.shape[1] != len(kernel):
            raise ValueError(f"Theta_* [MC NC] and Theta [NC NC] do not fit, got {star.shape} and {kernel.shape}")
        size = np.sqrt(np.abs(np.diag(kernel)))  # of the samples: their lengths are no sign of dependence
        size[size == 0] = 1
        unit = kernel / size[:, None] / size
        condition = np.linalg.cond(unit)
        if not condition < 1e13:
            raise ValueError(
                f"Theta must be invertible, got condition number {condition:.3g} (diagonal scaled to 1); is J of full row "
                "rank?"
            )
        part = np.linalg.solve(unit, (star / size).T).T / size
        total = part if total is None else total + part
    assert total is not None
    return total / len(theta)
