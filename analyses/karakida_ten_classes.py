r"""Ten outputs: all ten digits, with the accuracies that the closed form and networks reach.

With C outputs the layer kernels of a finite network are `N C x N C`, and K-FAC's backward Grams need hidden layers of width `N C`
at least. At infinite width the outputs are independent, every kernel is `kron I_C`, and the closed form costs no more than for one
output: `alpha` and the training path do not know C.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_problems import SOURCE, draw
from analyses.karakida_small_step import small_step_claims
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.data import load
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher, GradientDescent
from ntkng.kernels import Kernels, analytic, empirical
from ntkng.multilayer_perceptron import mlp
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

SAMPLES, TESTS, DEPTH, STEPS, FRACTION = 50, 300, 3, 6, 0.5
TARGET = 3.0  # scale of the targets, above that of f_0, which stays in the test function
FISHERS: tuple[Fisher, ...] = (GradientDescent(), Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC())
# at width 2048, mean over networks: relative distance on train and test inputs, and the factor on K
BOUNDS = {"GradientDescent": (0.08, 0.2, 0.045), "KFAC": (0.03, 0.7, 0.02)}  # K-FAC: the pixels are ill-conditioned
BOUND = (0.015, 0.3, 0.02)  # of the others
ACCURACY = 0.04  # at width 2048: error of the test accuracy
SAME_CLASS = {"KFAC": 0.65}  # share of test inputs that are classified alike; others 0.9
ISOTROPY = 1e-6


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Training of networks with ten outputs, the closed form, and the spectra of their own `K`."""
    width, seeds = settings.choose((768, 1), (2048, 6), (4096, 6))
    fishers = settings.choose(FISHERS[0:3:2], FISHERS)  # quick: gradient descent and block-diagonal
    chosen = settings.track(fishers, "ten classes", len(fishers))
    runs = {fisher.name: run(fisher, width, seeds, settings.seed, theory) for fisher in chosen}
    scale = np.sqrt(2048 / width)
    claims = [
        *(claim for name, one in runs.items() for claim in make_claims(name, one, scale)),
        *isotropy_claims(fishers[1:], width, settings.seed, theory),
    ]
    facts = {"samples": SAMPLES, "tests": TESTS, "depth": DEPTH, "width": width, "seeds": seeds, "outputs": 10}
    rows = [row for name, one in runs.items() for row in path_rows(name, one)]
    report = Report("Ten classes", tuple(claims), provenance(facts, seed=settings.seed))
    return Study(pd.DataFrame(rows), report, confusion(runs), facts)


@functools.cache
def problem(width: int, seed: int, tests: int = TESTS) -> Problem:
    """All digits, five of each for training, one-hot targets without their mean, scaled, and an erf network."""
    data = load("digits").centred().split(SAMPLES, TESTS, seed=seed)
    network = mlp(data.x.shape[1], data.y.shape[1], width=width, depth=DEPTH, activation="erf")
    assert data.x_test is not None
    assert data.y_test is not None
    y, y_test = (TARGET * (targets - 1 / targets.shape[1]) for targets in (data.y, data.y_test[:tests]))
    return Problem(network, data.x, y, data.x_test[:tests], y_test)


@functools.cache
def kernels(seed: int) -> Kernels:
    """Infinite-width kernels; undamped approximations do not look at the width."""
    setting = problem(1, seed)
    return analytic(setting.network, setting.x, setting.x_test)


def step_size(fisher: Fisher, seed: int) -> float:
    """`1/(2 alpha)`; gradient descent: `1/(2 k_max)`."""
    return FRACTION / float(fisher.kernel(kernels(seed)).eigenvalues()[-1])


@functools.cache
def train(fisher: Fisher, width: int, seeds: int, seed: int) -> Trajectory:
    """Networks, before any theory."""
    setting = problem(width, seed)
    return simulate(setting, fisher, seed, step_size=step_size(fisher, seed), steps=STEPS, seeds=seeds)


def run(fisher: Fisher, width: int, seeds: int, seed: int, theory: Theory) -> Comparison:
    """Networks, held against the closed form."""
    return hold(problem(width, seed), fisher, kernels(seed), train(fisher, width, seeds, seed), theory)


