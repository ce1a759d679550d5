"""Loss after one step against the step size: every approximation has its minimum at its own `1/alpha`.

At finite width the network is not linear over a full step, which moves the minimum to larger steps by a term that vanishes with
the width M (like `1/sqrt(M)` or faster). A small step has no such term: there `1 - sqrt(L_1 / L_0) = eta alpha`, which measures
`alpha` itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_depth import expected_alpha
from analyses.karakida_problems import APPROXIMATIONS, SOURCE, kernels, problem
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.closed_form import closed_form
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.sweep import sweep

PROBLEM, SAMPLES, DEPTH = "synthetic", 50, 3
FACTORS = (0.05, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75)
NEAR = (0.75, 0.9, 1.0, 1.1, 1.25)  # factors of 1/alpha over which the parabola is fitted
SMALL = 0.05  # the factor that measures alpha
SMALL_STEP_ERROR = 0.015
LOW = 0.02  # the minimum is moved to larger steps only
SHIFT = {"Exact": 2.5, "BlockDiagonal": 2.5, "BlockTriDiagonal": 2.5, "KFAC": 4.0}  # by this over sqrt(M) at most
FISHERS = {fisher.name: fisher for fisher in APPROXIMATIONS}


def study(settings: Settings) -> Study:
    """One step from the same networks at every step size; step sizes are multiples of the paper's `1/alpha`."""
    width, seeds = 1024, settings.choose(5, 5, 8)
    widths = settings.choose((256, 1024), (256, 1024, 2048), (256, 1024, 4096))
    points = [
        {"fisher": name, "factor": factor, "width": size, "seeds": seeds, "seed": settings.seed}
        for size in widths
        for name in FISHERS
        for factor in (FACTORS if size == width else NEAR)
    ]
    rows = sweep(losses, points, cache=settings.cache, track=settings.track, description="loss against step size")
    table = pd.DataFrame(rows)
    minima = {name: locations(table[table["fisher"] == name]) for name in FISHERS}
    facts = {"samples": SAMPLES, "seeds": seeds, "width": width, "widths": list(widths), "depth": DEPTH}
    claims = make_claims(table[table["width"] == width], minima)
    report = Report("Loss after one step", tuple(claims), provenance(facts, seed=settings.seed))
    return Study(table, report, facts={**facts, "minima": minima})


def losses(fisher: str, factor: float, width: int, seeds: int, seed: int) -> list[dict[str, Any]]:
    """Training loss before and after one step at `factor / alpha`, simulated and predicted, per network."""
    setting = problem(PROBLEM, width, depth=DEPTH, samples=SAMPLES, seed=seed)
    theory = kernels(PROBLEM, depth=DEPTH, samples=SAMPLES, seed=seed)
    eta = factor / expected_alpha(fisher, DEPTH, SAMPLES)
    simulated = simulate(setting, FISHERS[fisher], seed, step_size=eta, steps=1, seeds=seeds)
    start = simulated.train[:, 0], None if simulated.test is None else simulated.test[:, 0]
    predicted = closed_form(setting, FISHERS[fisher], theory, step_size=eta, steps=1, initial=start)
    return [
        {"network": i, "eta": eta, "before": float(b), "after": float(a), "predicted": float(p)}
        for i, (b, a, p) in enumerate(
            zip(simulated.train_loss[:, 0], simulated.train_loss[:, 1], predicted.train_loss[:, 1], strict=True)
        )
    ]


def locations(rows: pd.DataFrame) -> pd.DataFrame:
    """Location of the minimum in units of the paper's `1/alpha`, one row per width and network."""
    parts = []
    for width, part in rows.groupby("width"):
        found = minimum(part)
        parts.append(pd.DataFrame({"width": width, "network": range(len(found)), "location": found}))
    return pd.concat(parts, ignore_index=True)


def alpha_ratio(rows: pd.DataFrame) -> np.ndarray:
    """`alpha` measured by a small step, over the paper's: `(1 - sqrt(L_1 / L_0)) / (eta alpha)`, one per network."""
    small = rows[rows["factor"] == SMALL]
    return ((1 - np.sqrt(small["after"] / small["before"])) / SMALL).to_numpy()


def minimum(rows: pd.DataFrame) -> np.ndarray:
    """Location of the minimum at one width, one per network, from a parabola near it."""
    near = rows[rows["factor"].isin(NEAR)]
    ratio = (near["after"] / near["before"]).to_numpy()
    fits = []
    for network in sorted(set(near["network"])):
        chosen = (near["network"] == network).to_numpy()
        curvature, slope, _ = np.polyfit(near["factor"].to_numpy()[chosen], ratio[chosen], 2)
        fits.append(-slope / (2 * curvature))
    return np.asarray(fits)


def make_claims(table: pd.DataFrame, minima: dict[str, pd.DataFrame]) -> Iterator[Claim]:
    """The minimum lies at `1/alpha`, closer with growing width, and a small step measures `alpha`."""
    for name, found in minima.items():
        alpha = f"the predicted alpha = {expected_alpha(name, DEPTH, SAMPLES):g}"
        widths = sorted(found["width"].unique())
        last, first = (found.loc[found["width"] == width, "location"].to_numpy() for width in (widths[-1], widths[0]))
        value, half = mean_with_interval(last)
        yield Claim.within(
            f"{name}/location", value, 1 - LOW, 1 + SHIFT[name] / np.sqrt(widths[-1]),
            f"best step size times {alpha}, at M = {widths[-1]}", uncertainty=half, source=f"{SOURCE}, section 5",
        )  # fmt: skip
        closer, half = mean_with_interval(first - last)
        yield Claim.above(
            f"{name}/location converges", closer - (half or 0), 0,
            f"how much closer to 1 that is at M = {widths[-1]} than at M = {widths[0]}, lower end of the 95 % interval",
        )  # fmt: skip
        value, half = mean_with_interval(alpha_ratio(table[table["fisher"] == name]))
        yield Claim.within(
            f"{name}/alpha", value, 1 - SMALL_STEP_ERROR, 1 + SMALL_STEP_ERROR,
            f"alpha measured by a small step over {alpha}", uncertainty=half, source=f"{SOURCE}, section 4",
        )  # fmt: skip
