"""Streaming logistic regression with the Fisher at the optimum: natural gradient as an efficient online estimator."""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from ntkng.perspectives.constant_step import Steps, step_numbers
from ntkng.validation import real_array

__all__ = ["StreamingLogistic"]

SPACING = 0.25  # of the trapezoidal rule, in units of the narrower of the logistic's slope and the Gaussian
REACH = 13.0  # in standard deviations, beyond which the Gaussian is below 1e-36
LARGEST = 1e100  # of |theta*|; the eigenvalue along it is of order |theta*|^-3


@dataclasses.dataclass(frozen=True)
class StreamingLogistic:
    """`x ~ N(0, I_n)`, `y ~ Bernoulli(sigma(x . theta*))`, one fresh pair a step.

    The Fisher at the optimum is `F = E[sigma'(x . theta*) x x^T] = a I + (b - a) u u^T` with `u = theta* / |theta*|`,
    `a = E sigma'(|theta*| g)`, `b = E g^2 sigma'(|theta*| g)`, `g ~ N(0, 1)`. The model is realisable, so the gradient
    noise at the optimum has `Sigma = F = H` and the natural gradient `theta <- theta - F^{-1} g_k / (k + a)` reaches
    the risk `n / (2k)` asymptotically (Fisher efficiency; Amari 1998, Martens 2020).

    Attributes:
        optimum: `theta*`, not zero.
    """

    reference: ClassVar[tuple[str, ...]] = ("amari-1998", "martens-2020")

    optimum: Float[np.ndarray, " n"]

    def __post_init__(self) -> None:
        optimum = real_array("optimum", self.optimum, 1).astype(float)
        if not 0 < np.abs(optimum).max() < LARGEST:
            raise ValueError(
                f"optimum must be a non-zero vector, shorter than {LARGEST:.0e}, got a largest entry of {np.abs(optimum).max():.3g}"
            )
        object.__setattr__(self, "optimum", optimum)

    @property
    def fisher(self) -> Float[np.ndarray, "n n"]:
        """`F` at the optimum, from its two distinct eigenvalues `a` and `b`."""
        across, along = self._eigenvalues
        return across * (np.eye(self._unit.size) - np.outer(self._unit, self._unit)) + along * np.outer(
            self._unit, self._unit
        )

    @property
    def _length(self) -> float:
        largest = np.abs(self.optimum).max()
        return float(largest * np.linalg.norm(self.optimum / largest))

    @property
    def _unit(self) -> Float[np.ndarray, " n"]:
        return self.optimum / self._length

    @functools.cached_property
    def _eigenvalues(self) -> tuple[float, float]:
        """`E sigma'(l g)` and `E g^2 sigma'(l g)`, `l = |theta*|`, by the trapezoidal rule in `t = l g`.

        `sigma'(t)` is analytic for `|Im t| < pi` and falls like `e^{-|t|}`: at this spacing the rule is exact to rounding, however
        steep the logistic.
        """
        length = self._length
        spacing = SPACING * min(1.0, length)
        count = int(np.ceil(min(REACH * length, 745.0) / spacing))
        t = spacing * np.arange(-count, count + 1)
        g = t / length
        weights = expit(t) * expit(-t) * np.exp(-(g**2) / 2) * (spacing / length / np.sqrt(2 * np.pi))
        return float(weights.sum()), float((weights * g**2).sum())

    def simulate(self, offset: float, steps: Steps, *, runs: int, rng: np.random.Generator) -> Float[np.ndarray, "r k"]:
        """`1/2 (theta_k - theta*)^T F (theta_k - theta*)` of runs that start at the optimum, steps `1 / (k + offset)`.

        Args:
            offset: `a`, at least 1; small ones let the first steps leave the region where `F` describes the loss.
            steps: numbers of steps at which the risk is kept, `k >= 1`.
            runs: number of independent runs.
            rng: source of the stream.
        """
        k = step_numbers(steps, least=1)
        if not offset >= 1.0:
            raise ValueError(f"offset must be at least 1, got {offset}")
        fisher = self.fisher
        across, along = self._eigenvalues
        line = np.outer(self._unit, self._unit)
        inverse = (np.eye(len(line)) - line) / across + line / along
        theta, kept = np.tile(self.optimum, (runs, 1)), {}
        for step in range(int(k.max())):
            x = rng.standard_normal(theta.shape)
            labels = rng.random(runs) < expit(x @ self.optimum)
            residual = expit(np.einsum("rn,rn->r", x, theta)) - labels
            theta = theta - (residual[:, None] * x) @ inverse / (step + offset)
            if step + 1 in k:
                error = theta - self.optimum
                kept[step + 1] = 0.5 * np.einsum("ri,ij,rj->r", error, fisher, error)
        return np.stack([kept[number] for number in k.tolist()], axis=1)