# -- claims ----------------------------------------------------------------------------------------------------------


def make_claims(name: str, one: Comparison, scale: float) -> Iterator[Claim]:
    """Distances, and accuracies of networks and closed form."""
    source = f"{SOURCE}, theorem 3.1, C = 10"
    bound, test_bound, factor = (scale * part for part in BOUNDS.get(name, BOUND))
    yield from comparison_claims(name, one, bound=bound, test_bound=test_bound, factor=factor, source=source)
    simulated, predicted = (path.accuracy("test")[..., -1] for path in (one.simulated, one.predicted))
    value, half = mean_with_interval(simulated - predicted)
    yield Claim.within(
        f"{name}/accuracy", value, -scale * ACCURACY, scale * ACCURACY,
        f"test accuracy of networks ({simulated.mean():.3f}) minus that of the closed form from the same f_0 "
        f"({predicted.mean():.3f})", uncertainty=half, source=source,
    )  # fmt: skip
    value, half = mean_with_interval(same_class(one))
    yield Claim.above(
        f"{name}/same class", value, 1 - scale * (1 - SAME_CLASS.get(name, 0.9)), "share of test inputs that both put in one class",
        uncertainty=half, source=source,
    )  # fmt: skip


def same_class(one: Comparison) -> np.ndarray:
    """Share of test inputs for which network and closed form agree after the last step, one a network."""
    labels = [path.predictions("test")[..., -1, :, :].argmax(-1) for path in (one.simulated, one.predicted)]
    return (labels[0] == labels[1]).mean(axis=-1)


def isotropy_claims(fishers: tuple[Fisher, ...], width: int, seed: int, theory: Theory) -> Iterator[Claim]:
    """`K = alpha I` on all `N C` outputs of one network, and its small steps."""
    setting = problem(width, seed, 20)
    parameters = draw(setting.network, seed)
    layers = theory.kernels(empirical(setting.network, parameters, setting.x))
    alphas: Mapping[str, int] = {"Exact": 1, "BlockDiagonal": DEPTH, "BlockTriDiagonal": 1,
                                 "KFAC": SAMPLES * (DEPTH - 1) + 1}  # fmt: skip
    for fisher in fishers:
        found, alpha = fisher.kernel(layers), alphas[fisher.name]
        error = np.abs(theory.scale * np.asarray(found.eigenvalues()) / alpha - 1).max()
        yield Claim.below(
            f"{fisher.name}/spectrum", float(error), ISOTROPY,
            f"largest |k / alpha - 1| over the {len(found.train)} eigenvalues of one network, alpha = {alpha}",
            source=f"{SOURCE}, section 4, C = 10",
        )  # fmt: skip
    cases = {fisher.name: (fisher, step_size(fisher, seed)) for fisher in fishers if fisher.name in ("Exact", "KFAC")}
    yield from small_step_claims(setting, cases, theory, seed, source=SOURCE)


# -- rows ------------------------------------------------------------------------------------------------------------


def path_rows(name: str, one: Comparison) -> Iterator[dict[str, Any]]:
    """Residuals and accuracies, mean over networks."""
    for source, path in (("simulation", one.simulated), ("theory", one.predicted)):
        norms = np.linalg.norm(path.residual, axis=(-2, -1))
        measured = {"residual": norms / norms[:, :1], "train": path.accuracy("train"), "test": path.accuracy("test")}
        for what, values in measured.items():
            for step, column in enumerate(values.T):
                value, half = mean_with_interval(column)
                yield {"fisher": name, "source": source, "what": what, "step": step, "value": value, "half_width": half}


def confusion(runs: dict[str, Comparison]) -> dict[str, np.ndarray]:
    """Test outputs of the first network and of the closed form after the last step, by approximation."""
    arrays = {}
    for name, one in runs.items():
        arrays[f"{name}/simulated"] = one.simulated.predictions("test")[0, -1]
        arrays[f"{name}/predicted"] = one.predicted.predictions("test")[0, -1]
    return arrays
