"""Simulations with planted errors, by name, and the setting in which each is planted.

All but three put an approximation with a wrong parameter step (`analyses.planted`) in the place of the right one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analyses.planted import Deed, altered
from ntkng.fisher import BlockDiagonal, Fisher
from ntkng.kernels.empirical import from_records
from ntkng.layers import pullback
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.simulate import simulate
from ntkng.testing import small_problem
from ntkng.testing.small_problem import SIGMA_W
from ntkng.trajectory import Trajectory


@dataclasses.dataclass(frozen=True)
class Fault:
    """A wrong program.

    Attributes:
        setting: in which it is planted.
        does: a wrong parameter step, or
        train: a wrong `ntkng.simulate`.
        size: relative error of the step where it has one; 1 for others.
        only_finite: right in the limit of infinite width, so that only finite networks can tell.
    """

    setting: str
    does: Deed | None = None
    train: Callable[..., Trajectory] | None = None
    size: float = 1.0
    only_finite: bool = False

    def simulate(self, problem: Problem, fisher: Fisher, key: Any = 0, **options: Any) -> Trajectory:
        """`ntkng.simulate` with the error."""
        if self.train is not None:
            return self.train(problem, fisher, key, **options)
        return simulate(problem, altered(fisher, does=self.does), key, **options)


def longer(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """Steps that are 5 % too long."""
    return tuple(1.05 * part for part in fisher.cotangents(kernels, records, residual))


def without_samples(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """`1/N` is missing in the gradient."""
    return fisher.cotangents(kernels, records, kernels.samples * residual)


def frozen(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """The first layer is not trained."""
    first, *rest = fisher.cotangents(kernels, records, residual)
    return (jnp.zeros_like(first), *rest)


def damping_twice(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """The damping is added twice."""
    return dataclasses.replace(fisher, damping=2 * fisher.damping).cotangents(kernels, records, residual)


def damping_without_samples(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """`rho` stands where `N rho` belongs."""
    own = dataclasses.replace(fisher, damping=fisher.damping / kernels.samples)
    return own.cotangents(kernels, records, residual)


def uncoupled(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """The exact Fisher matrix without the blocks between layers, at the same speed."""
    parts = BlockDiagonal(fisher.damping).cotangents(kernels, records, residual)
    return tuple(part / len(parts) for part in parts)


def last_factor(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """The last layer's backward factor is `I_C / N`."""
    return dataclasses.replace(fisher, last_layer="paper").cotangents(kernels, records, residual)  # type: ignore[call-arg]


def half_backward(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """The backward signals of hidden layers are half of what they should be."""
    half = [dataclasses.replace(record, deltas=record.deltas / 2) for record in records[:-1]]
    return fisher.cotangents(kernels, (*half, records[-1]), residual)


def sample_ignored(fisher: Fisher, kernels: Any, records: Any, residual: Any) -> Any:
    """The first sample has no gradient."""
    return fisher.cotangents(kernels, records, residual.at[0].set(0))


def heavy_weights(problem: Problem, fisher: Fisher, key: Any, **options: Any) -> Trajectory:
    """The weights are 5 % too large."""
    width = problem.network.dimensions[0][1]
    return simulate(small_problem(width, sigma_w=1.05 * SIGMA_W), fisher, key, **options)


def part_of_the_data(problem: Problem, fisher: Fisher, key: Any, *, steps: int, **options: Any) -> Trajectory:
    """Every step sees all samples but one."""
    size = problem.samples
    batches = np.stack([np.delete(np.arange(size), step % size) for step in range(steps)])
    return simulate(problem, fisher, key, batches=batches, **options)


@in_float64
def stale_kernels(
    problem: Problem, fisher: Fisher, key: Any = 0, *, step_size: float, steps: int, parameters: Any = None
) -> Trajectory:
    """The Grams of the first step are used in all steps; right in the limit of infinite width, wrong at any finite one."""
    network, kernels, functions = problem.network, None, []
    x, x_test = jnp.asarray(problem.x), jnp.asarray(problem.x_test)
    for step in range(steps + 1):
        outputs, records = network.linearise(parameters, x)
        functions.append((outputs, network.apply(parameters, x_test)))
        if step == steps:
            break
        kernels = from_records(network, records) if kernels is None else kernels
        cotangents = fisher.cotangents(kernels, records, outputs - problem.y)
        gradients = [pullback(record, part) for record, part in zip(records, cotangents, strict=True)]
        parts = zip(network.split(parameters), gradients, strict=True)
        parameters = network.join([jax.tree.map(lambda p, g: p - step_size * g, *pair) for pair in parts])
    train, test = (jnp.stack(path)[None] for path in zip(*functions, strict=True))
    return Trajectory(jnp.arange(steps + 1.0), train, problem.y, test, source="simulation", fisher=fisher.name)


FAULTS = {
    "steps 5 % too long": Fault("Exact", longer, size=0.05),
    "K-FAC steps 5 % too long": Fault("KFAC", longer, size=0.05),
    "1/N missing in the step": Fault("GradientDescent", without_samples),
    "first layer not trained": Fault("BlockDiagonal", frozen),
    "damping added twice": Fault("BlockDiagonal, damped", damping_twice),
    "rho for N rho in the step": Fault("KFAC, damped", damping_without_samples),
    "layers solved one by one": Fault("Exact", uncoupled),
    "wrong factor of the last layer": Fault("KFAC", last_factor),
    "backward signals halved": Fault("BlockDiagonal", half_backward),
    "one sample ignored": Fault("Exact", sample_ignored),
    "weights 5 % too large": Fault("GradientDescent", train=heavy_weights, size=0.05),
    "mini-batches for the full batch": Fault("Exact", train=part_of_the_data),
    "stale kernels after a step": Fault("BlockDiagonal", train=stale_kernels, only_finite=True),
}
