"""`Family`: an exponential family with its canonical link, what a loss is, seen from the logits.

A family has the negative log-likelihood `l(f, y) = A(f) - y.f` (up to a term in `y`), the mean `mu(f) = grad A(f)` and
the variance `Lambda(f) = dmu/df = Hess A(f)`, which is the Fisher information in the logits and also the Hessian of
`l` (so the Fisher matrix is the generalised Gauss-Newton matrix; Martens 2020). The gradient is `mu(f) - y`.
Everything is NumPy float64 and takes leading batch axes, so that a whole path `[T N C]` goes through at once. Targets may have any
dtype (labels are unsigned, or booleans), `[N]` is `[N 1]`, and whatever else does not fit the logits is refused.
"""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
from jaxtyping import Float

from ntkng.targets import paired


@dataclasses.dataclass(frozen=True)
class Family(abc.ABC):
    """An exponential family with canonical link."""

    @abc.abstractmethod
    def mean(self, f: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C"]:
        """`mu(f)`."""

    @abc.abstractmethod
    def variance(self, f: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C C"]:
        """`Lambda(f) = dmu/df`, one `C x C` block a sample (no `1/N`)."""

    @abc.abstractmethod
    def solve_variance(self, f: Float[np.ndarray, "... N C"], v: Float[np.ndarray, "... N C"]) -> np.ndarray:
        """`Lambda(f)^+ v` for `v` in the range of `Lambda` (for softmax: rows that sum to zero), in closed form."""

    @abc.abstractmethod
    def link(self, mu: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C"]:
        """Logits that have the mean `mu` (softmax: those whose class mean is zero)."""

    @abc.abstractmethod
    def _loss(self, f: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative log-likelihood of each output, `[... N C]`."""

    @abc.abstractmethod
    def _divergence(self, f: np.ndarray, other: np.ndarray) -> np.ndarray:
        """`KL(p(.|f) || p(.|other))` of each sample, `[... N]`, without cancellation."""

    @abc.abstractmethod
    def contract(self, f: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N C"], log_decay: np.ndarray) -> np.ndarray:
        """Logits `[... N C]` of the mean `y + exp(log_decay) (mu(f) - y)`, accurate however small the decay is."""

    def loss(self, f: Float[np.ndarray, "... N C"], y: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "..."]:
        """Negative log-likelihood, summed over `C` and averaged over the `N` samples (here is the `1/N`).

        Raises:
            ValueError: targets of another shape than the logits, or that are no means of the family.
        """
        with np.errstate(over="ignore"):  # a loss beyond the float range is infinite
            return np.sum(self._loss(*self._paired(f, y)), axis=-1).mean(-1)

    def residual(self, f: Float[np.ndarray, "... N C"], y: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "... N C"]:
        """`mu(f) - y`, the gradient of each sample's loss in its logits; `ValueError` as for `loss`."""
        return self._residual(*self._paired(f, y))

    def divergence(self, f: Float[np.ndarray, "... N C"], other: Float[np.ndarray, "... N C"]) -> np.ndarray:
        """`KL(p(.|f) || p(.|other))`, averaged over the `N` samples, to relative rounding however near or far they are.

        Raises:
            ValueError: logits of different shapes, or that are not finite.
        """
        f, other = paired(f, other, "other")
        for name, logits in (("f", f), ("other", other)):
            if not np.isfinite(logits).all():
                raise ValueError(
                    f"{name} must be finite logits, got {np.sum(~np.isfinite(logits))} entries that are not"
                )
        return self._divergence(f, other).mean(-1)

    def validate_targets(self, y: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """`y` as float64; raises `ValueError` when it is not a finite `[N C]` array of possible means."""
        y = _finite_matrix(y, "targets")
        self.require_means(y)
        return y

    def require_means(self, y: Float[np.ndarray, "... N C"]) -> None:  # noqa: B027
        """`ValueError` for targets that are no possible means of the family."""

    def _paired(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f, y = paired(f, y)
        self.require_means(y)
        return f, y

    def _residual(self, f: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.mean(f) - y

    def validate_logits(self, f: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """`f` as float64; raises `ValueError` when it is not a finite `[N C]` array."""
        return _finite_matrix(f, "logits")


def _finite_matrix(array, name: str) -> np.ndarray:
    array = np.asarray(array, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape [N C], got {array.shape}; write one output as array[:, None]")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.sum(~np.isfinite(array))} entries that are not")
    return array
