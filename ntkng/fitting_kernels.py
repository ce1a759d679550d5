"""The kernels of a run: those that the caller has, if they belong to the problem, or else the infinite-width ones."""

from __future__ import annotations

import dataclasses
from typing import Any

from ntkng.fisher.base import Fisher
from ntkng.kernels import Kernels, analytic
from ntkng.origin import digest, refuse_other_inputs
from ntkng.problem import Problem
from ntkng.same_network import network_difference


def fitting_kernels(problem: Problem, fisher: Fisher, kernels: Kernels | None, **options: Any) -> Kernels:
    """`kernels` if they fit the problem; computed by `analytic(..., **options)` where they are `None`.

    Raises:
        ValueError: kernels of other sizes, inputs, test inputs or of another network; kernels made by hand, whose origin is
            not known, are compared by size.
    """
    if kernels is None:
        return analytic(
            problem.network, problem.x, problem.x_test,
            factors=fisher.needs_factors, units=fisher.unit_sampling(), **options,
        )  # fmt: skip
    _refuse_other_sizes(problem, kernels)
    origin = kernels.origin
    refuse_other_inputs("kernels", "x", origin.x, digest(problem.x), "problem.x")
    refuse_other_inputs("kernels", "x_test", origin.x_test, digest(problem.x_test), "problem.x_test")
    if origin.network is None:
        return kernels
    difference = network_difference(origin.network, problem.network, finite=kernels.source == "empirical")
    if difference is not None:
        raise ValueError(
            f"kernels are of another network than problem.network: {difference}; compute them from problem.network"
        )
    return _at_widths_of(problem, kernels)


def _refuse_other_sizes(problem: Problem, kernels: Kernels) -> None:
    if (kernels.samples, kernels.outputs) != (problem.samples, problem.outputs):
        raise ValueError(
            f"kernels are for N = {kernels.samples}, C = {kernels.outputs}, the problem has N = {problem.samples}, "
            f"C = {problem.outputs}; compute them from problem.x"
        )
    cross = kernels.layers[0].theta.cross
    if problem.x_test is not None and cross is not None and len(cross) != len(problem.x_test) * kernels.block:
        raise ValueError(
            f"kernels are for {len(cross) // kernels.block} test inputs, the problem has {len(problem.x_test)}; "
            "compute them from problem.x_test"
        )


def _at_widths_of(problem: Problem, kernels: Kernels) -> Kernels:
    """Infinite-width kernels do not depend on the widths, but what layers note of theirs does: K-FAC's damping uses it."""
    wanted = problem.network.dimensions
    if tuple(layer.dimensions for layer in kernels.layers) == wanted:
        return kernels
    if len(kernels.layers) != len(wanted):  # layers left out by hand: they are frozen
        return kernels
    if any(layer.units is not None for layer in kernels.layers):
        raise ValueError(
            f"kernels hold units of layers of {[layer.dimensions[1] for layer in kernels.layers]} units, the problem's network "
            f"has {[units for _, units in wanted]}; compute them from problem.network"
        )
    layers = (
        dataclasses.replace(layer, dimensions=own) for layer, own in zip(kernels.layers, wanted, strict=True)
    )  # fmt: skip
    return dataclasses.replace(kernels, layers=tuple(layers))
