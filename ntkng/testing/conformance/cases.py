"""Small multilayer perceptrons with data, on which every check of a Fisher approximation runs."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkng.fisher import Fisher
from ntkng.kernels import Kernels, analytic, empirical
from ntkng.multilayer_perceptron import mlp
from ntkng.network import Network, Parameters
from ntkng.problem import Problem

INPUTS = 6
DAMPING = 0.03
DEPTHS = (2, 3, 4)


@dataclasses.dataclass(frozen=True)
class Case:
    """One network with data; wide enough that every Gram is nonsingular (`M >= N C`, `M_0 >= N`).

    Attributes:
        depth: L.
        outputs: C.
        activation: as in `ntkng.mlp`.
        sigma_b: standard deviation of the biases; 0 leaves them out.
        samples: N.
        width: M, of all hidden layers.
        seed: of data and parameters.
    """

    depth: int
    outputs: int = 1
    activation: str = "erf"
    sigma_b: float = 0.4
    samples: int = 3
    width: int = 12
    seed: int = 0

    sigma_w = 1.3

    def __str__(self) -> str:
        bias = "bias" if self.sigma_b else "no bias"
        return f"L = {self.depth}, C = {self.outputs}, N = {self.samples}, {self.activation}, {bias}"

    @functools.cached_property
    def network(self) -> Network:
        """The perceptron."""
        return mlp(
            INPUTS, self.outputs, width=self.width, depth=self.depth, activation=self.activation,
            sigma_w=self.sigma_w, sigma_b=self.sigma_b,
        )  # fmt: skip

    @functools.cached_property
    def problem(self) -> Problem:
        """Inputs of unit scale, two test inputs, targets of unit scale."""
        rng = np.random.default_rng([self.seed, self.depth, self.outputs, self.samples])
        x, x_test = (rng.normal(size=(n, INPUTS)) for n in (self.samples, 2))
        y, y_test = (rng.normal(size=(n, self.outputs)) for n in (self.samples, 2))
        return Problem(self.network, x, y, x_test, y_test)

    @functools.cached_property
    def parameters(self) -> Parameters:
        """Random ones, in float64."""
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, self.network.init(jax.random.key(self.seed)))

    def finite(self, fisher: Fisher) -> Kernels:
        """The network's own kernels, with what `fisher` needs."""
        units = fisher.unit_sampling() is not None
        return empirical(
            self.network,
            self.parameters,
            self.problem.x,
            self.problem.x_test,
            factors=fisher.needs_factors,
            units=units,
        )

    def infinite(self, fisher: Fisher) -> Kernels:
        """The kernels of infinite width, with what `fisher` needs."""
        return analytic(
            self.network,
            self.problem.x,
            self.problem.x_test,
            factors=fisher.needs_factors,
            units=fisher.unit_sampling(),
        )


@functools.cache
def cases(depths: tuple[int, ...] = DEPTHS) -> tuple[Case, ...]:
    """One network a depth; one and several outputs, smooth and not, with and without bias.

    The same objects at every call, so that compiled programs are shared by all approximations.
    """
    kinds = (
        {"outputs": 1, "activation": "relu", "width": 18},
        {"outputs": 2, "activation": "erf"},
        {"outputs": 1, "activation": "erf", "sigma_b": 0.0},
    )
    return tuple(Case(depth, **kinds[index % len(kinds)]) for index, depth in enumerate(depths))


def dampings(fisher: Fisher) -> tuple[Fisher, ...]:
    """`fisher` without damping, where that exists, and with some; its other fields as they are."""
    found = [with_damping(fisher, DAMPING)]
    bare = undamped(fisher)
    return tuple(found if bare is None else [bare, *found])


def undamped(fisher: Fisher) -> Fisher | None:
    """`fisher` at damping 0; `None` where it refuses that (approximations that exist with damping only)."""
    try:
        return with_damping(fisher, 0.0)
    except ValueError:
        return None


def with_damping(fisher: Fisher, damping: float) -> Fisher:
    """`fisher` with another damping."""
    return dataclasses.replace(fisher, damping=damping)


def error(value: Any, truth: Any) -> float:
    """`max |value - truth| / max |truth|`; infinite where the shapes differ or a value is not finite."""
    value, truth = np.asarray(value, float), np.asarray(truth, float)
    if value.shape != truth.shape or not np.isfinite(value).all():
        return float("inf")
    return float(np.abs(value - truth).max() / max(np.abs(truth).max(), 1e-300))


def identity_blocks(gram: Float[np.ndarray, "m n"], outputs: int) -> Float[np.ndarray, "mc nc"]:
    """`G kron I_C`."""
    return np.kron(np.asarray(gram), np.eye(outputs))
