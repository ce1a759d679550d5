"""The large sizes, for which an accelerator is needed: steps with `N = 10,000` at width 16,384 in float32, and isotropy at that width."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkng
from benchmarks.steps import flops, gemm_rate, step_call
from benchmarks.timing import race
from ntkng.compare import worst_distance

SAMPLES, WIDTH = 10_000, 16_384


def run(quick: bool) -> list[dict[str, Any]]:
    """One row per approximation, and one per check; a single row that says `not run` where there is no accelerator."""
    if jax.default_backend() == "cpu":
        return [{"what": "accelerator", "not run": "no accelerator"}]
    samples, width = (1000, 2048) if quick else (SAMPLES, WIDTH)
    floor = flops(samples, width, 1) / gemm_rate(jnp.float32, 8192)
    rows = []
    for cls in (
        ntkng.Exact,
        ntkng.BlockDiagonal,
        ntkng.KFAC,
    ):  # one at a time: the weights alone fill 2 GiB a contestant
        found = race({cls.__name__: step_call(cls(1e-3), samples, width, 1, jnp.float32)}, 5)[cls.__name__]
        rows.append(
            {
                "what": "accelerator", "contestant": cls.__name__, "N": samples, "M": width, "seconds": found.median,
                "spread": found.spread, "first call": found.first, "ratio to floor": found.median / floor,
                "device": jax.devices()[0].device_kind,
            }
        )  # fmt: skip
    return rows + [row for fisher in (ntkng.BlockDiagonal(), ntkng.KFAC()) for row in checks(fisher, width)]


def checks(fisher: ntkng.Fisher, width: int, samples: int = 100) -> list[dict[str, Any]]:
    """Isotropy of one network's kernels, and its training against the infinitely wide limit, at this width."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, 784))
    problem = ntkng.Problem(ntkng.mlp(784, width=width), x, np.sign(x[:, 0]))
    kernels = ntkng.analytic(problem.network, x)
    eta = 0.5 * fisher.optimal_step(kernels)
    trained = ntkng.simulate(problem, fisher, 0, step_size=eta, steps=10, dtype=jnp.float32)
    start = trained.train[:, 0], None
    predicted = ntkng.closed_form(problem, fisher, kernels, step_size=eta, steps=10, initial=start)
    parameters = problem.network.init(jax.random.key(0), jnp.float32)
    own = fisher.kernel(ntkng.empirical(problem.network, parameters, x, factors=fisher.needs_factors))
    values = {
        "off-isotropy of a network's kernel": float(own.off_isotropy),
        "relative error of alpha": abs(own.alpha / fisher.predicted_alpha(kernels) - 1),
        "distance of training to the closed form": float(np.max(worst_distance(trained, predicted))),
    }
    return [
        {
            "what": "accelerator check",
            "contestant": fisher.name,
            "N": samples,
            "M": width,
            "quantity": name,
            "value": value,
        }
        for name, value in values.items()
    ]
