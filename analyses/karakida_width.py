"""Distance between simulation and closed form against width, with fitted slopes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_problems import APPROXIMATIONS, SOURCE, kernels, problem
from analyses.study import Settings, Study
from ntkng.closed_form import closed_form
from ntkng.compare import worst_distance
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.statistics import Estimate, log_log_slope
from ntkng.sweep import sweep

PROBLEM, SAMPLES, STEPS = "synthetic", 50, 6
SLOPE = -0.35
FISHERS = {fisher.name: fisher for fisher in APPROXIMATIONS}


def study(settings: Settings) -> Study:
    """`max_t |f_t - closed form| / |r_0|` at `1/(2 alpha)` for several seeds at every width."""
    widths = settings.choose((128, 256, 512), (128, 256, 512, 1024, 2048, 4096))
    seeds = settings.choose(5, 5, 10)
    points = [
        {"fisher": name, "width": width, "seeds": seeds, "seed": settings.seed} for width in widths for name in FISHERS
    ]
    rows = sweep(distances, points, cache=settings.cache, track=settings.track, description="distance against width")
    table = pd.DataFrame(rows)
    slopes = {name: fit(table, name) for name in FISHERS}
    facts = {"samples": SAMPLES, "seeds": seeds, "widths": list(widths), "steps": STEPS}
    report = Report("Width dependence", tuple(make_claims(table, slopes)), provenance(facts, seed=settings.seed))
    return Study(table, report, facts={**facts, "slopes": slopes})


def distances(fisher: str, width: int, seeds: int, seed: int) -> list[dict[str, Any]]:
    """One row per network: the largest distance over steps on train and test inputs."""
    approximation = FISHERS[fisher]
    setting = problem(PROBLEM, width, samples=SAMPLES, seed=seed)
    theory = kernels(PROBLEM, samples=SAMPLES, seed=seed)
    eta = 0.5 * approximation.optimal_step(theory)
    simulated = simulate(setting, approximation, seed, step_size=eta, steps=STEPS, seeds=seeds)
    assert simulated.test is not None
    start = simulated.train[:, 0], simulated.test[:, 0]
    predicted = closed_form(setting, approximation, theory, step_size=eta, steps=STEPS, initial=start)
    train, test = (worst_distance(simulated, predicted, on) for on in ("train", "test"))
    return [
        {"network": i, "train": float(a), "test": float(b)} for i, (a, b) in enumerate(zip(train, test, strict=True))
    ]


def fit(table: pd.DataFrame, fisher: str) -> Estimate:
    """Slope of log distance (train) against log width over all networks."""
    pivot = table[table["fisher"] == fisher].pivot(index="width", columns="network", values="train")
    return log_log_slope(np.asarray(pivot.index, float), pivot.to_numpy())


def make_claims(table: pd.DataFrame, slopes: dict[str, Estimate]) -> Iterator[Claim]:
    """Distances fall with width, each approximation alike."""
    for name, slope in slopes.items():
        yield Claim.below(
            f"{name}/slope", slope.value, SLOPE, "log-log slope of the distance in width (1/sqrt(M) is -1/2)",
            uncertainty=slope.half_width(), source=f"{SOURCE}, section 3: lazy training",
        )  # fmt: skip
        rows = table[table["fisher"] == name]
        by_width = rows.groupby("width")["train"].mean()
        yield Claim.below(
            f"{name}/largest width", by_width.iloc[-1], 0.25 / np.sqrt(by_width.index[-1] / 32),
            f"mean distance at M = {by_width.index[-1]}", source=f"{SOURCE}, section 3",
        )  # fmt: skip
