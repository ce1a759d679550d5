r"""Natural gradient descent on mini-batches: what a step does off its batch.

A step on a batch changes the function everywhere, by `-eta K(x, x_b) r(x_b)`. On the batch one step at `1/alpha` reaches the
targets; off the batch it disturbs what other batches have fitted. For the exact Fisher the steps are projections in the
kernel's Hilbert space, and every pass over the batches shrinks the error there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_damping import damping
from analyses.karakida_problems import SOURCE
from analyses.karakida_small_step import small_step_claims
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold_against, initial
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.data import load
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher
from ntkng.iterate import iterate
from ntkng.kernels import Kernels, analytic
from ntkng.mini_batch import kaczmarz_rate, shuffled_batches
from ntkng.multilayer_perceptron import mlp
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

SAMPLES, BATCH, PASSES, DEPTH = 24, 8, 4, 3
CLASSES = (3, 8)
FISHERS: tuple[Fisher, ...] = (Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC())
KAPPA = 0.1  # of the damped case: N rho over the mean eigenvalue of the NTK
# at width 2048, mean over networks: relative distance on train and test inputs, and the factor on K
BOUND, TEST_BOUND, FACTOR = 0.05, 0.15, 0.03
FITTED = 0.03  # residual on the batch after its step, relative to the one before


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Passes over three batches with every approximation."""
    width, seeds = settings.choose((1024, 8), (2048, 8), (4096, 8))
    chosen = settings.choose((FISHERS[0], FISHERS[3]), FISHERS)  # quick: exact and K-FAC
    fishers = {**{fisher.name: fisher for fisher in chosen}, "Exact, damped": damped(settings.seed)}
    runs = {
        name: run(fisher, width, seeds, settings.seed, theory)
        for name, fisher in settings.track(fishers.items(), "mini-batches", len(fishers))
    }
    scale = np.sqrt(2048 / width)
    passes = list(kaczmarz_rows(runs["Exact"], settings.seed))
    claims = [
        *claims_of(runs, scale, settings.seed),
        *kaczmarz_claims(passes, scale),
        *([] if settings.quick else own_kernel_claims(fishers, settings.seed, theory)),
    ]
    facts = {"samples": SAMPLES, "batch": BATCH, "passes": PASSES, "depth": DEPTH, "width": width, "seeds": seeds}
    report = Report("Mini-batches", tuple(claims), provenance(facts, seed=settings.seed))
    panels = {
        "residual": [row for name, one in runs.items() for row in residual_rows(name, one)],
        "first step": [row for name, one in runs.items() for row in first_step_rows(name, one, settings.seed)],
        "passes": passes,
    }
    table = pd.concat([pd.DataFrame(rows).assign(panel=panel) for panel, rows in panels.items()])
    return Study(table, report, facts=facts)


@functools.cache
def problem(width: int, seed: int) -> Problem:
    """Digits, 3 against 8, and an erf network."""
    data = load("digits").centred().split(SAMPLES, SAMPLES, classes=CLASSES, seed=seed)
    return Problem(mlp(data.x.shape[1], width=width, depth=DEPTH, activation="erf"), *data)


@functools.cache
def kernels(seed: int) -> Kernels:
    """Infinite-width kernels; undamped approximations do not look at the width."""
    setting = problem(1, seed)
    return analytic(setting.network, setting.x, setting.x_test)


def damped(seed: int) -> Fisher:
    """The damped case."""
    return Exact(damping(kernels(seed), KAPPA))


def batches(seed: int) -> np.ndarray:
    """The same batches in every pass."""
    return np.tile(shuffled_batches(SAMPLES, BATCH, seed=seed), (PASSES, 1))


def step_size(fisher: Fisher) -> float:
    """`1/alpha` on a batch."""
    alpha = {"Exact": 1, "BlockDiagonal": DEPTH, "BlockTriDiagonal": 1, "KFAC": BATCH * (DEPTH - 1) + 1}
    return 1 / alpha[fisher.name]


@functools.cache
def train(fisher: Fisher, width: int, seeds: int, seed: int) -> Trajectory:
    """Networks, before any theory."""
    return simulate(problem(width, seed), fisher, seed, step_size=step_size(fisher), batches=batches(seed), seeds=seeds)


def run(fisher: Fisher, width: int, seeds: int, seed: int, theory: Theory) -> Comparison:
    """Networks, held against the iteration in function space."""
    setting, layers, order = problem(width, seed), theory.kernels(kernels(seed)), batches(seed)
    eta, believed = step_size(fisher), theory.fisher(fisher, BATCH)
    simulated = train(fisher, width, seeds, seed)

    def predict(factor: float) -> Trajectory:
        step = theory.scale * factor * eta
        return iterate(setting, believed, layers, step_size=step, batches=order, initial=initial(simulated))

    return hold_against(simulated, predict)


