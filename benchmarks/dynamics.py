"""Analytic layer kernels against neural-tangents' total NTK, and closed forms against their linear algebra."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkng
from benchmarks.timing import race
from ntkng.kernels.analytic import layerwise


def kernels(quick: bool) -> list[dict[str, Any]]:
    """All layer kernels in one compiled program, against the total NTK of the same library layers."""
    rows = []
    for samples in (200, 500) if quick else (500, 1000, 2000):
        network = ntkng.mlp(784, depth=3)
        x = jnp.asarray(np.random.default_rng(0).normal(size=(samples, 784)), jnp.float32)
        layered = jax.jit(lambda x, network=network: layerwise(network, x, None, 0)[1])
        total = jax.jit(lambda x, network=network: network.layer.kernel_fn(x, None, "ntk"))
        found = race({"ntkng, every layer": lambda: layered(x), "neural-tangents, total": lambda: total(x)})
        for name, timing in found.items():
            ratio = timing.median / found["neural-tangents, total"].median
            rows.append({"what": "analytic kernel", "contestant": name, "N": samples, "seconds": timing.median,
                         "spread": timing.spread, "first call": timing.first, "ratio to total NTK": ratio})  # fmt: skip
    return rows


def closed_forms(quick: bool) -> list[dict[str, Any]]:
    """Closed form at 100 times, against one Cholesky and one `eigh` of the same size."""
    rows = []
    for samples in (300,) if quick else (1000, 5000):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(samples, 784))
        problem = ntkng.Problem(ntkng.mlp(784, depth=3), x, x[:, 0])
        with jax.enable_x64(True):
            kernels_ = ntkng.analytic(problem.network, x)
            theta = jnp.asarray(kernels_.theta.train)
            algebra = jax.jit(lambda k: (jnp.linalg.cholesky(k), jnp.linalg.eigh(k)))
            fishers = (
                ntkng.Exact(),
                ntkng.BlockDiagonal(),
                ntkng.KFAC(1e-3),
            )  # undamped K-FAC ends at N = 784, the inputs
            calls: dict[str, Any] = {
                f.name: lambda f=f: ntkng.closed_form(problem, f, kernels_, step_size=0.01, steps=99).train
                for f in fishers
            }
            found = race({**calls, "Cholesky + eigh": lambda: algebra(theta)}, 3 if samples < 2000 else 0)
        for name, timing in found.items():
            ratio = timing.median / found["Cholesky + eigh"].median
            rows.append({"what": "closed form", "contestant": name, "N": samples, "seconds": timing.median,
                         "spread": timing.spread, "first call": timing.first, "ratio to algebra": ratio})  # fmt: skip
    return rows
