r"""The empirical Fisher is not isotropic: the reason, its flow, and damped training.

Weighting each sample's gradient by its residual `e_n` makes `K = diag(1/e_n^2)`: isotropic in the wrong coordinates. In continuous
time `e_n^2 = e_n(0)^2 - 2 t`, so that samples are fitted one after another and not together; in discrete time a sample with
`e_n^2 < eta / 2` overshoots, so damping is needed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_damping import damping
from analyses.karakida_small_step import small_step_claims
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold_against, initial
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.compare import worst_distance
from ntkng.data import load
from ntkng.fisher import BlockDiagonal, EmpiricalFisher, Exact, Fisher
from ntkng.flow_operators import EmpiricalFisher as EmpiricalFlow
from ntkng.function_space_flow import FunctionSpaceFlow, Gaussian
from ntkng.iterate import iterate
from ntkng.kernels import Kernels, analytic
from ntkng.multilayer_perceptron import mlp
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.statistics import Estimate, log_log_slope
from ntkng.trajectory import Trajectory

SAMPLES, DEPTH = 16, 3
TARGET = 3.0  # targets are +-3, so that no initial residual is nearly 0
HORIZON = 0.8  # of the time at which the first sample is fitted
STEPS, ETA = 12, 0.3  # of damped training
# N rho over the mean eigenvalue of E Theta E: with little damping fitted samples overshoot and training is chaotic
KAPPA, LITTLE = 1.0, 0.03
SOURCE = "Kunstner, Hennig and Balles 2019; kernel: ours"
# at width 2048, mean over networks: relative distance on train and test inputs, and the factor on K
BOUND, TEST_BOUND, FACTOR, FLOW_BOUND, FLOW_FACTOR = 0.04, 0.15, 0.03, 0.02, 0.02


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """The spectrum of `K`, the flow by small steps, and damped training."""
    width, seeds = settings.choose((1024, 8), (2048, 8), (4096, 8))
    counts = settings.choose((8, 16, 32), (16, 32, 64), (8, 16, 32, 64))
    spectra = list(spectrum(settings.seed, theory))
    flows = {count: flow(count, width, settings.seed, theory) for count in settings.track(counts, "empirical flow")}
    slope = log_log_slope(
        1 / np.array(counts), np.array([worst_distance(f.simulated, f.predicted) for f in flows.values()])
    )
    runs = {
        name: train(fisher, width, seeds, settings.seed, theory)
        for name, fisher in settings.track(fishers(settings.seed).items(), "damped empirical Fisher")
    }
    scale = np.sqrt(2048 / width)
    claims = [*spectrum_claims(spectra), *flow_claims(flows, slope, scale), *train_claims(runs, scale)]
    claims += [] if settings.quick else own_kernel_claims(settings.seed, theory)
    facts = {"samples": SAMPLES, "depth": DEPTH, "width": width, "seeds": seeds, "counts": counts}
    panels = {
        "spectrum": spectra,
        "flow": list(flow_rows(flows[counts[-1]])),
        "damped": [row for name, one in runs.items() for row in train_rows(name, one)],
    }
    table = pd.concat([pd.DataFrame(rows).assign(panel=panel) for panel, rows in panels.items()])
    report = Report("Empirical Fisher", tuple(claims), provenance(facts, seed=settings.seed))
    return Study(table, report, facts=facts)


@functools.cache
def problem(width: int, seed: int) -> Problem:
    """Digits, 3 against 8, and an erf network."""
    data = load("digits").centred().split(SAMPLES, SAMPLES, classes=(3, 8), seed=seed)
    network = mlp(data.x.shape[1], width=width, depth=DEPTH, activation="erf")
    assert data.y_test is not None
    return Problem(network, data.x, TARGET * data.y, data.x_test, TARGET * data.y_test)


@functools.cache
def kernels(seed: int) -> Kernels:
    """Infinite-width kernels."""
    setting = problem(1, seed)
    return analytic(setting.network, setting.x, setting.x_test)


def fishers(seed: int) -> dict[str, Fisher]:
    """The empirical and the true Fisher, with damping on the scale of each."""
    much, little = (damping(kernels(seed), kappa) for kappa in (KAPPA, LITTLE))
    return {
        "EmpiricalFisher": EmpiricalFisher(much * TARGET**2),
        "EmpiricalFisher, block-diagonal": EmpiricalFisher(much * TARGET**2, BlockDiagonal()),
        "Exact": Exact(much),
        "EmpiricalFisher, little damping": EmpiricalFisher(little * TARGET**2),
        "Exact, little damping": Exact(little),
    }


# -- the reason ------------------------------------------------------------------------------------------------------


def spectrum(seed: int, theory: Theory) -> Iterator[dict[str, Any]]:
    """Eigenvalues of `K` at random residuals, sorted, and `alpha / e_n^2`."""
    layers = theory.kernels(kernels(seed))
    residual = problem(1, seed).y - np.random.default_rng(seed).normal(size=(SAMPLES, 1))
    for of, alpha in ((Exact(), 1), (BlockDiagonal(), DEPTH)):
        for fisher in (of, EmpiricalFisher(of=of).at(residual)):
            found = fisher.kernel(layers)
            values = theory.scale * np.asarray(found.eigenvalues())
            expected = np.sort(alpha / residual[:, 0] ** 2) if fisher is not of else np.full(SAMPLES, float(alpha))
            for index, (value, theoretical) in enumerate(zip(values, expected, strict=True)):
                yield {"fisher": fisher.name, "of": of.name, "index": index, "value": value, "expected": theoretical,
                       "off_isotropy": found.off_isotropy}  # fmt: skip


def spectrum_claims(rows: list[dict[str, Any]]) -> Iterator[Claim]:
    """`K = alpha diag(1/e_n^2)`, and so not isotropic."""
    for name in ("EmpiricalFisher", "true"):
        for of in ("Exact", "BlockDiagonal"):
            part = [row for row in rows if row["of"] == of and (row["fisher"] == "EmpiricalFisher") == (name != "true")]
            error = max(abs(row["value"] / row["expected"] - 1) for row in part)
            law = "alpha / e_n^2" if name != "true" else "alpha"
            yield Claim.below(
                f"{name}/{of}/eigenvalues", error, 1e-8, f"eigenvalues of K, relative distance to {law}", source=SOURCE
            )  # fmt: skip
            if name != "true":
                yield Claim.above(
                    f"{name}/{of}/off-isotropy", part[0]["off_isotropy"], 0.1, "|K - alpha I| / |K|", source=SOURCE
                )  # fmt: skip


# -- the flow --------------------------------------------------------------------------------------------------------


@functools.cache
def small_steps(count: int, width: int, seed: int) -> Trajectory:
    """Undamped small steps of one network, up to `HORIZON` of the time at which its first sample is fitted."""
    setting = problem(width, seed)
    first = np.asarray(simulate(setting, Exact(), seed, step_size=1.0, steps=1).residual)[0, 0]
    horizon = HORIZON * float((first**2).min()) / 2
    return simulate(setting, EmpiricalFisher(), seed, step_size=horizon / count, steps=count)


def flow(count: int, width: int, seed: int, theory: Theory) -> Comparison:
    """Small steps of one network, held against `e_n^2 = e_n(0)^2 - 2 t`."""
    simulated, setting = small_steps(count, width, seed), problem(width, seed)
    path = FunctionSpaceFlow(Gaussian(), EmpiricalFlow(), np.asarray(simulated.train)[0, 0], setting.y)

    def predict(factor: float) -> Trajectory:
        times = theory.scale * factor * (simulated.step_size or 0) * np.arange(count + 1)
        return dataclasses.replace(
            simulated, train=path.logit_path(times)[None], test=None, test_targets=None, source="closed form"
        )  # fmt: skip

    return hold_against(simulated, predict)


def flow_claims(runs: dict[int, Comparison], slope: Estimate, scale: float) -> Iterator[Claim]:
    """Small steps follow the law, linearly in the step; the factor is extrapolated from the two smallest steps."""
    coarse, fine = (runs[count] for count in sorted(runs)[-2:])
    yield Claim.below(
        "EmpiricalFisher/flow", float(worst_distance(fine.simulated, fine.predicted)[0]), scale * FLOW_BOUND,
        "distance of the smallest steps to e_n^2 = e_n(0)^2 - 2 t, relative to |r_0|", source=SOURCE,
    )  # fmt: skip
    yield Claim.within(
        "EmpiricalFisher/flow/slope", slope.value, 0.8, 1.25, "log-log slope of that distance in the step: linear (one network, nothing random)",
        source=SOURCE,
    )  # fmt: skip
    factor = float(2 * fine.factors[0] - coarse.factors[0])
    yield Claim.within(
        "EmpiricalFisher/flow/factor", factor, 1 - scale * FLOW_FACTOR, 1 + scale * FLOW_FACTOR,
        "factor on K that fits the simulation best, extrapolated to vanishing steps", source=SOURCE,
    )  # fmt: skip


def flow_rows(run: Comparison) -> Iterator[dict[str, Any]]:
    """`|e_n|` over time."""
    for source, path in (("simulation", run.simulated), ("theory", run.predicted)):
        sizes = np.abs(path.residual[0, :, :, 0])
        for time, row in zip(np.linspace(0, HORIZON, len(sizes)), sizes, strict=True):
            for sample, value in enumerate(row):
                yield {"source": source, "time": time, "sample": sample, "value": float(value)}


# -- damped training -------------------------------------------------------------------------------------------------


@functools.cache
def networks(fisher: Fisher, width: int, seeds: int, seed: int) -> Trajectory:
    """Damped training, before any theory."""
    return simulate(problem(width, seed), fisher, seed, step_size=step_size(fisher), steps=STEPS, seeds=seeds)


def step_size(fisher: Fisher) -> float:
    """`ETA / alpha`, and `K` is of the order of `alpha / e^2` for the empirical Fisher."""
    if not isinstance(fisher, EmpiricalFisher):
        return ETA
    return ETA * TARGET**2 / (DEPTH if isinstance(fisher.of, BlockDiagonal) else 1)


def train(fisher: Fisher, width: int, seeds: int, seed: int, theory: Theory) -> Comparison:
    """Networks, held against the iteration in function space."""
    setting, layers, believed = problem(width, seed), theory.kernels(kernels(seed)), theory.fisher(fisher, SAMPLES)
    eta, simulated = step_size(fisher), networks(fisher, width, seeds, seed)

    def predict(factor: float) -> Trajectory:
        step = theory.scale * factor * eta
        return iterate(setting, believed, layers, step_size=step, steps=STEPS, initial=initial(simulated))

    return hold_against(simulated, predict)


def train_claims(runs: dict[str, Comparison], scale: float) -> Iterator[Claim]:
    """Networks follow the iteration; with little damping the empirical Fisher does not reach what the true one reaches."""
    for name, run in runs.items():
        if name != "EmpiricalFisher, little damping":  # chaotic: no iteration can follow it for long
            yield from comparison_claims(
                f"damped {name}", run, bound=scale * BOUND, test_bound=scale * TEST_BOUND, factor=scale * FACTOR,
                source=SOURCE,
            )  # fmt: skip
    losses = {name: run.simulated.train_loss[:, -1].mean() for name, run in runs.items()}
    stalled = losses["EmpiricalFisher, little damping"] / losses["Exact, little damping"]
    yield Claim.above(
        "empirical over true", float(stalled), 10.0,
        f"training loss after {STEPS} steps with little damping, empirical over true Fisher", source=SOURCE,
    )  # fmt: skip


def own_kernel_claims(seed: int, theory: Theory) -> Iterator[Claim]:
    """One small damped step of a narrow network, against its own kernels."""
    cases = {name: (fisher, step_size(fisher)) for name, fisher in fishers(seed).items()}
    return small_step_claims(problem(128, seed), cases, theory, seed, prefix="damped ", source=SOURCE)


def train_rows(name: str, run: Comparison) -> Iterator[dict[str, Any]]:
    """`|r_t| / |r_0|`, mean over networks."""
    for source, path in (("simulation", run.simulated), ("theory", run.predicted)):
        norms = np.linalg.norm(path.residual, axis=(-2, -1))
        for step, values in enumerate((norms / norms[:, :1]).T):
            value, half = mean_with_interval(values)
            yield {"fisher": name, "source": source, "step": step, "value": value, "half_width": half}