def claims_of(runs: dict[str, Comparison], scale: float, seed: int) -> Iterator[Claim]:
    """Networks follow the iteration; a step fits its batch and moves the rest."""
    source = f"{SOURCE}, section 3; off the batch: ours"
    for name, one in runs.items():
        yield from comparison_claims(
            name, one, bound=scale * BOUND, test_bound=scale * TEST_BOUND, factor=scale * FACTOR, source=source
        )
    for name in runs.keys() - {"Exact, damped"}:
        on, off = (np.array(part) for part in zip(*_first_changes(runs[name], seed), strict=True))
        value, half = mean_with_interval(on)
        yield Claim.below(
            f"{name}/on the batch", value, scale * FITTED, "residual on the first batch after its step, relative",
            uncertainty=half, source=source,
        )  # fmt: skip
        value, half = mean_with_interval(off)
        yield Claim.above(
            f"{name}/off the batch", value, 0.05, "change of the function on the other samples, relative to the residual "
            "there: not zero", uncertainty=half, source=source,
        )  # fmt: skip


def own_kernel_claims(fishers: dict[str, Fisher], seed: int, theory: Theory) -> Iterator[Claim]:
    """One small step on a batch of a narrow network, against its own kernels, on and off the batch."""
    cases = {name: (fisher, step_size(fisher)) for name, fisher in fishers.items()}
    return small_step_claims(problem(128, seed), cases, theory, seed, batches=batches(seed)[:1], source=SOURCE)


def _first_changes(one: Comparison, seed: int) -> Iterator[tuple[float, float]]:
    """By network: what is left on the first batch, and what has changed off it."""
    batch = batches(seed)[0]
    others = np.setdiff1d(np.arange(SAMPLES), batch)
    for residual in one.simulated.residual:
        left = np.linalg.norm(residual[1, batch]) / np.linalg.norm(residual[0, batch])
        moved = np.linalg.norm(residual[1, others] - residual[0, others]) / np.linalg.norm(residual[0, others])
        yield float(left), float(moved)


def kaczmarz_rows(one: Comparison, seed: int) -> Iterator[dict[str, Any]]:
    """`|r|` in the kernel's norm at the end of every pass, and its bound."""
    theta = np.asarray(kernels(seed).theta.train)
    per_pass = SAMPLES // BATCH
    rate = kaczmarz_rate(theta, batches(seed)[:per_pass])
    for source, path in (("simulation", one.simulated), ("theory", one.predicted)):
        residual = path.residual[:, ::per_pass, :, 0]
        norms = np.sqrt(np.einsum("stn,stn->st", residual, np.linalg.solve(theta, residual[..., None])[..., 0]))
        for index, values in enumerate((norms / norms[:, :1]).T):
            value, half = mean_with_interval(values)
            yield {"source": source, "pass": index, "value": value, "half_width": half, "bound": rate**index,
                   "rate": rate}  # fmt: skip


def kaczmarz_claims(rows: list[dict[str, Any]], scale: float) -> Iterator[Claim]:
    """Every pass shrinks the error by the rate at least."""
    source = "block Kaczmarz; ours for natural gradients"
    for name, slack in (("theory", 1e-9), ("simulation", 0.05 * scale)):
        part = [row for row in rows if row["source"] == name]
        worst = max(row["value"] - row["bound"] for row in part)
        yield Claim.below(
            f"passes/{name}", worst, slack,
            f"|r| in the kernel's norm minus rate^pass, rate = {part[0]['rate']:.3f}, exact Fisher, eta = 1", source=source,
        )  # fmt: skip


def residual_rows(name: str, one: Comparison) -> Iterator[dict[str, Any]]:
    """`|r_t| / |r_0|` over all training inputs, mean over networks."""
    for source, path in (("simulation", one.simulated), ("theory", one.predicted)):
        norms = np.linalg.norm(path.residual, axis=(-2, -1))
        for step, values in enumerate((norms / norms[:, :1]).T):
            value, half = mean_with_interval(values)
            yield {"fisher": name, "source": source, "step": step, "value": value, "half_width": half}


def first_step_rows(name: str, one: Comparison, seed: int) -> Iterator[dict[str, Any]]:
    """Changes of the function in the first step, of the first network."""
    batch = batches(seed)[0]
    for on in ("train", "test"):
        changes = [path.predictions(on)[0, 1] - path.predictions(on)[0, 0] for path in (one.simulated, one.predicted)]  # type: ignore[arg-type]
        for index, (simulated, predicted) in enumerate(zip(*changes, strict=True)):
            where = "test" if on == "test" else "on the batch" if index in batch else "off the batch"
            yield {"fisher": name, "where": where, "simulated": float(simulated[0]), "predicted": float(predicted[0])}
