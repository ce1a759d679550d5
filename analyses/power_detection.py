"""Which planted errors which checks detect, at the default size of `ntkng.testing`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analyses.binomial import interval
from analyses.karakida_theory import RIGHT
from analyses.planted import altered
from analyses.power_checks import (
    ORACLE_DEPTHS,
    effect,
    finite_kernels,
    outcome,
    rate_check,
    simulations,
    theory_outcomes,
    trajectory_check,
)
from analyses.power_faults import FAULTS
from analyses.power_problems import SETTINGS
from analyses.power_theories import planted
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.sweep import sweep
from ntkng.testing.conformance.cases import cases
from ntkng.testing.conformance.dense_checks import dense_step, dense_training

SEEN = ("fail", "refused")
LEAST = 0.05  # errors of this relative size or more must be detected
THEORIES, SIMULATIONS = 30, 5
NONE = "none of these"


def study(settings: Settings) -> Study:
    """Every planted error through every check that it touches, with fresh networks in every run."""
    runs, fault_runs = settings.choose((1, 1), (4, 1), (8, 2))
    names = settings.choose(["Exact", "GradientDescent"], list(SETTINGS))
    points = [{"setting": name, "run": run, "seed": settings.seed} for name in names for run in range(runs)]
    options: dict[str, Any] = {"cache": settings.cache, "track": settings.track}
    rows = sweep(detect, points, description="planted theory errors", **options)
    chosen = [name for name, fault in FAULTS.items() if fault.setting in names]
    points = [{"fault": name, "run": run, "seed": settings.seed} for name in chosen for run in range(fault_runs)]
    rows += sweep(detect_fault, points, description="planted simulation errors", **options)
    table = pd.DataFrame(rows)
    facts = {"runs": runs, "runs with simulation errors": fault_runs, "settings": names}
    least = settings.choose((1, 1), (THEORIES, SIMULATIONS))
    report = Report("Planted errors", tuple(make_claims(table, least)), provenance(facts, seed=settings.seed))
    return Study(table, report, facts=facts)


def detect(setting: str, run: int, seed: int) -> list[dict[str, Any]]:
    """The outcomes of all theories that are planted in a setting, on one set of networks."""
    simulated, measured = simulations(setting, run, seed), finite_kernels(setting, run, seed)
    rows = []
    for name, error in planted().items():
        if setting in error.settings:
            found = theory_outcomes(setting, error, simulated, measured)
            size = abs(error.alpha) or effect(setting, error.theory, simulated)
            rows += [
                {"side": "theory", "error": name, "size": size, "check": check, "outcome": result}
                for check, result in found.items()
            ]
    return rows


def detect_fault(fault: str, run: int, seed: int) -> list[dict[str, Any]]:
    """The outcomes of the right theory with a wrong simulation."""
    wrong = FAULTS[fault]
    own = SETTINGS[wrong.setting]
    found = {}
    if not wrong.only_finite:
        simulated = simulations(wrong.setting, run, seed, train=wrong.simulate)
        found["trajectory"] = outcome(lambda: trajectory_check(own, RIGHT, simulated))
        if own.fisher.isotropic and not own.fisher.is_damped:
            found["rate"] = outcome(lambda: rate_check(own, RIGHT, simulated))
    if wrong.does is not None:
        stepping = altered(own.fisher, does=wrong.does)
        found["dense oracle"] = outcome(lambda: dense_step(stepping, cases(ORACLE_DEPTHS)))
    elif wrong.only_finite:
        found["dense oracle"] = outcome(lambda: dense_training(own.fisher, cases(ORACLE_DEPTHS), wrong.simulate))
    rows = {"side": "simulation", "setting": wrong.setting, "error": fault, "size": wrong.size}
    return [{**rows, "check": check, "outcome": result} for check, result in found.items()]


# -- claims ------------------------------------------------------------------------------------------------------------


def make_claims(table: pd.DataFrame, least: tuple[int, int] = (THEORIES, SIMULATIONS)) -> Iterator[Claim]:
    """There are enough errors, and those of 5 % or more are detected in every run."""
    for side, minimum in zip(("theory", "simulation"), least, strict=True):
        count = select(table, side=side)["error"].nunique()
        yield Claim.above(f"planted/{side}", count, minimum - 1, f"number of planted errors of the {side}")
    for row in summary(table).to_dict("records"):
        name = f"detected/{row['side']}/{row['error']}"
        low, high = interval(int(row["seen"]), int(row["runs"]))
        statement = (
            f"share of runs in which a check fails ({row['seen']:g} of {row['runs']:g}; 95 % interval {low:.1%} .. {high:.1%}; "
            f"seen best by: {row['best']})"
        )
        if row["size"] >= LEAST * (1 - 1e-9):
            yield Claim.above(name, row["rate"], 1 - 1e-9, statement, note=row["missed"])
        else:
            yield Claim.finding(name, row["rate"], f"{statement}; its size is {row['size']:.2g}")


def by_run(table: pd.DataFrame) -> pd.DataFrame:
    """Per error, setting and run: its size, and whether any check saw it."""
    seen = table.assign(seen=table["outcome"].isin(SEEN))
    groups = seen.groupby(["side", "error", "setting", "run"], sort=False)
    return groups.agg(size=("size", "first"), seen=("seen", "any")).reset_index()


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """Share of runs in which each check detects each error, over the settings in which it was planted."""
    seen = table.assign(seen=table["outcome"].isin(SEEN))
    found = seen.pivot_table(index=["side", "error"], columns="check", values="seen", aggfunc="mean", sort=False)
    total = by_run(table).groupby(["side", "error"], sort=False)["seen"].mean()
    return found.astype(float).assign(any=total)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row an error: its smallest size, runs, detections, and where it was missed."""
    each, checks = by_run(table), rates(table)
    rows = []
    for (side, error), group in each.groupby(["side", "error"], sort=False):
        missed = group[~group["seen"]]
        own = checks.loc[(side, error)].drop("any").dropna()
        rows.append({
            "side": side, "error": error, "size": group["size"].min(), "runs": len(group), "seen": group["seen"].sum(),
            "rate": group["seen"].mean(), "best": own.idxmax() if own.max() > 0 else NONE,
            "missed": "" if missed.empty else f"missed in {', '.join(missed['setting'].unique())}",
        })  # fmt: skip
    return pd.DataFrame(rows)
