"""One natural gradient step: every approximation against the exact one and against the machine's rates."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkng
from benchmarks.timing import race
from ntkng.fisher import FISHERS
from ntkng.simulate import apply_step

INPUTS, DEPTH = 784, 3
# damped a little: float32 K-FAC factors of pixel-like or many samples are near singular
APPROXIMATIONS = (*(cls(1e-3) for cls in FISHERS), ntkng.UnitWise(1e-2))
LARGE = tuple(fisher for fisher in APPROXIMATIONS if fisher.name in ("Exact", "BlockDiagonal", "KFAC"))


def gemm_rate(dtype: Any, size: int = 2048) -> float:
    """Floating-point operations per second of a large matrix product, the floor's unit."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / race({"gemm": lambda: product(a)}, 5)["gemm"].median


def bandwidth(size: int = 2**26) -> float:
    """Bytes per second, read and written, of an addition in place to an array that no cache holds."""
    add = jax.jit(lambda a: a + 1, donate_argnums=0)
    state = [jnp.ones(size, jnp.float32)]

    def call() -> jax.Array:
        state[0] = add(state[0])
        return state[0]

    return 8 * size / race({"add": call}, 5)["add"].median


def flops(samples: int, width: int, outputs: int) -> float:
    """Of the exact step of a multilayer perceptron: forward, deltas, Grams (half), parameter products, Cholesky."""
    sizes = [INPUTS] + [width] * (DEPTH - 1) + [outputs]
    layers = list(itertools.pairwise(sizes))
    forward = sum(2 * samples * a * b for a, b in layers)
    backward = sum(2 * samples * outputs * a * b for a, b in layers[1:])
    grams = sum(samples**2 * a + (samples * outputs) ** 2 * b for a, b in layers)
    return forward + backward + grams + forward + (samples * outputs) ** 3 / 3


def traffic(samples: int, width: int, outputs: int, itemsize: int) -> float:
    """Bytes: weights read forward and backward, read and written by the step; hidden layers and signals, twice each; two Grams."""
    sizes = [INPUTS] + [width] * (DEPTH - 1) + [outputs]
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    signals = samples * sum(sizes) + samples * outputs * sum(sizes[1:])
    return itemsize * (4 * weights - INPUTS * width + 2 * signals + 2 * (samples * outputs) ** 2)


def make(
    samples: int, width: int, outputs: int, dtype: Any, depth: int = DEPTH
) -> tuple[ntkng.Network, Any, jax.Array, jax.Array]:
    """A ReLU network with data of the benchmark."""
    rng = np.random.default_rng(0)
    network = ntkng.mlp(INPUTS, outputs, width=width, depth=depth)
    parameters = network.init(jax.random.key(0), dtype)
    x = jnp.asarray(rng.normal(size=(samples, INPUTS)), dtype)
    return network, parameters, x, jnp.asarray(rng.normal(size=(samples, outputs)), dtype)


def step_call(
    fisher: ntkng.Fisher, samples: int, width: int, outputs: int, dtype: Any, depth: int = DEPTH
) -> Callable[[], Any]:
    """A compiled step with donated parameters, as a call without arguments."""
    network, parameters, x, y = make(samples, width, outputs, dtype, depth)

    def step(parameters: Any, fisher: ntkng.Fisher, x: jax.Array, y: jax.Array, eta: float) -> Any:
        f, records = network.linearise(parameters, x)
        return apply_step(network, fisher, parameters, records, f - y, eta, dtype)

    compiled = jax.jit(step, donate_argnums=0)
    state = [parameters]

    def call() -> Any:
        state[0] = compiled(state[0], fisher, x, y, 1e-6)
        return state[0]

    return call


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows: one per size and contestant, with the ratio to the exact step and to the floor, `flops / rate + bytes / bandwidth`."""
    sizes = [(100, 512, 1), (100, 1024, 1)] if quick else [
        (100, 512, 1), (100, 1024, 1), (500, 1024, 1), (100, 1024, 10), (100, 2048, 1), (100, 4096, 1), (500, 2048, 1),
        (500, 4096, 1), (100, 2048, 10),
    ]  # fmt: skip
    rows = []
    dtype = jnp.float32
    rate, flow = gemm_rate(dtype), bandwidth()
    for samples, width, outputs in sizes:
        chosen = APPROXIMATIONS if width < 2048 else LARGE
        calls = {fisher.name: step_call(fisher, samples, width, outputs, dtype) for fisher in chosen}
        found = race(calls, 3 if quick else 9)
        arithmetic = flops(samples, width, outputs) / rate
        floor = arithmetic + traffic(samples, width, outputs, 4) / flow
        for name, timing in found.items():
            rows.append(
                {
                    "what": "step", "contestant": name, "N": samples, "M": width, "C": outputs,
                    "seconds": timing.median, "spread": timing.spread, "first call": timing.first,
                    "ratio to exact": timing.median / found["Exact"].median,
                    "ratio to floor": timing.median / floor, "arithmetic": arithmetic / floor,
                    "GFLOP/s of products": rate / 1e9, "GB/s": flow / 1e9,
                }
            )  # fmt: skip
    return rows
