"""Binary classification with a linear predictor: margins, gradient and Fisher matrix of the logistic loss."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from ntkng.families import Bernoulli
from ntkng.inductive_bias.least_distance import is_separable
from ntkng.scaled_rows import equilibrated
from ntkng.validation import real_array

__all__ = ["LogisticProblem", "log_losses"]


@dataclasses.dataclass(frozen=True)
class LogisticProblem:
    """Inputs `X [N d]` with labels `y_n = +-1`, logits `f = X w`, loss `L = (1/N) sum_n log(1 + e^{-y_n f_n})`.

    With the margins `m_n = y_n x_n.w` and the residuals `r_n = sigma(-m_n)`, the gradient is
    `g = -(1/N) sum_n y_n r_n x_n` and the Fisher matrix `F = X^T S X / N`, `S = diag(p (1 - p))`, is the Hessian.

    Raises:
        ValueError: shapes do not fit, entries are not finite, or a label is not +-1.
    """

    X: Float[np.ndarray, "N d"]
    y: Float[np.ndarray, " N"]

    def __post_init__(self) -> None:
        if np.ndim(self.X) != 2 or np.size(self.X) == 0 or np.shape(self.y) != np.shape(self.X)[:1]:
            raise ValueError(f"expected inputs [N d] and labels [N], got {np.shape(self.X)} and {np.shape(self.y)}")
        X, y = real_array("inputs X", self.X).astype(np.float64), real_array("labels y", self.y).astype(np.float64)
        if not np.isin(y, (-1, 1)).all():
            raise ValueError("labels must be -1 or 1; map labels 0, 1 with 2 * y - 1")
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", y)

    @property
    def signed(self) -> Float[np.ndarray, "N d"]:
        """`Z = diag(y) X`, so that the margins are `Z w`."""
        return self.y[:, None] * self.X

    @property
    def targets(self) -> Float[np.ndarray, "N 1"]:
        """`(1 + y)/2`, the means that the Bernoulli family aims at."""
        return 0.5 * (1 + self.y[:, None])

    @cached_property
    def rank(self) -> int:
        """Numerical rank of `X`, with its rows and columns in units that make their largest entries equal."""
        return int(np.linalg.matrix_rank(equilibrated(self.X)[0]))

    @cached_property
    def separable(self) -> bool:
        """Whether some `w` has all margins positive, whatever the units of the inputs and however narrow the gap.

        Raises:
            ArithmeticError: too close to call in float64, and too many samples for rational numbers.
        """
        return is_separable(self.signed)

    def margins(self, w: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T N"]:
        """`m_n = y_n x_n.w`."""
        return self.weights(w) @ self.signed.T

    def residuals(self, w: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T N"]:
        """`r_n = sigma(-m_n) = |p_n - t_n|`."""
        return expit(-self.margins(w))

    def gradient(self, w: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T d"]:
        """`g = -(1/N) Z^T r`."""
        return -self.residuals(w) @ self.signed / len(self.y)

    def loss(self, w: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T"]:
        """`(1/N) sum log(1 + e^{-m_n})`."""
        return Bernoulli().loss((self.weights(w) @ self.X.T)[..., None], self.targets)

    def fisher(self, w: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d d"]:
        """`X^T S X / N`."""
        margins = self.margins(w)
        return (self.X.T * (expit(-margins) * expit(margins))) @ self.X / len(self.y)

    def weights(self, w: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T d"]:
        """`w` as float64; raises `ValueError` when it is not finite or its last axis is not `d`."""
        w = real_array("weights", w).astype(np.float64)
        if w.shape[-1:] != self.X.shape[1:]:
            raise ValueError(f"weights must have {self.X.shape[1]} components, got shape {w.shape}")
        return w


def log_losses(margins: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """`log log(1 + e^{-m})`; for large `m` this is `-m - e^{-m}/2`."""
    small = np.minimum(margins, 30.0)
    return np.where(margins > 30, -margins, np.log(np.logaddexp(0, -small)))
