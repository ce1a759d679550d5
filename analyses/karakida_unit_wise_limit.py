"""Unit-wise Fisher at infinite width: `K` as a sum over layers, each linear in the number of its units."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

import ntkng
from analyses.karakida_problems import split
from analyses.karakida_theory import Theory
from ntkng.fisher import PreconditionedKernel, UnitWise
from ntkng.kernels import Kernels, UnitSampling, analytic
from ntkng.network import Network
from ntkng.problem import Problem
from ntkng.statistics import Estimate

SAMPLES, TESTS, DEPTH = 40, 40, 3
REFERENCE = 1024  # width at which units are sampled


@dataclasses.dataclass(frozen=True)
class Case:
    """What is sampled once.

    Attributes:
        activation: of the hidden layers.
        outputs: C.
        points: sampled units per scrambling.
    """

    activation: str
    outputs: int = 1
    points: int = 2**12

    @property
    def name(self) -> str:
        """Of claims."""
        return f"{self.activation}/C = {self.outputs}"


@functools.cache
def network(activation: str, outputs: int, width: int) -> Network:
    """Three layers without biases."""
    inputs = split("synthetic", SAMPLES, 0).x.shape[1]
    return ntkng.mlp(inputs, outputs, width=width, depth=DEPTH, activation=activation)


@functools.cache
def problem(activation: str, width: int) -> Problem:
    """The synthetic teacher, with a few test inputs."""
    data = split("synthetic", SAMPLES, 0)
    assert data.x_test is not None
    assert data.y_test is not None
    return Problem(network(activation, 1, width), data.x, data.y, data.x_test[:TESTS], data.y_test[:TESTS])


@functools.cache
def sampled(case: Case) -> Kernels:
    """Kernels with units of one width; on test inputs for one output only."""
    setting = problem(case.activation, REFERENCE)
    x_test = setting.x_test if case.outputs == 1 else None
    units = UnitSampling(points=case.points)
    return analytic(network(case.activation, case.outputs, REFERENCE), setting.x, x_test, units=units)


def alpha_per_unit(case: Case, kappa: float, theory: Theory) -> Estimate:
    """`C (alpha - alpha_L) / sum_l M_l`, `alpha_L` the last layer's part, with the error bar of the sampling."""
    kernels, fisher = sampled(case), believed(kappa, theory)
    hidden = tuple(layer for index, layer in enumerate(kernels.layers[:-1]) if index != theory.dropped)
    found = fisher.alpha(dataclasses.replace(kernels, layers=hidden))
    scale = case.outputs / ((DEPTH - 1) * REFERENCE)
    return Estimate(theory.scale * scale * found.value, scale * found.standard_error, found.degrees)


def believed(kappa: float, theory: Theory) -> UnitWise:
    """The approximation as the theory has it."""
    changed = theory.fisher(UnitWise(kappa), SAMPLES)
    assert isinstance(changed, UnitWise)
    return changed


def preconditioned(case: Case, width: int, kappa: float, theory: Theory) -> PreconditionedKernel:
    """`K` at any width: hidden layers contribute in proportion to it, the last one does not depend on it."""
    damping = float(believed(kappa, theory).damping)
    kept = [index for index in range(DEPTH) if index != theory.dropped]
    parts = [_layer(case, damping, index) for index in kept]
    weights = [1.0 if index == DEPTH - 1 else width / REFERENCE for index in kept]
    train, cross = (
        sum(weight * np.asarray(getattr(part, on)) for weight, part in zip(weights, parts, strict=True))
        for on in ("train", "cross")
    )
    return dataclasses.replace(parts[0], train=train, cross=cross)


@functools.cache
def _layer(case: Case, kappa: float, index: int) -> PreconditionedKernel:
    kernels = sampled(case)
    return UnitWise(kappa).kernel(dataclasses.replace(kernels, layers=(kernels.layers[index],)))
