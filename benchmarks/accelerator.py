"""The large sizes, for which an accelerator is needed: steps with `N = 10,000` at width 16,384 in float32, and the theory at that width."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkng
from benchmarks.steps import flops, gemm_rate, step_call
from benchmarks.timing import race
from ntkng.compare import worst_distance

SAMPLES, WIDTH, SEEDS = 10_000, 16_384, 3
TIMED = (ntkng.Exact, ntkng.BlockDiagonal, ntkng.KFAC)
CHECKED = (*TIMED, ntkng.BlockTriDiagonal)


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of `measure`; a single one that says `not run` where there is no accelerator."""
    if jax.default_backend() == "cpu":
        return [{"what": "accelerator", "not run": "no accelerator"}]
    return measure(1000, 2048) if quick else measure(SAMPLES, WIDTH)


def measure(samples: int, width: int, large: int = 8192) -> list[dict[str, Any]]:
    """One row per approximation with its time over the floor, and one per approximation and check (see `checks`).

    Args:
        samples: N of the steps.
        width: M.
        large: size of the matrix product that gives the floor's rate.
    """
    floor = flops(samples, width, 1) / gemm_rate(jnp.float32, large)
    rows = []
    for cls in TIMED:  # one at a time: at the full size the weights alone fill 2 GiB a contestant
        found = race({cls.__name__: step_call(cls(1e-3), samples, width, 1, jnp.float32)}, 5)[cls.__name__]
        rows.append({"what": "accelerator", "contestant": cls.__name__, "N": samples, "M": width, "seconds": found.median,
                     "spread": found.spread, "first call": found.first, "ratio to floor": found.median / floor,
                     "device": jax.devices()[0].device_kind})  # fmt: skip
    return rows + [row for cls in CHECKED for row in checks(cls(), width)]


def checks(fisher: ntkng.Fisher, width: int, samples: int = 100) -> list[dict[str, Any]]:
    """Main paper, section 4, at this width: isotropy with alpha, layer kernels and training against the infinitely wide limit.

    Each value is the largest over `SEEDS` networks in float32. `|K - alpha I|_F / |alpha I|_F` is at the level of rounding, at
    any width; the others fall with the width.
    """
    x = np.random.default_rng(0).normal(size=(samples, 784))
    problem = ntkng.Problem(ntkng.mlp(784, width=width), x, np.sign(x[:, 0]))
    kernels = ntkng.analytic(problem.network, x)
    eta, alpha = 0.5 * fisher.optimal_step(kernels), fisher.predicted_alpha(kernels)
    assert alpha is not None
    values: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        trained = ntkng.simulate(problem, fisher, seed, step_size=eta, steps=10, dtype=jnp.float32)
        start = trained.train[:, 0], None
        predicted = ntkng.closed_form(problem, fisher, kernels, step_size=eta, steps=10, initial=start)
        parameters = problem.network.init(jax.random.key(seed), jnp.float32)
        own = ntkng.empirical(problem.network, parameters, x, factors=fisher.needs_factors)
        preconditioned = fisher.kernel(own).train
        for name, value in {
            "distance of K to alpha I": _distance(preconditioned, alpha * np.eye(samples)),
            "distance of a layer's kernel to the limit": max(
                _distance(finite.theta.train, wide.theta.train)
                for finite, wide in zip(own.layers, kernels.layers, strict=True)
            ),
            "distance of training to the closed form": np.max(worst_distance(trained, predicted)),
        }.items():
            values.setdefault(name, []).append(float(value))
    return [
        {"what": "accelerator check", "contestant": fisher.name, "N": samples, "M": width, "quantity": name,
         "value": max(found), "networks": SEEDS}
        for name, found in values.items()
    ]  # fmt: skip


def _distance(found: Any, expected: Any) -> float:
    return float(np.linalg.norm(np.asarray(found) - np.asarray(expected)) / np.linalg.norm(np.asarray(expected)))
