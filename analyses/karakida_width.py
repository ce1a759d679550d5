"""Distance between simulation and closed form against width, with fitted slopes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_problems import APPROXIMATIONS, SOURCE, draw, kernels, problem
from analyses.karakida_theory import RIGHT, Theory, initial
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.closed_form import closed_form
from ntkng.compare import worst_distance
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.statistics import Estimate, log_log_slope
from ntkng.sweep import sweep

PROBLEM, SAMPLES, STEPS = "synthetic", 50, 6
SLOPE, QUICK_SLOPE = -0.35, -0.25  # a small range of widths fixes a slope less well
# of the mean distance on (train, test) inputs, times 1/sqrt(M): the distance at M = 1 if it were a power of -1/2
BOUNDS = {"Exact": (0.6, 9.0), "BlockDiagonal": (0.6, 11.5), "BlockTriDiagonal": (0.9, 12.5), "KFAC": (1.3, 3.0)}


def study(settings: Settings) -> Study:
    """`max_t |f_t - closed form| / |r_0|` at `1/(2 alpha)` for several networks at every width."""
    widths = settings.choose((128, 256, 512), (128, 256, 512, 1024, 2048, 4096))
    networks = settings.choose(5, 5, 10)
    points = [{"width": width, "network": i, "seed": settings.seed} for width in widths for i in range(networks)]
    rows = sweep(distances, points, cache=settings.cache, track=settings.track, description="distance against width")
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "seeds": networks, "widths": list(widths), "steps": STEPS}
    bound = settings.choose(QUICK_SLOPE, SLOPE)
    report = Report("Width dependence", tuple(make_claims(table, bound)), provenance(facts, seed=settings.seed))
    return Study(table, report, facts={**facts, "slopes": slopes(table)})


def distances(width: int, network: int, seed: int, theory: Theory = RIGHT) -> list[dict[str, Any]]:
    """The largest distance over steps on train and test inputs, of one network, for every approximation."""
    setting = problem(PROBLEM, width, samples=SAMPLES, seed=seed)
    layers = kernels(PROBLEM, samples=SAMPLES, seed=seed)
    parameters = draw(setting.network, 1000 * seed + network)
    rows = []
    for fisher in APPROXIMATIONS:
        eta = 0.5 * fisher.optimal_step(layers)
        simulated = simulate(setting, fisher, step_size=eta, steps=STEPS, parameters=parameters)
        predicted = closed_form(
            setting,
            fisher,
            theory.kernels(layers),
            step_size=theory.scale * eta,
            steps=STEPS,
            initial=initial(simulated),
        )
        train, test = (float(worst_distance(simulated, predicted, on)[0]) for on in ("train", "test"))
        rows.append({"fisher": fisher.name, "train": train, "test": test})
    return rows


def slopes(table: pd.DataFrame) -> dict[tuple[str, str], Estimate]:
    """Slope of log distance against log width over all networks, by approximation and set of inputs."""
    found = {}
    for fisher in dict.fromkeys(table["fisher"]):
        for on in ("train", "test"):
            pivot = select(table, fisher=fisher).pivot(index="width", columns="network", values=on)
            found[fisher, on] = log_log_slope(pivot.index.to_numpy(float), pivot.to_numpy())
    return found


def make_claims(table: pd.DataFrame, slope_bound: float = SLOPE) -> Iterator[Claim]:
    """Distances fall with width, for each approximation alike."""
    for (fisher, on), slope in slopes(table).items():
        yield Claim.below(
            f"{fisher}/{on}/slope", slope.value, slope_bound, f"log-log slope of the distance on {on} inputs in width "
            "(-1/2 or steeper for a network that tends to its linearisation)",
            uncertainty=slope.half_width(), source=f"{SOURCE}, section 3: lazy training",
        )  # fmt: skip
        largest = max(int(width) for width in table["width"])
        value = float(select(table, fisher=fisher, width=largest)[on].mean())
        bound = BOUNDS[fisher][on == "test"] / np.sqrt(largest)
        yield Claim.below(
            f"{fisher}/{on}/largest width", value, bound, f"mean distance on {on} inputs at M = {largest}",
            source=f"{SOURCE}, section 3",
        )  # fmt: skip
