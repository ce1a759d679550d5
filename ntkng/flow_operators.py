"""Operators of a function-space flow that act on each sample or need no kernel.

A preconditioned gradient flow `theta' = -G^+ J^T (mu - y)/N` moves the logits by `f' = -M (mu(f) - y)`,
`M = J G^+ J^T / N`. An operator is a rule for `M`. Those that need a kernel or a range are in
`ntkng.flow_kernel_operators`.
"""

from __future__ import annotations

import abc
import dataclasses
import math

import numpy as np
from jaxtyping import Float
from scipy.special import wrightomega

from ntkng.families import Bernoulli, Family, Gaussian, Poisson, Softmax
from ntkng.validation import positive, real_array

__all__ = ["EmpiricalFisher", "IdentityMetric", "Isotropic", "Operator", "identity_metric_margin"]


@dataclasses.dataclass(frozen=True)
class Operator(abc.ABC):
    """A rule for `M` in `f' = -M (mu(f) - y)`."""

    @abc.abstractmethod
    def velocity(
        self, family: Family, f: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N C"]
    ) -> Float[np.ndarray, "N C"]:
        """`f' = -M(f) (mu(f) - y)`."""

    def has_closed_form(self, family: Family, y: Float[np.ndarray, "N C"]) -> bool:
        """Whether `closed_form` solves the flow of this family towards these targets."""
        return False

    def closed_form(
        self,
        family: Family,
        f0: Float[np.ndarray, "N C"],
        y: Float[np.ndarray, "N C"],
        t: Float[np.ndarray, " T"],
    ) -> Float[np.ndarray, "T N C"]:
        """Logits at the times `t`; only where `has_closed_form`."""
        raise NotImplementedError(f"{type(self).__name__} has no closed form for {type(family).__name__}")

    def validate(self, family: Family, f0: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N C"]) -> None:  # noqa: B027
        """Raises `ValueError` when the operator does not fit the family or the shapes."""

    def end(self, family: Family, f0: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N C"]) -> float:
        """Time at which the flow becomes singular (infinite for most)."""
        return math.inf


@dataclasses.dataclass(frozen=True)
class Isotropic(Operator):
    """`M = alpha Lambda(f)^+`: every residual decays alike, in the mean parameter.

    Master law: `mu(t) = y + e^{-alpha t} (mu(0) - y)`, for every family. It is the flow of the exact Fisher with
    pseudo-inverse (`alpha = 1`, full-row-rank Jacobian) and of the block-diagonal Fisher over `L` layers
    (`alpha = L`, every layer's Jacobian of full row rank). For softmax the row mean of the logits is conserved.

    Attributes:
        alpha: the rate.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.alpha, "alpha")

    def velocity(self, family, f, y):
        """`-alpha Lambda^+ (mu - y)`."""
        return -self.alpha * family.solve_variance(f, family.residual(f, y))

    def has_closed_form(self, family, y):
        """Always."""
        return True

    def closed_form(self, family, f0, y, t):
        """The master law."""
        logits = family.contract(f0, y, -self.alpha * t)
        return logits + f0.mean(-1, keepdims=True) if isinstance(family, Softmax) else logits


@dataclasses.dataclass(frozen=True)
class IdentityMetric(Operator):
    """`M = alpha I`: Gauss-Newton whose metric ignores the curvature of the loss (`Lambda` replaced by `I`).

    Closed forms: Gaussian (the master law); Bernoulli with hard labels and two-class softmax with one-hot labels, by
    the Lambert W function (`identity_metric_margin`, rate `alpha` and `2 alpha`), whose loss has the power-law tail
    `1/(alpha t)`; Poisson, `e^{-f(t)} = 1/y + (e^{-f(0)} - 1/y) e^{-alpha y t}`. Otherwise an ODE.

    Attributes:
        alpha: the rate.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.alpha, "alpha")

    def velocity(self, family, f, y):
        """`-alpha (mu - y)`."""
        return -self.alpha * family.residual(f, y)

    def has_closed_form(self, family, y):
        """Gaussian, Poisson; Bernoulli and two-class softmax with hard labels."""
        hard = bool(np.all((y == 0) | (y == 1)))
        two_way = isinstance(family, Bernoulli) or (isinstance(family, Softmax) and y.shape[-1] == 2)
        return isinstance(family, (Gaussian, Poisson)) or (hard and two_way)

    def closed_form(self, family, f0, y, t):
        """See the class."""
        t = t[:, None, None]
        if isinstance(family, Gaussian):
            return y + np.exp(-self.alpha * t) * (f0 - y)
        if isinstance(family, Poisson):
            return _poisson_identity(f0, y, self.alpha * t)
        sign = 2 * y - 1
        if isinstance(family, Bernoulli):
            return sign * identity_metric_margin(sign * f0, t, self.alpha)
        mean = f0.mean(-1, keepdims=True)
        margin = sign * (f0 - f0[:, ::-1])  # true logit minus the other one, in both columns
        return mean + 0.5 * sign * identity_metric_margin(margin, t, 2 * self.alpha)


@dataclasses.dataclass(frozen=True)
class EmpiricalFisher(Operator):
    """`G = (1/N) sum g_n g_n^T` with the training labels, `g_n = J_n^T e_n`, `e_n = mu_n - y_n`.

    With one output and a full-row-rank Jacobian `M = diag(1/e_n^2)`, the opposite of isotropy: `f_n' = -1/e_n`. With
    more outputs `f' = -Theta E (E^T Theta E)^{-1} 1`, `E = blockdiag(e_n)`. Gaussian: `|e_n|^2 = |e_n(0)|^2 - 2 t`, so
    a sample reaches its target after the finite time `|e_n(0)|^2 / 2`, where the flow is singular.

    Attributes:
        theta: `J J^T`, shape `[NC NC]`, sample-major, no `1/N`; needed only for more than one output.
    """

    theta: Float[np.ndarray, "NC NC"] | None = None

    def velocity(self, family, f, y):
        """`-1/e_n`, or its form for several outputs."""
        e = family.residual(f, y)
        if f.shape[1] == 1:
            return -1 / e
        blocks = np.zeros((f.shape[0], f.shape[1], f.shape[0]))
        blocks[np.arange(f.shape[0]), :, np.arange(f.shape[0])] = e
        stacked = blocks.reshape(f.size, -1)
        assert self.theta is not None  # by `validate`
        moved = self.theta @ stacked
        return -(moved @ np.linalg.solve(stacked.T @ moved, np.ones(f.shape[0]))).reshape(f.shape)

    def has_closed_form(self, family, y):
        """Gaussian with one output."""
        return isinstance(family, Gaussian) and y.shape[1] == 1

    def closed_form(self, family, f0, y, t):
        """`f = y + sign(e(0)) sqrt(e(0)^2 - 2 t)`."""
        e = f0 - y
        fallen = np.sqrt(2 * t[:, None, None])  # e^2 - 2 t as a product: it neither overflows nor cancels near the end
        return y + np.sign(e) * np.sqrt(np.maximum(np.abs(e) - fallen, 0)) * np.sqrt(np.abs(e) + fallen)

    def validate(self, family, f0, y):
        """`theta` must be there and fit when there is more than one output."""
        if f0.shape[1] > 1 and self.theta is None:
            raise ValueError(f"the empirical Fisher with {f0.shape[1]} outputs needs theta [NC NC]; pass J @ J.T")
        if self.theta is not None and np.shape(self.theta) != (f0.size, f0.size):
            raise ValueError(f"theta must have shape {(f0.size, f0.size)}, got {np.shape(self.theta)}")
        if self.theta is not None:
            real_array("theta", self.theta)
        if (np.abs(family.residual(f0, y)).max(-1) == 0).any():
            raise ValueError("the empirical Fisher needs non-zero initial residuals; some sample is already fitted")

    def end(self, family, f0, y):
        """Gaussian: `min |e_n(0)|^2 / 2`; Bernoulli, one output, hard labels: `min log(1 + e^{-m_n(0)})`."""
        if isinstance(family, Gaussian):
            return float(np.min(np.sum((f0 - y) ** 2, axis=-1)) / 2)
        if isinstance(family, Bernoulli) and y.shape[1] == 1 and np.all((y == 0) | (y == 1)):
            return float(np.min(np.logaddexp(0, -(2 * y - 1) * f0)))
        return math.inf


def identity_metric_margin(
    m0: Float[np.ndarray, "..."], t: Float[np.ndarray, "..."], alpha: float = 1.0
) -> Float[np.ndarray, "..."]:
    """Solution of `m' = alpha / (1 + e^m)`, the logistic margin under the identity metric.

    `m + e^m = c(t) = alpha t + m0 + e^{m0}`, hence `m = c - W(e^c) = log W(e^c)` with the Lambert function `W`,
    evaluated as Wright's omega so that `e^c` cannot overflow.

    Args:
        m0: margin at time 0.
        t: times, broadcast against `m0`.
        alpha: the rate.
    """
    m0, t = np.asarray(m0, dtype=np.float64), np.asarray(t, dtype=np.float64)
    c = alpha * t + m0 + np.exp(np.minimum(m0, 600.0))
    omega = wrightomega(c)
    with np.errstate(divide="ignore"):
        m = np.where(c < 0, c - omega, np.log(omega))
    return np.where(m0 > 600, m0, m)  # there e^{-m} is below 1e-260 and the margin no longer moves


def _poisson_identity(f0: np.ndarray, y: np.ndarray, alpha_t: np.ndarray) -> np.ndarray:
    safe = np.where(y > 0, y, 1.0)
    grown = np.where(y > 0, -np.expm1(-safe * alpha_t) / safe, alpha_t)
    with np.errstate(divide="ignore"):  # at t = 0 nothing has grown
        return -np.logaddexp(-f0 - y * alpha_t, np.log(grown))


def check_positive(value: float, name: str) -> None:
    """Refuse what is no positive finite number (`ntkng.validation.positive`, with the arguments the other way round)."""
    positive(name, value)
