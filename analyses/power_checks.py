"""The ordinary checks of `ntkng.testing`, run on any theory and any simulation, and what came out."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from analyses.karakida_theory import RIGHT, Theory
from analyses.planted import altered
from analyses.power_problems import CONTRACTION, SETTINGS, STEPS, Setting
from analyses.power_theories import Planted
from ntkng.closed_form import closed_form
from ntkng.fisher import Fisher
from ntkng.kernels import Kernels
from ntkng.problem import Problem
from ntkng.report import Report
from ntkng.simulate import simulate
from ntkng.testing import (
    isotropy_report,
    kernel_report,
    rate_report,
    sample_kernels,
    trajectory_report,
    width_sweep,
)
from ntkng.testing.conformance.cases import cases
from ntkng.testing.conformance.dense_checks import dense_kernel
from ntkng.testing.conformance.kernel_checks import SEEDS as KERNEL_SEEDS
from ntkng.testing.conformance.kernel_checks import WIDTHS as KERNEL_WIDTHS
from ntkng.testing.conformance.simulation_checks import small_residual
from ntkng.testing.small_problem import DEPTH
from ntkng.testing.width_sweep import SEEDS, WIDTHS, seeds_at
from ntkng.trajectory import Trajectory

CHECKS = ("trajectory", "rate", "kernels", "isotropy", "dense oracle", "own kernels")
ORACLE_DEPTHS = (DEPTH, DEPTH)  # one output and ReLU, two outputs and erf; errors name layers of this depth
Trajectories = Mapping[int, Trajectory]


def outcome(check: Callable[[], Report]) -> str:
    """`"pass"`, `"fail"`, `"undecided"` where nothing fails and something is left open, `"refused"` with a ValueError."""
    try:
        verdicts = {claim.verdict for claim in check().claims}
    except ValueError:
        return "refused"
    return "fail" if "fail" in verdicts else "undecided" if verdicts & {"undecided", "ill-posed"} else "pass"


def random_key(name: str, run: int, seed: int) -> Any:
    """One stream of networks for each name and run."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode())), run)


def simulations(
    name: str, run: int, seed: int, train: Any = simulate, observe: Any = None, widths: Any = WIDTHS
) -> Trajectories:
    """Networks of the default size of `ntkng.testing.width_sweep`, at half of the optimal step size."""
    setting = SETTINGS[name]
    sweep = width_sweep(
        setting.problem, setting.fisher, widths=widths, seeds=SEEDS, relative_step=1 - CONTRACTION, steps=STEPS,
        key=random_key(name, run, seed), train=train, observe=observe,
    )  # fmt: skip
    return sweep.simulated


def predictions(setting: Setting, theory: Theory, simulated: Trajectories) -> Trajectories:
    """What a theory gives for these networks."""
    return {
        width: theory.predict(setting.problem(width), setting.fisher, setting.kernels(width), run)
        for width, run in simulated.items()
    }


def trajectory_check(setting: Setting, theory: Theory, simulated: Trajectories, **options: Any) -> Report:
    """`assert_trajectories_match`."""
    return trajectory_report(simulated, predictions(setting, theory, simulated), powers=setting.powers, **options)


def rate_check(setting: Setting, theory: Theory, simulated: Trajectories) -> Report:
    """`assert_same_rate`, with the contraction that the theory's `alpha` gives."""
    contraction = abs(1 - theory.scale * (1 - CONTRACTION))
    return rate_report({setting.fisher.name: simulated}, contraction, powers=setting.powers)


def kernel_check(setting: Setting, theory: Theory, measured: Mapping[int, Kernels]) -> Report:
    """`assert_kernels_match`."""
    return kernel_report(measured, theory.kernels(setting.kernels()))


def isotropy_check(setting: Setting, theory: Theory) -> Report:
    """`assert_isotropic`: the `K` that is believed, and the `alpha` that is believed."""
    own = setting.kernels()
    alpha = theory.scale * setting.fisher.predicted_alpha(own)  # type: ignore[operator]
    return isotropy_report(theory.fisher(setting.fisher, own.samples), theory.kernels(own), alpha=alpha)


def oracle_check(setting: Setting, planted: Planted) -> Report:
    """The conformance suite's comparison of `(K, K')` with full Jacobians and an explicit curvature matrix."""
    return dense_kernel(altered(setting.fisher, believes=planted.belief), cases(ORACLE_DEPTHS))


def own_kernels_check(setting: Setting, planted: Planted) -> Report:
    """The conformance suite's training over a vanishing distance, against the closed form of each network's own kernels."""

    def predict(problem: Problem, fisher: Fisher, own: Kernels, **options: Any) -> Trajectory:
        return planted.theory.path(problem, altered(fisher, believes=planted.belief), own, **options)

    return small_residual(setting.fisher, cases(ORACLE_DEPTHS), predict=predict)


def finite_kernels(name: str, run: int, seed: int) -> dict[int, Kernels]:
    """Kernels of random networks, of the default size of the conformance suite."""
    found = {}
    for width in KERNEL_WIDTHS:
        problem = SETTINGS[name].problem(width)
        key = jax.random.fold_in(random_key("kernels of " + name, run, seed), width)
        seeds = seeds_at(width, KERNEL_WIDTHS, KERNEL_SEEDS)
        found[width] = sample_kernels(problem.network, problem.x, problem.x_test, seeds=seeds, key=key)
    return found


def theory_outcomes(
    name: str, planted: Planted, simulated: Trajectories, measured: Mapping[int, Kernels]
) -> dict[str, str]:
    """The outcome of every check that the theory touches; other checks are left out."""
    setting, theory = SETTINGS[name], planted.theory
    found = {"trajectory": outcome(lambda: trajectory_check(setting, theory, simulated))}
    if setting.fisher.isotropic and not setting.fisher.is_damped and 0 < abs(1 - theory.scale / 2) < 1 != theory.scale:
        found["rate"] = outcome(lambda: rate_check(setting, theory, simulated))
    if theory.layers is not None or theory.dropped is not None:
        found["kernels"] = outcome(lambda: kernel_check(setting, theory, measured))
    return {**found, **_exact_outcomes(name, planted)}


@functools.cache
def _exact_outcomes(name: str, planted: Planted) -> dict[str, str]:
    """Of the checks in which nothing is random."""
    setting, found = SETTINGS[name], {}
    if setting.fisher.predicted_alpha(setting.kernels()) is not None:
        found["isotropy"] = outcome(lambda: isotropy_check(setting, planted.theory))
    if planted.general and planted.theory.path is closed_form:
        found["dense oracle"] = outcome(lambda: oracle_check(setting, planted))
    if planted.general:
        found["own kernels"] = outcome(lambda: own_kernels_check(setting, planted))
    return found


def effect(name: str, theory: Theory, simulated: Trajectories) -> float:
    """How much the theory errs: the largest `|p - p_right| / |p_right - f_0|` over steps and input sets, of all networks."""
    largest = {max(simulated): simulated[max(simulated)]}
    right, wrong = (next(iter(predictions(SETTINGS[name], one, largest).values())) for one in (RIGHT, theory))
    return max(_distance(np.asarray(getattr(wrong, on)), np.asarray(getattr(right, on))) for on in ("train", "test"))


def _distance(one: Any, other: Any) -> float:
    """The largest of `|one - other| / |other - start|` over steps, networks together."""
    error, change = (((a**2).sum(axis=(0, 2, 3)))[1:] for a in (one - other, other - other[:, :1]))
    return float(np.sqrt(error / change).max())
