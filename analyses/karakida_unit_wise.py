"""Unit-wise Fisher: `alpha` at infinite width with its error bar, against finite networks; trajectories; the need of damping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from analyses.karakida_problems import SOURCE
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold
from analyses.karakida_unit_wise_runs import (
    ACTIVATIONS,
    DAMPINGS,
    KAPPA,
    SAMPLES,
    Measured,
    kernels,
    measure,
    network,
    problem,
)
from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.compare import worst_distance
from ntkng.fisher import UnitWise
from ntkng.kernels import UnitSampling, analytic
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import Estimate, log_log_slope
from ntkng.testing.fit import limit
from ntkng.trajectory import Trajectory

GAMMA = {"erf": 1.0, "relu": 0.5}  # P(phi'(u) != 0)
SMALLEST = {"erf": 1e-9, "relu": 1e-8}  # kappa at which the limit is claimed
COARSE = UnitSampling(points=2**9)
FALSE_ALARM, RESOLUTION = 1e-3, 0.01
WIDTH = 1024  # of the bounds on distances, which are proportional to 1/sqrt(width)
BOUNDS = {"erf": (0.01, 0.18), "relu": (0.028, 0.08)}  # max_t |f_t - f_t^closed| / |r_0|, mean, on (train, test)
FACTOR, SLOPE, BLOW_UP = 0.03, -0.3, 20.0
SECTION = f"{SOURCE}, section 4.4"


@one_blas_thread()
def study(settings: Settings, theory: Theory = RIGHT, measured: Measured | None = None) -> Study:
    """All panels; `measured` spares the simulations where only the theory differs."""
    measured = measure(settings) if measured is None else measured
    held = {case: _hold(*case, KAPPA, path, theory) for case, path in measured.paths.items()}
    width = max(width for _, width in measured.paths)
    damped = {kappa: _hold("erf", width, kappa, path, theory) for kappa, path in measured.damped_paths.items()}
    alphas = {case: compare_alpha(*case, by_width, theory) for case, by_width in measured.alphas.items()}
    table = pd.DataFrame([*_alpha_rows(alphas), *_curve_rows(measured, theory), *_distance_rows(held, damped)])
    slopes = {(act, on): _slope(table, act, on) for act in ACTIVATIONS for on in ("train", "test")}
    facts = {"samples": SAMPLES, "kappa": KAPPA, "width": width, "networks": len(next(iter(held.values())).factors)}
    claims = [*_alpha_claims(alphas), *_limit_claims(table), *_path_claims(held, slopes), *_damping_claims(damped)]
    report = Report("Unit-wise Fisher", tuple(claims), provenance(facts, seed=settings.seed))
    return Study(table, report, facts={**facts, "slopes": slopes, "gamma": GAMMA})


def _hold(activation: str, width: int, kappa: float, path: Trajectory, theory: Theory) -> Comparison:
    return hold(problem(activation, width), UnitWise(kappa), kernels(activation, 1, width), path, theory)


def believed(fisher: UnitWise, theory: Theory) -> UnitWise:
    """The approximation as the theory has it."""
    changed = theory.fisher(fisher, SAMPLES)
    assert isinstance(changed, UnitWise)
    return changed


def compare_alpha(activation: str, outputs: int, alphas: Mapping[int, np.ndarray], theory: Theory) -> dict[str, Any]:
    """`C (alpha - 1)` per hidden unit: of every width, extrapolated to infinite width, and predicted."""
    width = max(alphas)
    per_unit = {w: outputs * (values - 1) / (2 * w) for w, values in alphas.items()}
    found = limit({w: values[:, None] for w, values in per_unit.items()}, powers=(1.0,))
    extrapolated = Estimate(float(found.value[0]), float(found.standard_error[0]), int(found.degrees[0]))
    layers = theory.kernels(kernels(activation, outputs, width))
    alpha = believed(UnitWise(KAPPA), theory).alpha(layers)
    scale = outputs / (2 * width)
    predicted = Estimate(scale * (theory.scale * alpha.value - 1), scale * alpha.standard_error, alpha.degrees)
    return {"per_unit": per_unit, "extrapolated": extrapolated, "predicted": predicted}


# -- table -----------------------------------------------------------------------------------------------------------


def _alpha_rows(alphas: Mapping[tuple[str, int], Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for (activation, outputs), found in alphas.items():
        base = {"panel": "alpha against width", "activation": activation, "outputs": outputs}
        for width, values in found["per_unit"].items():
            for index, value in enumerate(values):
                yield {**base, "source": "simulation", "width": width, "network": index, "value": value}
        for source in ("extrapolated", "predicted"):
            estimate = found[source]
            yield {**base, "source": source, "width": np.inf, "value": estimate.value,
                   "half_width": estimate.half_width()}  # fmt: skip


def _curve_rows(measured: Measured, theory: Theory) -> Iterator[dict[str, Any]]:
    """`alpha` per hidden unit against the damping; the curve from fewer sampled units."""
    for activation in ACTIVATIONS:
        base = {"panel": "alpha against damping", "activation": activation, "outputs": 1}
        net = network(activation, 1, WIDTH)
        layers = theory.kernels(analytic(net, problem(activation, WIDTH).x, units=COARSE))
        for kappa in (*DAMPINGS, 1e-7, SMALLEST[activation]):
            alpha = believed(UnitWise(kappa), theory).alpha(layers)
            yield {**base, "source": "predicted", "kappa": kappa, "value": (theory.scale * alpha.value - 1) / (2 * WIDTH),
                   "half_width": alpha.half_width() / (2 * WIDTH)}  # fmt: skip
        for (act, kappa), values in measured.by_damping.items():
            for index, value in enumerate(values if act == activation else ()):
                yield {**base, "source": "simulation", "kappa": kappa, "network": index, "value": value}


def _distance_rows(
    held: Mapping[tuple[str, int], Comparison], damped: Mapping[float, Comparison]
) -> Iterator[dict[str, Any]]:
    runs = [("distance against width", act, width, KAPPA, one) for (act, width), one in held.items()]
    width = max(width for _, width in held)
    runs += [("distance against damping", "erf", width, kappa, one) for kappa, one in sorted(damped.items())]
    for panel, activation, width, kappa, one in runs:
        for on in ("train", "test"):
            for index, value in enumerate(worst_distance(one.simulated, one.predicted, on)):
                yield {"panel": panel, "activation": activation, "outputs": 1, "source": "simulation", "on": on,
                       "width": width, "kappa": kappa, "network": index, "value": value}  # fmt: skip


def _slope(table: pd.DataFrame, activation: str, on: str) -> Estimate:
    rows = select(table, panel="distance against width", activation=activation, on=on)
    pivot = rows.pivot(index="width", columns="network", values="value")
    return log_log_slope(np.asarray(pivot.index, float), pivot.to_numpy())


# -- claims ----------------------------------------------------------------------------------------------------------


def _alpha_claims(alphas: Mapping[tuple[str, int], Mapping[str, Any]]) -> Iterator[Claim]:
    for (activation, outputs), found in alphas.items():
        name, one, other = f"{activation}/C = {outputs}", found["predicted"], found["extrapolated"]
        error = float(np.hypot(one.standard_error, other.standard_error))
        quantile = float(scipy.stats.t.isf(FALSE_ALARM / 2, min(one.degrees, other.degrees)))
        yield Claim.below(
            f"{name}/alpha", abs(one.value - other.value) / error, quantile,
            f"|alpha at infinite width - alpha of finite networks, extrapolated| over its standard error; per hidden unit "
            f"they are {one.value:.4f} and {other.value:.4f}",
            p_value=float(2 * scipy.stats.t.sf(abs(one.value - other.value) / error, min(one.degrees, other.degrees))),
            source=SECTION,
        )  # fmt: skip
        yield Claim.below(
            f"{name}/resolution", error / other.value, RESOLUTION,
            "standard error of that difference, relative: small enough to see an alpha that is off by 5 %", source=SECTION,
        )  # fmt: skip


def _limit_claims(table: pd.DataFrame) -> Iterator[Claim]:
    for activation, gamma in GAMMA.items():
        own = select(
            table, panel="alpha against damping", source="predicted", activation=activation, kappa=SMALLEST[activation]
        ).iloc[0]
        yield Claim.within(
            f"{activation}/vanishing damping", own["value"], 0.975 * gamma, 1.005 * gamma,
            f"alpha per hidden unit at kappa = {SMALLEST[activation]:g}, towards P(phi'(u) != 0) = {gamma:g}",
            uncertainty=own["half_width"], source=SECTION,
        )  # fmt: skip


def _path_claims(
    held: Mapping[tuple[str, int], Comparison], slopes: Mapping[tuple[str, str], Estimate]
) -> Iterator[Claim]:
    width = max(width for _, width in held)
    stretch = float(np.sqrt(WIDTH / width))
    for activation in ACTIVATIONS:
        bound, test_bound = (stretch * b for b in BOUNDS[activation])
        yield from comparison_claims(
            f"{activation}/M = {width}", held[activation, width],
            bound=bound, test_bound=test_bound, factor=stretch * FACTOR, source=SECTION,
        )  # fmt: skip
        for on in ("train", "test"):
            slope = slopes[activation, on]
            yield Claim.below(
                f"{activation}/slope/{on}", slope.value, SLOPE,
                f"log-log slope of the distance in width on the {on} inputs (1/sqrt(M) is -1/2)",
                uncertainty=slope.half_width(), source=SECTION,
            )  # fmt: skip


def _damping_claims(damped: Mapping[float, Comparison]) -> Iterator[Claim]:
    distances = {kappa: float(worst_distance(one.simulated, one.predicted).mean()) for kappa, one in damped.items()}
    smallest = min(distances)
    yield Claim.above(
        "erf/no damping", distances[smallest] / distances[KAPPA], BLOW_UP,
        f"distance to the closed form at kappa = {smallest:g} over that at {KAPPA:g}: an undamped step holds 1/delta, "
        "which has no variance", source="theory: 1/delta of a nearly Gaussian delta",
    )  # fmt: skip
