"""How far the integrals of an activation can be trusted: measured once for each function, on the host, before it is used.

The rule is compared with a finer one at standard deviations up to that of the level and at correlations from 0 to 1, values
and derivatives alike. The first choice of grids that agrees is taken; a level where none agrees ends the range. Nothing can
be concluded about a function that both grids miss, such as a narrow bump far from 0.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkng.quadrature import rule
from ntkng.quadrature.activation import Activation
from ntkng.quadrature.grids import FLOAT32, FLOAT64, Grids, Level, grids

# largest standard deviation of a level -> largest error there, of the geometric mean of the two variances
TOLERANCES = {1.0: 1e-11, 3.0: 1e-11, 10.0: 1e-11, 100.0: 1e-10, 1e3: 1e-10, 1e4: 1e-9}
CHOICES = ((1.0, 1.0), (0.3, 1.0), (1.0, 0.7), (0.1, 1.0), (2.0, 0.5))  # scale and refinement, cheap ones first
FINER = 0.8, 0.7  # factors of these for the comparison
# the first choice at all levels: the tests measure it
SMOOTH = (jnp.tanh, jax.nn.sigmoid, jax.nn.softplus, jax.nn.silu, jax.scipy.special.erf)
CORRELATIONS = np.array([0.0, 0.3, 0.7, 0.9, 0.97, 0.99, 0.9999, 1 - 1e-6, 1 - 1e-8])
FRACTIONS = np.array([1.0, 0.99, 0.6, 0.3, 0.1, 0.03, 1e-2, 1e-3])  # of the level's standard deviation
ROWS = 4096  # the tables are filled up to this length, so that one program serves for all choices


@dataclasses.dataclass(frozen=True)
class Trust:
    """Where the integrals of one activation are accurate.

    Attributes:
        levels: the grids, for increasing standard deviations.
        accuracy: the bound that the last of them meets.
        failed: the level above it that was tried in vain, or `None`.
        reached: the smallest error there.
    """

    levels: tuple[Level, ...]
    accuracy: float
    failed: float | None
    reached: float

    @property
    def limit(self) -> float:
        """The largest standard deviation of inputs."""
        return self.levels[-1].largest

    @functools.cached_property
    def tables(self) -> dict[Any, Grids]:
        """The grids for each precision."""
        return {
            jnp.dtype(jnp.float64): grids(self.levels, FLOAT64),
            jnp.dtype(jnp.float32): grids(self.levels, FLOAT32),
        }


@functools.lru_cache(maxsize=256)
def trust(activation: Activation) -> Trust:
    """The range of an activation.

    Raises:
        ValueError: no level is accurate, which happens for functions with kinks or jumps; a function that mixes entries; a
            derivative that is another function's.
    """
    if activation.function in SMOOTH and activation.slope is None:
        scale, refinement = CHOICES[0]
        levels = tuple(Level(largest, scale, refinement) for largest in TOLERANCES)
        return Trust(levels, list(TOLERANCES.values())[-1], None, 0.0)
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        _require_consistent(activation)
        return _measured(activation)


def _measured(activation: Activation) -> Trust:
    evaluate = activation.derivatives((0, 1))
    program = jax.jit(lambda s, rho, rows, levels: _both(evaluate, s, rho, Grids(rows, levels)))
    levels: list[Level] = []
    accuracy = reached = np.inf
    for largest, tolerance in TOLERANCES.items():
        errors = []
        for scale, refinement in CHOICES:
            levels_tried = Level(largest, scale, refinement), Level(largest, scale * FINER[0], refinement * FINER[1])
            errors.append(_disagreement(program, *levels_tried))
            if errors[-1] <= tolerance:
                levels.append(levels_tried[0])
                accuracy = tolerance
                break
        else:
            reached = min(errors, key=lambda error: (np.isnan(error), error))
            break
    failed = None if len(levels) == len(TOLERANCES) else list(TOLERANCES)[len(levels)]
    if not levels:
        raise ValueError(
            f"the kernel of {activation.name} needs Gaussian integrals, whose relative accuracy is {reached:.0e} for input "
            f"standard deviations up to {failed:g}, expected {TOLERANCES[1.0]:.0e}: the function has kinks or jumps, changes or "
            "grows too fast; use a layer with a closed form (stax.Relu, stax.ABRelu, stax.Sign, ...), a smooth function, or "
            "stax.Elementwise with the integrals as formulas"
        )
    return Trust(tuple(levels), accuracy, failed, reached)


def _both(evaluate: rule.Evaluate, s: Any, rho: Any, tables: Grids) -> Any:
    squares = rule.single(lambda u: evaluate(u) ** 2, s, tables)
    return squares, rule.pairs(evaluate, ((0, 0), (1, 1)), s, None, rho, tables)


def _disagreement(program: Any, level: Level, finer: Level) -> float:
    """Largest difference of the kernels of a level and of a finer one, relative to the geometric mean of the variances."""
    index = np.arange(len(FRACTIONS))
    rho = CORRELATIONS[(index[:, None] + index) % len(CORRELATIONS)]
    np.fill_diagonal(rho, 1)
    s = level.largest * FRACTIONS
    (squares, found), (_, expected) = (_run(program, s, rho, one) for one in (level, finer))
    diagonal = np.diagonal(expected, axis1=1, axis2=2)
    scale = np.sqrt(diagonal[:, :, None] * diagonal[:, None, :])
    scale = np.where(scale > 0, scale, 1)
    differences = np.abs(found - expected) / scale, np.abs(squares - diagonal) / np.diagonal(scale, axis1=1, axis2=2)
    return float(max(difference.max() for difference in differences))


def _run(program: Any, s: np.ndarray, rho: np.ndarray, level: Level) -> list[np.ndarray]:
    table = grids((level,), FLOAT64)
    rows = np.zeros((ROWS, table.rows.shape[1]))
    rows[: len(table.rows)] = table.rows
    return [np.asarray(part) for part in program(s, rho, rows, table.levels)]


def _require_consistent(activation: Activation) -> None:
    points = jnp.linspace(-1.9, 2, 5)
    evaluate = activation.derivatives((0,))
    together, alone = (np.ravel(part) for part in (evaluate(points), [evaluate(points[i : i + 1]) for i in range(5)]))
    if not np.allclose(together, alone, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise ValueError(
            f"{activation.name} mixes entries of its input, expected an elementwise function such as jnp.tanh"
        )
    if activation.slope is not None:
        step = 1e-5
        around = [activation.derivatives((0,))(points + side * step)[0] for side in (-1, 1)]
        slope, expected = activation.derivatives((1,))(points)[0], (around[1] - around[0]) / (2 * step)
        if not np.allclose(slope, expected, rtol=1e-5, atol=1e-7, equal_nan=True):
            raise ValueError(
                f"df is not the derivative of {activation.name}: got {float(slope[0]):.6g} at {float(points[0]):g}, expected "
                f"{float(expected[0]):.6g}; leave df out for automatic differentiation"
            )
