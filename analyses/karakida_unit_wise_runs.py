"""Finite networks trained with the unit-wise Fisher matrix, and the infinite-width kernels with sampled units beside them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

import ntkng
from analyses.karakida_problems import draw, split
from analyses.study import Settings
from ntkng.fisher import UnitWise
from ntkng.kernels import Kernels, LayerKernels, UnitSampling, analytic, empirical
from ntkng.network import Network
from ntkng.problem import Problem
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

KAPPA, SAMPLES, TESTS, STEPS, CONTRACTION = 1e-2, 40, 40, 6, 0.5
DAMPINGS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
REFERENCE = 1024  # width at which units are sampled
ACTIVATIONS = ("erf", "relu")
CASES = (("erf", 1), ("relu", 1), ("erf", 3))  # activation, outputs


@dataclasses.dataclass(frozen=True)
class Measured:
    """Finite networks, before any theory.

    Attributes:
        alphas: `tr K / NC` at the default damping, by (activation, outputs), then width: one value a network.
        by_damping: the same over the number of hidden units at the largest width, by (activation, kappa).
        paths: trained networks at the default damping, by (activation, width).
        damped_paths: trained networks at the largest width, by kappa (erf).
    """

    alphas: Mapping[tuple[str, int], Mapping[int, np.ndarray]]
    by_damping: Mapping[tuple[str, float], np.ndarray]
    paths: Mapping[tuple[str, int], Trajectory]
    damped_paths: Mapping[float, Trajectory]


# -- finite networks -------------------------------------------------------------------------------------------------


def measure(settings: Settings) -> Measured:
    """Kernels and training of finite networks."""
    widths = settings.choose((128, 256, 512), (128, 256, 512, 1024), (256, 512, 1024, 2048, 4096))
    seeds, networks = settings.choose((6, 3), (12, 4), (24, 8))
    alphas = {
        case: {width: _finite_alphas(*case, width, KAPPA, seeds, settings.seed) for width in widths}
        for case in settings.track(CASES, "unit-wise: alpha of finite networks")
    }
    curve = [(act, kappa) for act in ACTIVATIONS for kappa in DAMPINGS[:: settings.choose(2, 1)]]
    by_damping = {
        (act, kappa): _finite_alphas(act, 1, widths[-1], kappa, 2, settings.seed) / (2 * widths[-1])
        for act, kappa in settings.track(curve, "unit-wise: alpha against damping")
    }
    cases = [(act, width) for act in ACTIVATIONS for width in widths]
    paths = {
        case: _train(*case, KAPPA, networks, settings.seed) for case in settings.track(cases, "unit-wise: training")
    }
    dampings = settings.track((*DAMPINGS[:: settings.choose(5, 1)], KAPPA), "unit-wise: training with less damping")
    damped = {kappa: _train("erf", widths[-1], kappa, networks, settings.seed) for kappa in dampings}
    return Measured(alphas, by_damping, paths, damped)


def _finite_alphas(activation: str, outputs: int, width: int, kappa: float, seeds: int, seed: int) -> np.ndarray:
    net, fisher, x = network(activation, outputs, width), UnitWise(kappa), split("synthetic", SAMPLES, 0).x
    keys = range(1000 * seed, 1000 * seed + seeds)
    return np.array([fisher.kernel(empirical(net, draw(net, key), x, units=True)).alpha for key in keys])


def _train(activation: str, width: int, kappa: float, networks: int, seed: int) -> Trajectory:
    setting, fisher = problem(activation, width), UnitWise(kappa)
    alpha = fisher.kernel(kernels(activation, 1, width)).alpha
    return simulate(setting, fisher, seed, step_size=CONTRACTION / alpha, steps=STEPS, seeds=networks)


@functools.cache
def network(activation: str, outputs: int, width: int) -> Network:
    """Three layers without biases."""
    inputs = split("synthetic", SAMPLES, 0).x.shape[1]
    return ntkng.mlp(inputs, outputs, width=width, depth=3, activation=activation)


@functools.cache
def problem(activation: str, width: int) -> Problem:
    """The synthetic teacher, with a few test inputs."""
    data = split("synthetic", SAMPLES, 0)
    assert data.x_test is not None
    return Problem(network(activation, 1, width), data.x, data.y, data.x_test[:TESTS])


# -- infinite width --------------------------------------------------------------------------------------------------


@functools.cache
def sampled_kernels(activation: str, outputs: int) -> Kernels:
    """With sampled units, at one width; the test inputs are needed for one output only."""
    setting = problem(activation, REFERENCE)
    x_test = setting.x_test if outputs == 1 else None
    return analytic(network(activation, outputs, REFERENCE), setting.x, x_test, units=UnitSampling())


def kernels(activation: str, outputs: int, width: int) -> Kernels:
    """The same at any width: only the size of `delta`, `1/sqrt(M)`, and the number of units depend on it."""
    sampled, ratio = sampled_kernels(activation, outputs), width / REFERENCE

    def layer(old: LayerKernels) -> LayerKernels:
        if old.units is None:
            return old
        deltas = [None if part is None else part / ratio**0.5 for part in (old.units.train, old.units.test)]
        units = dataclasses.replace(old.units, train=deltas[0], test=deltas[1], weight=ratio * old.units.weight)
        return dataclasses.replace(old, units=units, dimensions=(old.dimensions[0], width))

    return dataclasses.replace(sampled, layers=tuple(layer(old) for old in sampled.layers))
