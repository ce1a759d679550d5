"""Finite networks with the unit-wise Fisher matrix: `alpha` at initialisation, and training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from analyses.karakida_problems import draw
from analyses.karakida_theory import RIGHT
from analyses.karakida_unit_wise_limit import DEPTH, Case, network, preconditioned, problem
from analyses.study import Settings
from ntkng.fisher import UnitWise
from ntkng.kernels import empirical
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

KAPPA, STEPS, CONTRACTION = 1e-2, 6, 0.5
DAMPINGS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Finite networks, before any theory.

    Attributes:
        cases: activations and outputs.
        alphas: `tr K / NC` at the default damping, by case, then width: one value a network.
        by_damping: `C (tr K / NC - 1)` over the number of hidden units at the largest width, by (case, kappa).
        paths: trained networks at the default damping, by case and width (C = 1; quick: erf only).
        damped_paths: trained networks at the largest width, by kappa (erf).
    """

    cases: tuple[Case, ...]
    alphas: Mapping[Case, Mapping[int, np.ndarray]]
    by_damping: Mapping[tuple[Case, float], np.ndarray]
    paths: Mapping[tuple[Case, int], Trajectory]
    damped_paths: Mapping[float, Trajectory]


def measure(settings: Settings) -> Measured:
    """Kernels and training of finite networks."""
    points = settings.choose(2**9, 2**12)
    cases = (Case("erf", 1, points), Case("relu", 1, points), Case("erf", 3, points))
    widths = settings.choose((128, 512), (128, 256, 512, 1024), (256, 512, 1024, 2048, 4096))
    seeds, networks = settings.choose((10, 8), (12, 8), (24, 8))
    alphas = {
        case: {width: finite_alphas(case, width, KAPPA, seeds, settings.seed) for width in widths}
        for case in settings.track(cases, "unit-wise: alpha of finite networks")
    }
    curve = [(case, kappa) for case in cases for kappa in DAMPINGS[:: settings.choose(2, 1)]]
    by_damping = {
        (case, kappa): per_unit(case, widths[-1], finite_alphas(case, widths[-1], kappa, 2, settings.seed))
        for case, kappa in settings.track(curve, "unit-wise: alpha against damping")
    }
    runs = [(case, width) for case in cases[: settings.choose(1, 2)] for width in widths]
    paths = {run: train(*run, KAPPA, networks, settings.seed) for run in settings.track(runs, "unit-wise: training")}
    others = [kappa for kappa in settings.choose((1e-1, 1e-3, 1e-6), DAMPINGS) if kappa != KAPPA]
    damped = {
        kappa: train(cases[0], widths[-1], kappa, networks, settings.seed)
        for kappa in settings.track(others, "unit-wise: training with other dampings")
    }
    return Measured(cases, alphas, by_damping, paths, {KAPPA: paths[cases[0], widths[-1]], **damped})


def per_unit(case: Case, width: int, alphas: np.ndarray) -> np.ndarray:
    """`C (alpha - 1)` over the number of hidden units."""
    return case.outputs * (alphas - 1) / ((DEPTH - 1) * width)


def finite_alphas(case: Case, width: int, kappa: float, seeds: int, seed: int) -> np.ndarray:
    """`tr K / NC` of random networks."""
    net, fisher, x = network(case.activation, case.outputs, width), UnitWise(kappa), problem(case.activation, width).x
    keys = range(1000 * seed, 1000 * seed + seeds)
    return np.array([fisher.kernel(empirical(net, draw(net, key), x, units=True)).alpha for key in keys])


def train(case: Case, width: int, kappa: float, networks: int, seed: int) -> Trajectory:
    """Networks at half of the step size that the mean eigenvalue of the limit suggests."""
    eta = CONTRACTION / preconditioned(case, width, kappa, RIGHT).alpha
    setting = problem(case.activation, width)
    return simulate(setting, UnitWise(kappa), seed, step_size=eta, steps=STEPS, seeds=networks)
