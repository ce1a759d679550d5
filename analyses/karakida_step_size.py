"""Loss after one step against the step size: every approximation has its minimum at its own `1/alpha`.

At finite width the network is not linear over a full step, which moves the minimum to larger steps by a term that vanishes with
the width M (like `1/sqrt(M)` or faster). A small step has no such term: there `1 - sqrt(L_1 / L_0) = eta alpha`, which measures
`alpha` itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from analyses.karakida_depth import expected_alpha
from analyses.karakida_problems import APPROXIMATIONS, SOURCE, draw, kernels, problem
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.closed_form import closed_form
from ntkng.fisher import Fisher
from ntkng.network import Network, Parameters
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import apply_step
from ntkng.sweep import sweep

PROBLEM, SAMPLES, DEPTH = "synthetic", 50, 4  # at depth 4 all approximations have different alpha
FACTORS = (0.05, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75)
NEAR = (0.75, 0.9, 1.0, 1.1, 1.25)  # factors of 1/alpha over which the parabola is fitted
SMALL = 0.05  # the factor that measures alpha
SMALL_STEP_ERROR = 0.015
LOW = 0.02  # the minimum is moved to larger steps only
SHIFT = {"Exact": 3.0, "BlockDiagonal": 3.0, "BlockTriDiagonal": 3.0, "KFAC": 4.5}  # by this over sqrt(M) at most
FISHERS = {fisher.name: fisher for fisher in APPROXIMATIONS}


def study(settings: Settings) -> Study:
    """One step from the same networks at every step size; step sizes are multiples of the paper's `1/alpha`."""
    seeds = settings.choose(8, 8, 8)
    widths = settings.choose((256, 1024), (256, 1024, 2048), (256, 1024, 4096))
    width = widths[-1]
    points = [
        {
            "fisher": name,
            "factors": FACTORS if size == width else NEAR,
            "width": size,
            "network": i,
            "seed": settings.seed,
        }
        for size in widths
        for i in range(seeds)
        for name in FISHERS
    ]
    rows = sweep(losses, points, cache=settings.cache, track=settings.track, description="loss against step size")
    table = pd.DataFrame(rows).drop(columns="factors")
    minima = {name: locations(select(table, fisher=name)) for name in FISHERS}
    facts = {"samples": SAMPLES, "seeds": seeds, "width": width, "widths": list(widths), "depth": DEPTH}
    claims = make_claims(select(table, width=width), minima)
    report = Report("Loss after one step", tuple(claims), provenance(facts, seed=settings.seed))
    return Study(table, report, facts={**facts, "minima": minima})


def losses(fisher: str, factors: Sequence[float], width: int, network: int, seed: int) -> list[dict[str, Any]]:
    """Training loss before and after one step at `factor / alpha`, simulated and predicted, of one network."""
    setting = problem(PROBLEM, width, depth=DEPTH, samples=SAMPLES, seed=seed)
    theory = kernels(PROBLEM, depth=DEPTH, samples=SAMPLES, seed=seed)
    unit = 1 / expected_alpha(fisher, DEPTH, SAMPLES)
    parameters = draw(setting.network, seed * 1000 + network)
    start, moved = one_step(setting, FISHERS[fisher], parameters, unit, np.asarray(factors))
    rows = []
    for factor, outputs in zip(factors, moved, strict=True):
        predicted = closed_form(
            setting,
            FISHERS[fisher],
            theory,
            step_size=factor * unit,
            steps=1,
            initial=(start, setting.y_test),  # test functions play no role
        )
        rows.append(
            {"factor": factor, "eta": factor * unit, "before": loss(np.asarray(start) - setting.y),
             "after": loss(np.asarray(outputs) - setting.y), "predicted": float(predicted.train_loss[1])}
        )  # fmt: skip
    return rows


def loss(residual: Float[np.ndarray, "N C"]) -> float:
    """`1/(2N) sum |r|^2`."""
    return float((residual**2).sum() / (2 * len(residual)))


@in_float64
def one_step(
    setting: Problem, fisher: Fisher, parameters: Parameters, step_size: float, factors: Float[np.ndarray, "F"]
) -> tuple[Float[Array, "N C"], Float[Array, "F N C"]]:
    """The function before, and after one step of `factor * step_size` for each factor; the direction is computed once."""
    x, y = jnp.asarray(setting.x), jnp.asarray(setting.y)
    return _one_step(setting.network, fisher, parameters, x, y, step_size, jnp.asarray(factors))


@functools.partial(jax.jit, static_argnames="network")
def _one_step(
    network: Network, fisher: Fisher, parameters: Parameters, x: Array, y: Array, step_size: Array, factors: Array
) -> tuple[Array, Array]:
    outputs, records = network.linearise(parameters, x)
    moved = apply_step(network, fisher, parameters, records, outputs - y, step_size)

    def after(factor: Array) -> Array:
        return network.apply(jax.tree.map(lambda a, b: a + factor * (b - a), parameters, moved), x)

    return outputs, jax.lax.map(after, factors)


def locations(rows: pd.DataFrame) -> pd.DataFrame:
    """Location of the minimum in units of the paper's `1/alpha`, one row per width and network."""
    parts = []
    for width, part in rows.groupby("width"):
        found = minimum(part)
        parts.append(pd.DataFrame({"width": width, "network": range(len(found)), "location": found}))
    return pd.concat(parts, ignore_index=True)


def alpha_ratio(rows: pd.DataFrame) -> np.ndarray:
    """`alpha` measured by a small step, over the paper's: `(1 - sqrt(L_1 / L_0)) / (eta alpha)`, one per network."""
    small = select(rows, factor=SMALL)
    return (1 - np.sqrt(small["after"].to_numpy() / small["before"].to_numpy())) / SMALL


def minimum(rows: pd.DataFrame) -> np.ndarray:
    """Location of the minimum at one width, one per network, from a parabola near it."""
    near = rows.query("factor in @NEAR")
    fits = []
    for _, part in near.groupby("network"):
        ratio = part["after"].to_numpy() / part["before"].to_numpy()
        curvature, slope, _ = np.polyfit(part["factor"].to_numpy(), ratio, 2)
        fits.append(-slope / (2 * curvature))
    return np.asarray(fits)


def make_claims(table: pd.DataFrame, minima: dict[str, pd.DataFrame]) -> Iterator[Claim]:
    """The minimum lies at `1/alpha`, closer with growing width, and a small step measures `alpha`."""
    for name, found in minima.items():
        alpha = f"the predicted alpha = {expected_alpha(name, DEPTH, SAMPLES):g}"
        widths = sorted(found["width"].unique())
        last, first = (select(found, width=width)["location"].to_numpy() for width in (widths[-1], widths[0]))
        value, half = mean_with_interval(last)
        yield Claim.within(
            f"{name}/location", value, 1 - LOW, 1 + SHIFT[name] / np.sqrt(widths[-1]),
            f"best step size times {alpha}, at M = {widths[-1]}", uncertainty=half, source=f"{SOURCE}, section 5",
        )  # fmt: skip
        closer, half = mean_with_interval(first - last)
        yield Claim.above(
            f"{name}/location converges", closer, 0,
            f"how much closer to 1 that is at M = {widths[-1]} than at M = {widths[0]}", uncertainty=half,
        )  # fmt: skip
        value, half = mean_with_interval(alpha_ratio(select(table, fisher=name)))
        yield Claim.within(
            f"{name}/alpha", value, 1 - SMALL_STEP_ERROR, 1 + SMALL_STEP_ERROR,
            f"alpha measured by a small step over {alpha}", uncertainty=half, source=f"{SOURCE}, section 4",
        )  # fmt: skip
