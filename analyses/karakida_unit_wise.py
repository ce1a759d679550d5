"""Unit-wise Fisher: `alpha` at infinite width with its error bar, against finite networks; trajectories; the need of damping."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from analyses.karakida_problems import SOURCE
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold_kernel
from analyses.karakida_unit_wise_limit import SAMPLES, Case, alpha_per_unit, preconditioned, problem
from analyses.karakida_unit_wise_runs import DAMPINGS, KAPPA, Measured, measure, per_unit
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.compare import worst_distance
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import Estimate, log_log_slope
from ntkng.testing.fit import limit
from ntkng.trajectory import Trajectory

GAMMA = {"erf": 1.0, "relu": 0.5}  # P(phi'(u) != 0)
SMALLEST = {"erf": 1e-9, "relu": 1e-8}  # kappa at which the limit is claimed
COARSE = 2**9  # points for curves
FALSE_ALARM, RESOLUTION = 1e-3, 0.01
WIDTH = 1024  # of the bounds on distances; those of narrower networks are wider, proportional to 1/width
BOUNDS = {"erf": (0.01, 0.18), "relu": (0.028, 0.08)}  # max_t |f_t - f_t^closed| / |r_0|, mean, on (train, test)
TRUSTED, DAMPED_BOUNDS = (1e-1, 1e-3), (0.02, 0.25)  # other dampings of erf networks, and their bounds
FACTOR = {"erf": 0.03, "relu": 0.045}  # signs of ReLU units flip during the first steps
SLOPE, BLOW_UP = -0.3, 20.0
SECTION = f"{SOURCE}, section 4.4"
Held = Mapping[tuple[Case, int], Comparison]


@one_blas_thread()
def study(settings: Settings, theory: Theory = RIGHT, measured: Measured | None = None) -> Study:
    """All panels; `measured` spares the simulations where only the theory differs."""
    measured = measure(settings) if measured is None else measured
    width = max(width for _, width in measured.paths)
    held = {
        run: hold_case(*run, KAPPA, path, theory)
        for run, path in settings.track(measured.paths.items(), "unit-wise: closed forms")
    }
    damped = {
        kappa: hold_case(measured.cases[0], width, kappa, path, theory)
        for kappa, path in settings.track(measured.damped_paths.items(), "unit-wise: closed forms with other dampings")
    }
    alphas = {case: compare_alpha(case, by_width, theory) for case, by_width in measured.alphas.items()}
    table = pd.DataFrame(
        [*_alpha_rows(alphas), *_curve_rows(measured, theory), *_training_rows(held), *_distance_rows(held, damped)]
    )
    slopes = {(case.activation, on): _slope(table, case, on) for case, _ in held for on in ("train", "test")}
    facts = {"samples": SAMPLES, "kappa": KAPPA, "width": width, "networks": len(next(iter(held.values())).factors)}
    claims = [
        *_alpha_claims(alphas),
        *_limit_claims(table),
        *_path_claims(held, slopes),
        *_damping_claims(damped, width),
    ]
    report = Report("Unit-wise Fisher", tuple(claims), provenance(facts, seed=settings.seed))
    values = {key: slope.value for key, slope in slopes.items()}
    return Study(table, report, facts={**facts, "slopes": values, "gamma": GAMMA})


def hold_case(case: Case, width: int, kappa: float, path: Trajectory, theory: Theory) -> Comparison:
    """Networks against the closed form."""
    return hold_kernel(
        problem(case.activation, width), preconditioned(case, width, kappa, theory), path, theory.scale
    )  # fmt: skip


def compare_alpha(case: Case, alphas: Mapping[int, np.ndarray], theory: Theory) -> dict[str, Any]:
    """`alpha` per hidden unit: at every width, extrapolated to infinite width, and predicted."""
    by_width = {width: per_unit(case, width, values) for width, values in alphas.items()}
    found = limit({w: values[:, None] for w, values in by_width.items()}, powers=(1.0,))
    extrapolated = Estimate(float(found.value[0]), float(found.standard_error[0]), float(found.degrees[0]))
    return {"by width": by_width, "extrapolated": extrapolated, "predicted": alpha_per_unit(case, KAPPA, theory)}


# -- table -----------------------------------------------------------------------------------------------------------


def _alpha_rows(alphas: Mapping[Case, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for case, found in alphas.items():
        base = {"panel": "alpha against width", "activation": case.activation, "outputs": case.outputs}
        for width, values in found["by width"].items():
            for index, value in enumerate(values):
                yield {**base, "source": "simulation", "width": width, "network": index, "value": value}
        for source in ("extrapolated", "predicted"):
            estimate = found[source]
            yield {**base, "source": source, "width": np.inf, "value": estimate.value,
                   "half_width": estimate.half_width()}  # fmt: skip


def _curve_rows(measured: Measured, theory: Theory) -> Iterator[dict[str, Any]]:
    """`alpha` per hidden unit against the damping; the curve from fewer sampled units."""
    for case in measured.cases:
        base = {"panel": "alpha against damping", "activation": case.activation, "outputs": case.outputs}
        coarse = dataclasses.replace(case, points=COARSE)
        for kappa in (*DAMPINGS, 1e-7, SMALLEST[case.activation]):
            alpha = alpha_per_unit(coarse, kappa, theory)
            yield {
                **base,
                "source": "predicted",
                "kappa": kappa,
                "value": alpha.value,
                "half_width": alpha.half_width(),
            }
        for (other, kappa), values in measured.by_damping.items():
            for index, value in enumerate(values if other == case else ()):
                yield {**base, "source": "simulation", "kappa": kappa, "network": index, "value": value}


def _training_rows(held: Held) -> Iterator[dict[str, Any]]:
    """`|r_t| / |r_0|` on the training inputs and the loss on the test inputs, at the largest width."""
    width = max(width for _, width in held)
    for (case, own), one in held.items():
        for source, path in (("simulation", one.simulated), ("closed form", one.predicted)):
            norms = np.linalg.norm(path.residual, axis=(-2, -1))
            for quantity, values in (("residual", norms / norms[:, :1]), ("test loss", path.test_loss)):
                for step, column in enumerate(values.T if own == width else ()):
                    value, half = mean_with_interval(column)
                    yield {"panel": "training", "activation": case.activation, "source": source, "quantity": quantity,
                           "width": width, "step": step, "value": value, "half_width": half}  # fmt: skip


def _distance_rows(held: Held, damped: Mapping[float, Comparison]) -> Iterator[dict[str, Any]]:
    runs = [("distance against width", case.activation, width, KAPPA, one) for (case, width), one in held.items()]
    width = max(width for _, width in held)
    runs += [("distance against damping", "erf", width, kappa, one) for kappa, one in sorted(damped.items())]
    for panel, activation, own, kappa, one in runs:
        for on in ("train", "test"):
            for index, value in enumerate(worst_distance(one.simulated, one.predicted, on)):
                yield {"panel": panel, "activation": activation, "outputs": 1, "source": "simulation", "on": on,
                       "width": own, "kappa": kappa, "network": index, "value": value}  # fmt: skip


def _slope(table: pd.DataFrame, case: Case, on: str) -> Estimate:
    rows = select(table, panel="distance against width", activation=case.activation, on=on)
    pivot = rows.pivot(index="width", columns="network", values="value")
    return log_log_slope(np.asarray(pivot.index, float), pivot.to_numpy())


# -- claims ----------------------------------------------------------------------------------------------------------


def _alpha_claims(alphas: Mapping[Case, Mapping[str, Any]]) -> Iterator[Claim]:
    for case, found in alphas.items():
        one, other = found["predicted"], found["extrapolated"]
        error = float(np.hypot(one.standard_error, other.standard_error))
        degrees, score = min(one.degrees, other.degrees), abs(one.value - other.value) / error
        yield Claim.below(
            f"{case.name}/alpha", score, float(scipy.stats.t.isf(FALSE_ALARM / 2, degrees)),
            f"|alpha at infinite width - alpha of finite networks, extrapolated| over its standard error; per hidden unit "
            f"they are {one.value:.4f} and {other.value:.4f}",
            p_value=float(2 * scipy.stats.t.sf(score, degrees)), source=SECTION,
        )  # fmt: skip
        yield Claim.below(
            f"{case.name}/resolution", error / other.value, RESOLUTION,
            "standard error of that difference, relative: small enough to see an alpha that is off by 5 %", source=SECTION,
        )  # fmt: skip


def _limit_claims(table: pd.DataFrame) -> Iterator[Claim]:
    curve = select(table, panel="alpha against damping", source="predicted")
    for (activation, outputs), rows in curve.groupby(["activation", "outputs"]):
        own, gamma = rows.loc[rows["kappa"].idxmin()], GAMMA[str(activation)]
        yield Claim.within(
            f"{activation}/C = {outputs:g}/vanishing damping", own["value"], 0.975 * gamma, 1.01 * gamma,
            f"C alpha per hidden unit at kappa = {own['kappa']:g}, towards P(phi'(u) != 0) = {gamma:g}",
            uncertainty=own["half_width"], source=SECTION,
        )  # fmt: skip


def _path_claims(held: Held, slopes: Mapping[tuple[str, str], Estimate]) -> Iterator[Claim]:
    width = max(width for _, width in held)
    stretch = max(1.0, WIDTH / width)
    for case in {case: None for case, _ in held}:
        bound, test_bound = (stretch * b for b in BOUNDS[case.activation])
        yield from comparison_claims(
            f"{case.activation}/M = {width}", held[case, width],
            bound=bound, test_bound=test_bound, factor=FACTOR[case.activation], source=SECTION,
        )  # fmt: skip
        for on in ("train", "test"):
            slope = slopes[case.activation, on]
            yield Claim.below(
                f"{case.activation}/slope/{on}", slope.value, SLOPE,
                f"log-log slope of the distance in width on the {on} inputs (1/sqrt(M) is -1/2)",
                uncertainty=slope.half_width(), source=SECTION,
            )  # fmt: skip


def _damping_claims(damped: Mapping[float, Comparison], width: int) -> Iterator[Claim]:
    stretch = max(1.0, WIDTH / width)
    for kappa in TRUSTED:
        bound, test_bound = (stretch * b for b in DAMPED_BOUNDS)
        yield from comparison_claims(
            f"erf/kappa = {kappa:g}", damped[kappa],
            bound=bound, test_bound=test_bound, factor=FACTOR["erf"], source=SECTION,
        )  # fmt: skip
    distances = {kappa: float(worst_distance(one.simulated, one.predicted).mean()) for kappa, one in damped.items()}
    smallest = min(distances)
    yield Claim.above(
        "erf/no damping", distances[smallest] / distances[KAPPA], BLOW_UP,
        f"distance to the closed form at kappa = {smallest:g} over that at {KAPPA:g}: an undamped step holds 1/delta, "
        "which has no variance", source="theory: 1/delta of a nearly Gaussian delta",
    )  # fmt: skip
