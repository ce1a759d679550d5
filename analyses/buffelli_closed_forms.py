"""Figure B9: the kernel at zero weights, the mini-batch floor, and what a probe says about a kernel."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd

from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.reversible import (
    RevMLP,
    kernel_cosine,
    neural_tangent_kernel,
    probe_cosine,
    simulate_excess_risk,
    stationary_excess_risk,
    zero_weight_ntk,
    zero_weight_ntk_infinite_width,
)
from ntkng.statistics import log_log_slope

SOURCE = "function-space theory of Buffelli et al. 2024"
WIDTHS = (200, 2000, 20000)
FLOORS = ((20, 5, 0.3), (20, 10, 0.3), (20, 14, 0.3), (20, 10, 0.6), (20, 30, 0.3), (20, 60, 0.1), (10, 40, 1.0))
"""Features, batch size and effective rate of the simulated settings."""


@one_blas_thread()
def closed_forms(settings: Settings) -> Study:
    """Three closed forms against what they describe."""
    seeds = range(settings.seed, settings.seed + settings.choose(4, 10, 30))
    widths = [width_row(m, s) for m in settings.track(WIDTHS, "zero-weight kernels") for s in seeds]
    chains = settings.choose(200, 800, 3000)
    floors = [floor_row(*f, settings.seed, chains) for f in settings.track(FLOORS, "mini-batch floors")]
    frobenius, probes, finite = probe_values(settings.seed, settings.choose(200, 1000))
    table = pd.concat([pd.DataFrame(widths), pd.DataFrame(floors)], ignore_index=True)
    report = Report("B9", claims(table, frobenius, probes, finite), provenance({"chains": chains}, seed=settings.seed))
    return Study(table, report, {"probes": probes}, {"frobenius": frobenius})


def width_row(width: int, seed: int) -> dict[str, Any]:
    """Relative Frobenius deviation of the zero-weight NTK from its limit."""
    rng = np.random.default_rng(seed)
    model = RevMLP.create(jax.random.key(seed), 16, 3, 3, width)
    inputs = rng.standard_normal((12, 16))
    limit = zero_weight_ntk_infinite_width(model, inputs)
    difference = np.asarray(zero_weight_ntk(model, inputs)) - limit
    deviation = float(np.linalg.norm(difference) / np.linalg.norm(limit))
    return {"kind": "width", "width": width, "seed": seed, "deviation": deviation}


def floor_row(features: int, batch: int, rate: float, seed: int, chains: int, steps: int = 300) -> dict[str, Any]:
    """Stationary risk: the mean over the last third of the steps, and over the chains with its standard error."""
    rng = np.random.default_rng([seed, features, batch, int(100 * rate)])
    path = simulate_excess_risk(rng, features, batch, rate, 1.0, steps=steps, chains=chains)
    late = path[-(steps // 3) :].mean(0)
    theory = stationary_excess_risk(features, batch, rate, 1.0)
    return {
        "kind": "floor",
        "features": features,
        "batch": batch,
        "rate": rate,
        "simulated": float(late.mean()),
        "error": float(late.std(ddof=1) / np.sqrt(chains)),
        "theory": theory,
    }


def probe_values(seed: int, probes: int) -> tuple[float, np.ndarray, float]:
    """Alignment of two kernels of dimension 300, single-probe cosines, and the error of the zero-weight formula."""
    rng = np.random.default_rng(seed)
    model = RevMLP.create(jax.random.key(seed), 16, 3, 3, 64)
    inputs = rng.standard_normal((100, 16))
    start = np.asarray(neural_tangent_kernel(model, model.zero_weights(), inputs))
    moved = np.asarray(neural_tangent_kernel(model, model.initial_weights(jax.random.key(seed + 1), 0.05), inputs))
    formula = np.asarray(zero_weight_ntk(model, inputs))
    values = [probe_cosine(start, moved, rng.standard_normal(len(start))) for _ in range(probes)]
    return (
        kernel_cosine(start, moved),
        np.asarray(values),
        float(np.linalg.norm(formula - start) / np.linalg.norm(start)),
    )


def claims(table: pd.DataFrame, frobenius: float, probes: np.ndarray, finite: float) -> tuple[Claim, ...]:
    """What figure B9 must show."""
    widths = select(table, kind="width")
    means = widths.groupby("width").deviation.mean()
    by_seed = widths.pivot(index="width", columns="seed", values="deviation")
    slope = log_log_slope(by_seed.index.to_numpy(), by_seed.to_numpy())
    floors = select(table, kind="floor")
    ratio, z = floors.simulated / floors.theory - 1, (floors.simulated - floors.theory) / floors.error
    return (
        Claim.below(
            "zero weights/finite width", finite, 1e-12, "relative error of the zero-weight kernel formula",
            source=SOURCE,
        ),
        Claim.below(
            "zero weights/limit", means.loc[max(WIDTHS)], 0.02,
            f"relative deviation from the infinite-width kernel at m = {max(WIDTHS)}", source=SOURCE,
        ),
        Claim.within(
            "zero weights/slope", slope.value, -0.57, -0.43, "its log-log slope in m, theory -1/2",
            uncertainty=slope.half_width(),
            source=SOURCE,
        ),
        Claim.below(
            "floor/z", np.abs(z).max(), 4.0,
            "mini-batch floor: simulation minus noise^2 eta/(2 - eta) P/(|P - B| - 1), in standard errors, worst of "
            f"{len(floors)} settings", source="linear-Gaussian model of mini-batch Gauss-Newton",
        ),
        Claim.below(
            "floor/relative", np.abs(ratio).max(), 0.04, "the same, relative",
            source="linear-Gaussian model of mini-batch Gauss-Newton",
        ),
        Claim.below(
            "probes/mean", abs(probes.mean() - frobenius), 2e-3,
            "mean of single-probe kernel cosines minus the Frobenius alignment", source=SOURCE,
        ),
        Claim.within(
            "probes/scatter", probes.std(ddof=1), 1e-4, 2e-2,
            "their standard deviation: averaging the products over probes before the cosine does not reduce it",
            source=SOURCE,
        ),
    )  # fmt: skip
