r"""The grids of the rule (see `ntkng.quadrature.rule`), as tables that are made once on the host.

The activation changes on a scale `c` around 0 (1.6 for tanh, the distance of its nearest pole). Up to a largest standard
deviation `S` the finest scale of `x = u / s` is `k = c / S`. Three grids, whose number of points grows with `log(1 / k)` only:

- smoothing: trapezoidal rule in `tau`, `x = k sinh(tau)`, within the window of the Gaussian;
- expectation over `z`: trapezoidal rule in `t`, `z = b sinh(t)`, `b^2 = 1 - rho + k^2` (what is left of the structure);
- correlation: Chebyshev points (first kind) in `log(1 + 2 (1 - rho^2) / k^2)`, barycentric formula.
"""

from __future__ import annotations

import dataclasses

import numpy as np

BLOCK = 16  # points of a grid that are evaluated together; their numbers are rounded up to it


@dataclasses.dataclass(frozen=True)
class Steps:
    """How fine the grids are, and how far they reach (in standard deviations), for one precision.

    Attributes:
        shared: step of the grid of `t`.
        smoothing: step of the grid of `tau`.
        window: largest step of the smoothing in units of its Gaussian.
        reach: half-width of the grid of `z`.
        smoothing_reach: of the smoothing.
        correlations: number of correlations, `first + second * log(1 + 2 / k^2)`.
    """

    shared: float
    smoothing: float
    window: float
    reach: float
    smoothing_reach: float
    correlations: tuple[float, float]


FLOAT64 = Steps(0.13, 0.08, 0.65, 12.0, 9.5, (10.0, 3.0))
FLOAT32 = Steps(0.22, 0.14, 1.0, 8.0, 6.0, (6.0, 1.5))


@dataclasses.dataclass(frozen=True)
class Level:
    """The grids for standard deviations up to `largest`.

    Attributes:
        largest: standard deviation.
        scale: `c`.
        refinement: factor of all steps, below 1 for finer grids.
    """

    largest: float
    scale: float
    refinement: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Grids:
    """Those of all levels, one below the other.

    Attributes:
        rows: one a block of points of `z`: the columns of `ROW`, then those of `POINT` for each of them.
        levels: one a level: the columns of `LEVEL`.
    """

    rows: np.ndarray
    levels: np.ndarray


ROW = ("position", "weight", "first", "inverse", "width", "k", "blocks")
POINT = (
    "centre",
    "share",
    "middle",
    "first",
    "step",
)  # of the smoothing: `centre = k sinh(middle)`, first `tau - middle`
LEVEL = ("largest", "k", "stretch", "start", "stop", "step", "blocks")


def grids(levels: tuple[Level, ...], steps: Steps) -> Grids:
    """The tables for increasing `levels`."""
    rows: list[np.ndarray] = []
    table = []
    for level in levels:
        k = level.scale / level.largest
        stretch, start = np.log1p(2 / k**2), len(rows)
        rows += _rows(k, stretch, level.refinement, steps)
        step, blocks = _even(np.arcsinh(steps.reach / k), steps.shared * level.refinement)
        table.append((level.largest, k, stretch, start, len(rows), step, blocks))
    return Grids(np.array(rows), np.array(table))


def _rows(k: float, stretch: float, refinement: float, steps: Steps) -> list[np.ndarray]:
    rows = []
    count = int(np.ceil((steps.correlations[0] + steps.correlations[1] * stretch) / refinement))
    for index in range(count):
        angle = (2 * index + 1) * np.pi / (2 * count)
        loss = k**2 / 2 * np.expm1(stretch * (np.cos(angle) + 1) / 2)  # 1 - rho^2
        rho = np.sqrt(1 - loss)
        width = np.sqrt(loss / (1 + rho))  # root of 1 - rho
        b = np.hypot(width, k)
        step, blocks = _even(np.arcsinh(steps.reach / b), steps.shared * refinement)
        window = steps.smoothing_reach * width
        nodes = max(2 * steps.smoothing_reach / steps.window, 2 * np.arcsinh(window / k) / steps.smoothing)
        smoothing = _blocks(nodes / refinement)
        for block in range(blocks):
            t = step * (block * BLOCK + np.arange(BLOCK) + 0.5)
            z = b * np.sinh(t)
            share = step * b * np.cosh(t) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
            centre = np.sqrt(rho) * z
            low, middle, high = (np.arcsinh((centre + side * window) / k) for side in (-1, 0, 1))
            each = (high - low) / (smoothing * BLOCK)
            head = np.cos(angle), (-1) ** index * np.sin(angle), block == 0, 1 / rho, width, k, smoothing
            rows.append(np.concatenate([head, centre, share, middle, low - middle + each / 2, each]))
    return rows


def _even(length: float, step: float) -> tuple[float, int]:
    """The step below `step` for which `length` is a whole number of blocks, and that number."""
    blocks = _blocks(length / step)
    return length / (blocks * BLOCK), blocks


def _blocks(points: float) -> int:
    return max(1, int(np.ceil(points / BLOCK)))
