r"""The work of every contestant: one damped natural gradient step of a ReLU network, from the same weights and data.

The network has three layers without biases, `u_l = h_{l-1} W_l`, `h_l = max(u_l, 0)`, `W_l ~ N(0, 2 / fan-in)`, in float32. With the loss
`(1/2N) sum |f - y|^2` and the Fisher matrix `F = J^T J / N` (or its K-FAC approximation) the step is `-(F + rho I)^{-1} J^T (f - y) / N`.
The damping of K-FAC is split over its two factors by their traces (Martens and Grosse 2015, section 6.3).

NumPy only: this runs in every contestant's environment.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

INPUTS, DEPTH, DAMPING = 784, 3, 1e-3


@dataclasses.dataclass(frozen=True)
class Work:
    """Data and weights.

    Attributes:
        inputs: `[N, 784]`.
        targets: `[N, C]`.
        weights: per layer `[fan-in, units]`.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: tuple[np.ndarray, ...]

    @property
    def samples(self) -> int:
        """N."""
        return len(self.inputs)

    @property
    def outputs(self) -> int:
        """C."""
        return self.targets.shape[1]


def make(samples: int, width: int, outputs: int) -> Work:
    """The same numbers in every process."""
    rng = np.random.default_rng(0)
    sizes = [INPUTS] + [width] * (DEPTH - 1) + [outputs]
    weights = [rng.normal(size=shape, scale=(2 / shape[0]) ** 0.5) for shape in itertools.pairwise(sizes)]
    inputs, targets = rng.normal(size=(samples, INPUTS)), rng.normal(size=(samples, outputs))
    return Work(
        inputs.astype(np.float32), targets.astype(np.float32), tuple(weight.astype(np.float32) for weight in weights)
    )


def checksum(work: Work, weights: list[np.ndarray]) -> list[float]:
    """What a step did: its norm in every layer, and the norm of the residual after it over that before it."""
    steps = [float(np.linalg.norm(new - old)) for new, old in zip(weights, work.weights, strict=True)]
    return [*steps, residual(work, weights) / residual(work, list(work.weights))]


def residual(work: Work, weights: list[np.ndarray]) -> float:
    """`|f - y|`."""
    hidden = work.inputs
    for weight in weights[:-1]:
        hidden = np.maximum(hidden @ weight, 0)
    return float(np.linalg.norm(hidden @ weights[-1] - work.targets))
