"""Checks of a function `(network, x, x_test) -> Kernels` of infinite-width kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ntkng.kernels import Kernels
from ntkng.report import Claim, Report
from ntkng.testing.conformance.cases import Case, error
from ntkng.testing.conformance.network_checks import total_ntk
from ntkng.testing.kernel_match import kernel_report
from ntkng.testing.width_sweep import sample_kernels, seeds_at

KernelFunction = Callable[..., Kernels]
CASES = (Case(2, 1, "relu"), Case(3, 2, "erf"), Case(4, 1, "erf", sigma_b=0.0))
BOUND = 1e-7  # the ReLU kernels lose half the digits where two inputs are nearly parallel
WIDTHS = (64, 128, 256)
SEEDS = 128


def shapes(function: KernelFunction) -> Report:
    """`[N, N]` and `[M, N]` Grams of every layer, without or with outputs."""
    claims = []
    for case in CASES:
        kernels = _kernels(function, case)
        sizes = {case.samples, case.samples * case.outputs}
        right = len(kernels.layers) == case.depth and kernels.size in sizes
        claims.append(
            Claim.holds(str(case), right and kernels.samples == case.samples, "one Gram a layer, of size N or N C")
        )
    return Report("shapes", tuple(claims))


def symmetric_positive(function: KernelFunction) -> Report:
    """Every layer's NTK is symmetric and positive semi-definite."""
    claims = []
    for case in CASES:
        for layer in _kernels(function, case).layers:
            theta = np.asarray(layer.theta.train, float)
            values = np.linalg.eigvalsh((theta + theta.T) / 2)
            name = f"layer {layer.name}, {case}"
            claims.append(
                Claim.below(f"symmetric, {name}", error(theta, theta.T), BOUND, "asymmetry over largest entry")
            )
            claims.append(
                Claim.above(
                    f"positive, {name}", float(values[0] / values[-1]), -BOUND, "smallest eigenvalue over largest"
                )
            )
    return Report("symmetry and definiteness", tuple(claims))


def cross_at_training_inputs(function: KernelFunction) -> Report:
    """With the training inputs as test inputs, the cross Grams are the train Grams."""
    claims = []
    for case in CASES:
        x = case.problem.x
        for layer in function(case.network, x, x).layers:
            found = error(layer.theta.cross, layer.theta.train)
            claims.append(Claim.below(f"layer {layer.name}, {case}", found, BOUND, "difference over largest entry"))
    return Report("cross Grams at the training inputs", tuple(claims))


def total(function: KernelFunction) -> Report:
    """The layers sum to the NTK that neural-tangents computes as a whole."""
    claims = []
    for case in CASES:
        kernels = _kernels(function, case)
        inputs = (("train", None), ("cross", case.problem.x_test))
        for where, x_test in inputs:
            expected = total_ntk(case.network, case.problem.x, x_test)
            value = np.asarray(getattr(kernels.theta, where), float)
            value = value[:: kernels.block, :: kernels.block]
            claims.append(
                Claim.below(f"{where}, {case}", error(value, expected), BOUND, "difference over largest entry")
            )
    return Report("sum over layers", tuple(claims))


def finite_networks(function: KernelFunction) -> Report:
    """Slow: kernels of finite networks approach them; a statistical test."""
    case = CASES[1]
    measured = {}
    for width in WIDTHS:
        own = Case(case.depth, case.outputs, case.activation, width=width)
        seeds = seeds_at(width, WIDTHS, SEEDS)
        measured[width] = sample_kernels(own.network, own.problem.x, own.problem.x_test, seeds=seeds, key=width)
    return kernel_report(measured, _kernels(function, case), effect=None)


def _kernels(function: KernelFunction, case: Case) -> Any:
    return function(case.network, case.problem.x, case.problem.x_test)


CHECKS: dict[str, Callable[[KernelFunction], Report]] = {
    check.__name__: check for check in (shapes, symmetric_positive, cross_at_training_inputs, total, finite_networks)
}
