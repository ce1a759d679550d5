r"""Damped training: the closed form is a matrix dynamics, and can be trusted where its spectrum says so.

With damping `K` is not isotropic, so that `r_t = (I - eta K)^t r_0` has one rate per mode; a single rate `(1 - eta)^t` for all of
them (a "scalar clock") is wrong after the first step. The damped tri-diagonal pattern is indefinite from three layers on: in a
window of dampings its `K` has poles and negative eigenvalues, closed form and simulation need not agree, and the verdict is
`ill-posed`. K-FAC's split of the damping depends on the width: `pi^2 = (tr A / K) / (tr B / M)` grows like M in the first layer
and falls like 1/M in the last.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses import karakida_pi_rule, karakida_poles
from analyses.karakida_problems import SOURCE, split
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.compare import relative_distance
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher
from ntkng.kernels import Kernels, analytic
from ntkng.multilayer_perceptron import mlp
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

SAMPLES, DEPTH, STEPS = 20, 3, 10
# N rho over the mean eigenvalue of the NTK; those of the tri-diagonal pattern lie on both sides of its poles
KAPPAS: dict[type[Fisher], tuple[float, ...]] = {
    Exact: (0.03, 0.3, 1.0),
    BlockDiagonal: (0.03, 0.3, 1.0),
    BlockTriDiagonal: (0.01, 3.0, 10.0),
    KFAC: (0.003, 0.03, 0.3),
}
# at width 2048, mean over networks: max over steps of the relative distance to the closed form on train and test inputs
BOUND, TEST_BOUND = 0.03, 0.2
FACTOR = 0.035  # of the factor on K that fits best, at any width
CLOCK = 0.1


@dataclasses.dataclass(frozen=True)
class Run:
    """One approximation at one damping."""

    fisher: Fisher
    kappa: float
    held: Comparison
    clock: np.ndarray  # distance of the scalar clock to the simulation, [T]


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Simulations at three dampings of each approximation, spectra over dampings, and K-FAC's split."""
    width, seeds = settings.choose((1024, 10), (2048, 10), (4096, 10))
    cases = [(kind, kappa) for kind, kappas in KAPPAS.items() for kappa in kappas]
    setting = problem(width, settings.seed)
    kernels = analytic(setting.network, setting.x, setting.x_test)
    paths = {
        case: train(*case, setting, kernels, seeds, settings.seed)
        for case in settings.track(cases, "damped training", len(cases))
    }
    runs = [hold_case(*case, setting, kernels, path, theory) for case, path in paths.items()]
    spectra = karakida_poles.spectrum(settings.seed)
    example = karakida_poles.diverging(settings.seed)
    widths, networks = settings.choose(((64, 256, 1024), 8), ((64, 256, 1024, 2048), 8))
    splits = karakida_pi_rule.rows(lambda width: problem(width, settings.seed), widths, networks, settings.seed)
    claims = [
        *training_claims(runs, np.sqrt(2048 / width)),
        *karakida_poles.claims(spectra, example),
        *karakida_pi_rule.claims(splits),
    ]
    facts = {"width": width, "seeds": seeds, "samples": SAMPLES, "depth": DEPTH, "steps": STEPS}
    report = Report("Damping", tuple(claims), provenance(facts, seed=settings.seed))
    panels = {"training": [row for one in runs for row in training_rows(one)], "spectrum": spectra, "split": splits}
    table = pd.concat([pd.DataFrame(rows).assign(panel=panel) for panel, rows in panels.items()])
    return Study(table, report, facts=facts)


@functools.cache
def problem(width: int, seed: int) -> Problem:
    """Digits, 3 against 8; a smooth activation, so that finite widths are near the limit."""
    data = split("digits", SAMPLES, seed)
    return Problem(mlp(data.x.shape[1], width=width, depth=DEPTH, activation="erf"), *data)


def damping(kernels: Kernels, kappa: float) -> float:
    """`rho` such that `N rho` is `kappa` times the mean eigenvalue of the NTK."""
    return float(kappa * np.trace(np.asarray(kernels.theta.train)) / kernels.size / kernels.samples)


def train(kind: type[Fisher], kappa: float, setting: Problem, kernels: Kernels, seeds: int, seed: int) -> Trajectory:
    """Networks at `eta = 1 / (2 k_max)`."""
    fisher = kind(damping(kernels, kappa))
    eta = 0.5 / float(np.asarray(fisher.kernel(kernels).eigenvalues())[-1])
    return simulate(setting, fisher, seed, step_size=eta, steps=STEPS, seeds=seeds)


def hold_case(
    kind: type[Fisher], kappa: float, setting: Problem, kernels: Kernels, path: Trajectory, theory: Theory
) -> Run:
    """The networks against the closed form."""
    fisher = kind(damping(kernels, kappa))
    return Run(fisher, kappa, hold(setting, fisher, kernels, path, theory), scalar_clock(path, fisher, kernels))


def scalar_clock(simulated: Trajectory, fisher: Fisher, kernels: Kernels) -> np.ndarray:
    """Distance to the simulation of `r_0 - K r_0 (1 - (1 - eta k)^t) / k` with one rate `k`, the mean eigenvalue, for all."""
    found, eta = fisher.kernel(kernels), simulated.step_size
    assert eta is not None
    start = np.asarray(simulated.residual)[:, :1]
    passed = (1 - (1 - eta * found.alpha) ** np.asarray(simulated.times)) / found.alpha
    moved = np.einsum("ij,stjc->stic", np.asarray(found.train), start)
    believed = start - passed[:, None, None] * moved
    distance = np.linalg.norm(believed - simulated.residual, axis=(-2, -1)) / np.linalg.norm(start, axis=(-2, -1))
    return distance.mean(axis=0)


def training_rows(one: Run) -> Iterator[dict[str, Any]]:
    """`|r_t| / |r_0|` and the distance to the closed form, mean over networks with the 95 % interval."""
    for source, path in (("simulation", one.held.simulated), ("theory", one.held.predicted)):
        norms = np.linalg.norm(path.residual, axis=(-2, -1))
        for step, values in enumerate((norms / norms[:, :1]).T):
            value, half = mean_with_interval(values)
            yield {
                "fisher": one.fisher.name, "kappa": one.kappa, "rho": float(one.fisher.damping), "step": step,
                "source": source, "residual": value, "half_width": half, "clock": one.clock[step],
                "distance": float(relative_distance(one.held.simulated, one.held.predicted)[:, step].mean()),
            }  # fmt: skip


def training_claims(runs: list[Run], scale: float) -> Iterator[Claim]:
    """Simulations follow the matrix dynamics, and not a scalar clock."""
    for one in runs:
        yield from comparison_claims(
            f"{one.fisher.name}, kappa = {one.kappa:g}", one.held, bound=scale * BOUND, test_bound=scale * TEST_BOUND,
            factor=FACTOR, source=f"{SOURCE}, section 3; matrix dynamics: ours",
        )  # fmt: skip
        spectrum = one.held.predicted.stability
        if spectrum is not None and 3 * spectrum.smallest < spectrum.largest:
            yield Claim.above(
                f"{one.fisher.name}, kappa = {one.kappa:g}/scalar clock", float(one.clock.max()), CLOCK,
                "distance to the simulation if one rate, the mean one, is assumed for all modes, whose rates differ by "
                "more than a factor of 3", source="ours",
            )  # fmt: skip
