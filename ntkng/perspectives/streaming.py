"""Streaming logistic regression with the Fisher at the optimum: natural gradient as an efficient online estimator."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from ntkng.perspectives.constant_step import Steps, step_numbers

__all__ = ["StreamingLogistic"]

GAUSS_HERMITE_NODES = 200


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
        optimum = np.asarray(self.optimum, dtype=np.float64)
        if optimum.ndim != 1 or not np.any(optimum):
            raise ValueError(f"optimum must be a non-zero vector, got shape {optimum.shape}")
        object.__setattr__(self, "optimum", optimum)

    @property
    def fisher(self) -> Float[np.ndarray, "n n"]:
        """`F` at the optimum, by Gauss-Hermite quadrature of its two distinct eigenvalues."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(GAUSS_HERMITE_NODES)
        weights = weights / weights.sum()
        length = float(np.linalg.norm(self.optimum))
        slope = expit(length * nodes) * expit(-length * nodes)
        across, along = float(weights @ slope), float(weights @ (nodes**2 * slope))
        unit = self.optimum / length
        return across * np.eye(unit.size) + (along - across) * np.outer(unit, unit)

    def simulate(self, offset: float, steps: Steps, *, runs: int, rng: np.random.Generator) -> Float[np.ndarray, "r k"]:
        """`1/2 (theta_k - theta*)^T F (theta_k - theta*)` of runs that start at the optimum, steps `1 / (k + offset)`.

        Args:
            offset: `a`, at least 1; small ones let the first steps leave the region where `F` describes the loss.
            steps: numbers of steps at which the risk is kept, `k >= 1`.
            runs: number of independent runs.
            rng: source of the stream.
        """
        k = step_numbers(steps, least=1)
        if offset < 1.0:
            raise ValueError(f"offset must be at least 1, got {offset}")
        fisher = self.fisher
        inverse = np.linalg.inv(fisher)
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
