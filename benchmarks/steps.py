"""One natural gradient step: every approximation against the machine's matrix-product rate and a full-Jacobian step."""

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


def gemm_rate(dtype: Any, size: int = 2048) -> float:
    """Floating-point operations per second of a large matrix product, the floor's unit."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / race({"gemm": lambda: product(a)}, 5)["gemm"].median


def flops(samples: int, width: int, outputs: int) -> float:
    """Of the exact step of a multilayer perceptron: forward, deltas, Grams (half), parameter products, Cholesky."""
    sizes = [INPUTS] + [width] * (DEPTH - 1) + [outputs]
    layers = list(itertools.pairwise(sizes))
    forward = sum(2 * samples * a * b for a, b in layers)
    backward = sum(2 * samples * outputs * a * b for a, b in layers[1:])
    grams = sum(samples**2 * a + (samples * outputs) ** 2 * b for a, b in layers)
    return forward + backward + grams + forward + (samples * outputs) ** 3 / 3


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


def full_jacobian_call(samples: int, width: int, dtype: Any) -> Callable[[], Any]:
    """The exact step with the whole `N x P` Jacobian in NumPy, C = 1: what the structured step is compared with."""
    network, parameters, x, y = make(samples, width, 1, dtype)
    weights = [np.asarray(w) for w, _ in network.split(parameters)]
    inputs, targets = np.asarray(x), np.asarray(y)

    def call() -> Any:
        hidden, layers, masks = inputs, [], []
        for index, w in enumerate(weights):
            scaled = (2 / len(w)) ** 0.5 * hidden
            layers.append(scaled)
            u = scaled @ w
            if index < len(weights) - 1:
                masks.append(u > 0)
                hidden = np.maximum(u, 0)
        delta, blocks = np.ones((samples, 1), dtype), []
        for index in range(len(weights) - 1, -1, -1):
            blocks.append(np.einsum("ni,nk->nki", delta, layers[index]).reshape(samples, -1))
            if index:
                delta = (2 / len(weights[index])) ** 0.5 * (delta @ weights[index].T) * masks[index - 1]
        jacobian = np.concatenate(blocks[::-1], axis=1)
        return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T, u - targets)

    return call


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows: one per size and contestant, with the ratio to the exact step and to the floor."""
    sizes = [(100, 512, 1), (100, 1024, 1)] if quick else [
        (100, 512, 1), (100, 1024, 1), (100, 2048, 1), (100, 4096, 1), (500, 1024, 1), (100, 1024, 10),
    ]  # fmt: skip
    rows = []
    dtype = jnp.float32
    rate = gemm_rate(dtype)
    for samples, width, outputs in sizes:
        # damped a little: float32 K-FAC factors of pixel-like or many samples are near singular
        calls = {cls.__name__: step_call(cls(1e-3), samples, width, outputs, dtype) for cls in FISHERS}
        if outputs == 1 and samples * (INPUTS + width) * width * 4 < 3e9:
            calls["full Jacobian, NumPy"] = full_jacobian_call(samples, width, np.float32)
        found = race(calls, 3 if quick else 7)
        floor = flops(samples, width, outputs) / rate
        for name, timing in found.items():
            rows.append(
                {
                    "what": "step", "contestant": name, "N": samples, "M": width, "C": outputs,
                    "seconds": timing.median, "spread": timing.spread, "first call": timing.first,
                    "ratio to exact": timing.median / found["Exact"].median,
                    "ratio to floor": timing.median / floor,
                }
            )  # fmt: skip
    return rows
