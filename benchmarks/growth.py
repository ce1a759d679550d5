"""How the time of one step and of the analytic layer kernels grows: fitted exponents in N, M, L and C."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkng
from benchmarks.steps import APPROXIMATIONS, step_call
from benchmarks.timing import race
from ntkng.kernels.analytic import layerwise


@dataclasses.dataclass(frozen=True)
class Size:
    """Samples, width, depth and outputs of one measurement."""

    N: int = 200
    M: int = 1024
    L: int = 3
    C: int = 1


GRIDS = {"N": (100, 200, 400, 800), "M": (512, 1024, 2048, 4096), "L": (2, 4, 8, 16), "C": (1, 2, 4, 8)}
QUICK = {"N": (50, 100, 200), "M": (256, 512, 1024), "L": (2, 4), "C": (1, 2)}


def run(quick: bool) -> list[dict[str, Any]]:
    """One row per contestant and quantity: the exponent over the whole grid and over its last interval."""
    start = Size(N=100, M=512) if quick else Size()
    rows = []
    for quantity, grid in (QUICK if quick else GRIDS).items():
        sizes = [dataclasses.replace(start, **{quantity: value}) for value in grid]
        timings = [race(calls(size, quantity), 3 if quick else 5) for size in sizes]
        for name in timings[0]:
            seconds = np.array([found[name].median for found in timings])
            logs = np.log(np.array(grid, float)), np.log(seconds)
            rows.append(
                {
                    "what": "growth", "contestant": name, "in": quantity, "from": grid[0], "to": grid[-1],
                    "exponent": float(np.polyfit(*logs, 1)[0]),
                    "last interval": float(np.diff(logs[1])[-1] / np.diff(logs[0])[-1]),
                    "seconds": float(seconds[-1]),
                }
            )  # fmt: skip
    return rows


def calls(size: Size, quantity: str) -> dict[str, Callable[[], Any]]:
    """A step of every approximation; analytic kernels too, for the quantities that they depend on."""
    contestants: dict[str, Callable[[], Any]] = {
        fisher.name: step_call(fisher, size.N, size.M, size.C, jnp.float32, depth=size.L) for fisher in APPROXIMATIONS
    }
    if quantity in ("N", "L"):
        network = ntkng.mlp(784, depth=size.L)
        x = jnp.asarray(np.random.default_rng(0).normal(size=(size.N, 784)), jnp.float32)
        layered = jax.jit(lambda x: layerwise(network, x, None, 0)[1])
        contestants["analytic layer kernels"] = lambda: layered(x)
    return contestants
