"""What a pass can see: clean runs for the false-alarm rate, and theories whose `alpha` is off by ever less.

Every run draws fresh networks, and every check has the default size of `ntkng.testing` unless it is said otherwise. One
simulation serves many theories: the right one, whose failures are false alarms, and wrong ones, whose failures are detections.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.binomial import interval, not_above
from analyses.karakida_theory import RIGHT, Theory
from analyses.power_checks import (
    Trajectories,
    finite_kernels,
    kernel_check,
    outcome,
    predictions,
    rate_check,
    simulations,
)
from analyses.power_problems import ISOTROPIC, SETTINGS, Setting
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.compare import worst_distance
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.sweep import sweep
from ntkng.testing import (
    detectable_effect,
    laziness_report,
    observe_ntk,
    slope_report,
    trajectory_report,
)
from ntkng.testing.decision import FALSE_ALARM, POWER
from ntkng.testing.trajectories import EFFECT, relative_errors
from ntkng.testing.width_sweep import SEEDS, WIDTHS, seeds_at

SIZES = (0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
LARGEST = (max(WIDTHS) // 4, max(WIDTHS) // 2, max(WIDTHS))
NETWORKS = (SEEDS // 4, SEEDS // 2, SEEDS)
MOST_RUNS = "Exact"  # has the most clean runs, and the check of laziness
SMOOTH_CORRECTION = 1.0  # of the slope, for a smooth activation


def study(settings: Settings) -> Study:
    """Clean runs at the default size, fewer of them at smaller ones, for every isotropic approximation."""
    names = settings.choose(ISOTROPIC[:1], ISOTROPIC)
    clean = settings.choose(2, 12, 200)
    runs = {name: clean if name == MOST_RUNS else settings.choose(2, 12, 40) for name in names}
    smaller = settings.choose(0, 6, 12)
    points = [
        {"setting": name, "largest": largest, "run": run, "seed": settings.seed}
        for largest in reversed(LARGEST)
        for name in names
        for run in range(runs[name] if largest == max(LARGEST) else smaller)
    ]
    options: dict[str, Any] = {"cache": settings.cache, "track": settings.track}
    rows = sweep(measure, points, description="clean runs", **options)
    points = [{"run": run, "seed": settings.seed} for run in range(clean)]
    rows += sweep(measure_kernels, points, description="kernels of clean runs", **options)
    table = pd.DataFrame(rows)
    facts = {"clean runs": runs, "networks at the largest width": SEEDS, "widths": list(WIDTHS), "stated": FALSE_ALARM}
    report = Report("Power and false alarms", tuple(make_claims(table)), provenance(facts, seed=settings.seed))
    return Study(table, report, facts=facts)


def measure(setting: str, largest: int, run: int, seed: int) -> list[dict[str, Any]]:
    """One run: the trajectory check with every theory and number of networks; at the default size the other checks too."""
    own, full = SETTINGS[setting], largest == max(LARGEST)
    widths = tuple(largest * width // max(WIDTHS) for width in WIDTHS)
    start = time.process_time()
    simulated = simulations(
        setting, run, seed, widths=widths, observe=observe_ntk if full and setting == "Exact" else None
    )
    seconds = time.process_time() - start
    rows = []
    right = predictions(own, RIGHT, simulated)
    for size in (0.0, *SIZES):
        predicted = predictions(own, Theory(scale=1 + size), simulated) if size else right
        for networks in NETWORKS:
            runs = [first(group, networks) for group in (simulated, predicted, right)]
            rows.append(
                {
                    "check": "trajectory", "networks": networks, "alpha off by": size, "seconds": seconds * networks / SEEDS,
                    "outcome": outcome(lambda runs=runs, size=size: trajectories(own, *runs[:2], size)),
                    "expected": expected_effect(own, *runs) if size == SIZES[-1] else None,
                }
            )  # fmt: skip
    clean = {"networks": SEEDS, "alpha off by": 0.0, "seconds": seconds, "expected": None}
    return rows + [{"check": name, "outcome": found, **clean} for name, found in others(own, simulated, right, full)]


def measure_kernels(run: int, seed: int) -> list[dict[str, Any]]:
    """The kernel check of one clean run."""
    start = time.process_time()
    measured = finite_kernels("Exact", run, seed)
    found = outcome(lambda: kernel_check(SETTINGS["Exact"], RIGHT, measured))
    seconds = time.process_time() - start
    return [{"setting": "kernels", "largest": max(WIDTHS), "check": "kernels", "networks": SEEDS, "alpha off by": 0.0,
             "outcome": found, "seconds": seconds, "expected": None}]  # fmt: skip


def first(group: Trajectories, networks: int) -> Trajectories:
    """The first networks of every width, `networks` of them at the largest."""
    found = {}
    for width, path in group.items():
        count = seeds_at(width, list(group), networks)
        found[width] = dataclasses.replace(
            path, train=np.asarray(path.train)[:count], test=np.asarray(path.test)[:count]
        )
    return found


def trajectories(setting: Setting, simulated: Trajectories, predicted: Trajectories, size: float) -> Report:
    """The trajectory check; what it must be able to see is asked of right theories only."""
    wanted = {} if not size else {"effect": None, "test_effect": None}
    return trajectory_report(simulated, predicted, powers=setting.powers, **wanted)


def expected_effect(
    setting: Setting, simulated: Trajectories, wrong: Trajectories, right: Trajectories
) -> float | None:
    """The relative error of `alpha` that the check's own formula says it sees, from the step that sees most.

    The deviation grows in proportion to the error of `alpha`; by how much follows from the two predictions.
    """
    try:
        clean, off = (relative_errors(simulated, path, "train", setting.powers) for path in (right, wrong))
    except ValueError:  # diverged
        return None
    steps = 2 * len(clean.value)  # on training and on test inputs
    gain = np.abs(off.value - clean.value) / SIZES[-1]
    return float((detectable_effect(clean, steps) / gain).min())


def others(setting: Setting, simulated: Trajectories, right: Trajectories, full: bool) -> Iterator[tuple[str, str]]:
    """Outcomes of the other checks with the right theory."""
    if not full:
        return
    yield "rate", outcome(lambda: rate_check(setting, RIGHT, simulated))
    errors = {width: worst_distance(simulated[width], right[width], "train") for width in simulated}
    yield "slope", outcome(lambda: slope_report(errors, correction=SMOOTH_CORRECTION))
    if next(iter(simulated.values())).observed:
        yield "laziness", outcome(lambda: laziness_report(simulated, correction=SMOOTH_CORRECTION))


# -- claims ------------------------------------------------------------------------------------------------------------


def make_claims(table: pd.DataFrame) -> Iterator[Claim]:
    """False alarms are no more frequent than stated; errors of `alpha` of 5 % are seen."""
    clean = select(table, largest=max(LARGEST), networks=SEEDS, **{"alpha off by": 0.0})
    groups = list(clean.groupby(["check", "setting"], sort=False))
    for (check, setting), rows in groups:
        count = int((rows["outcome"] == "fail").sum())
        yield not_above(
            f"false alarms/{check}/{setting}", count, len(rows), FALSE_ALARM, len(groups),
            f"clean runs that fail, stated {FALSE_ALARM:g}",
        )  # fmt: skip
        undecided = float((rows["outcome"] != "pass").mean() - count / len(rows))
        yield Claim.finding(f"undecided/{check}/{setting}", undecided, "clean runs in which nothing could be decided")
    yield not_above(
        "false alarms/all", int((clean["outcome"] == "fail").sum()), len(clean), FALSE_ALARM, 1,
        f"clean checks of all kinds that fail, stated {FALSE_ALARM:g}",
    )  # fmt: skip
    for row in smallest_errors(table).to_dict("records"):
        name = f"{row['setting']}/widths to {row['largest']:g}, {row['networks']:g} networks"
        statement = f"smallest relative error of alpha that is seen in {POWER:.0%} of runs ({row['runs']:g} runs)"
        if row["largest"] == max(LARGEST) and row["networks"] == SEEDS:
            yield Claim.below(f"alpha/{name}", row["smallest"], EFFECT, statement)
        else:
            yield Claim.finding(f"alpha/{name}", row["smallest"], statement)


def detection(table: pd.DataFrame, **which: Any) -> pd.DataFrame:
    """Rate of detection against the error of `alpha`, with its interval of 95 %."""
    rows = []
    for size, group in select(table, check="trajectory", **which).groupby("alpha off by"):
        seen = int((group["outcome"] == "fail").sum())
        low, high = interval(seen, len(group))
        rows.append({"size": float(size), "rate": seen / len(group), "low": low, "high": high, "runs": len(group)})
    return pd.DataFrame(rows)


def smallest_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Per approximation, largest width and number of networks: the smallest error seen with probability 95 %."""
    rows = []
    columns = ["setting", "largest", "networks"]
    for key, group in select(table, check="trajectory").groupby(columns, sort=False):
        which = dict(zip(columns, key, strict=True))
        found = detection(table, **which)
        rows.append({
            **which, "runs": found["runs"].iloc[0], "smallest": crossing(found), "seconds": group["seconds"].median(),
            "expected": group["expected"].median(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def crossing(found: pd.DataFrame) -> float:
    """Where the rate of detection passes 95 % for good, linear between sizes; infinite where it does not."""
    found = found[found["size"] > 0]
    sizes, rates = found["size"].to_numpy(), found["rate"].to_numpy()
    enough = np.flatnonzero(rates < POWER)
    if len(enough) == 0:
        return float(sizes[0])
    last = enough[-1]
    if last == len(sizes) - 1:
        return float("inf")
    part = (POWER - rates[last]) / (rates[last + 1] - rates[last])
    return float(sizes[last] + part * (sizes[last + 1] - sizes[last]))
