"""Layer kernels of one finite network, at given parameters."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.arguments import require_type
from ntkng.kernels.analytic import check_inputs
from ntkng.kernels.kernels import Gram, Kernels, LayerKernels
from ntkng.kernels.units import units_of
from ntkng.layers import LayerRecord, gram, kronecker_factors
from ntkng.layers.affine_gram import kronecker_gram
from ntkng.network import Network, Parameters
from ntkng.origin import Origin
from ntkng.parameters import common_dtype, fitting_parameters
from ntkng.precision import AnyArray, in_float64


@in_float64
def empirical(
    network: Network,
    parameters: Parameters,
    x: Float[AnyArray, "N *input"],
    x_test: Float[AnyArray, "M *input"] | None = None,
    *,
    factors: bool = False,
    units: bool = False,
) -> Kernels:
    """Kernels of every parametrised layer of a finite network, without any Jacobian.

    Args:
        network: the architecture.
        parameters: from `network.init`, or trained; their dtype, float64 or float32, is that of the result.
        x: training inputs.
        x_test: test inputs, or `None`.
        factors: also keep `A` and `B` of layers with positions, `[N S, N S]` and `[N C S, N C S]`, which `KFAC` needs.
        units: also keep the backward signals of every unit (channel), `[M, N, C]` a layer, with positions `[M, N, C, S]`, and
            the factors, which `UnitWise` needs.

    Returns:
        `Kernels` with `[N C, N C]` and `[M C, N C]` Grams, sample-major.

    Raises:
        TypeError: a network of another type, parameters nested otherwise or of another dtype.
        ValueError: parameters of other shapes, or not finite; inputs that do not fit the network, or are not finite.
    """
    require_type("network", network, Network, "build one with ntkng.mlp or ntkng.Network, and give it first")
    parameters = fitting_parameters(network, parameters)
    dtype = common_dtype(parameters)
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), parameters)
    inputs = check_inputs(network, "x", x, dtype)
    tests = None if x_test is None else check_inputs(network, "x_test", x_test, dtype)
    kernels = _empirical(network, factors, units, parameters, inputs, tests)
    return dataclasses.replace(kernels, origin=Origin.of(network, x, x_test))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _empirical(
    network: Network, factors: bool, units: bool, parameters: Parameters, x: Array, x_test: Array | None
) -> Kernels:
    _, records = network.linearise(parameters, x)
    test_records = None if x_test is None else network.linearise(parameters, x_test)[1]
    return from_records(network, records, test_records, factors=factors, units=units)


def from_records(
    network: Network,
    records: tuple[LayerRecord, ...],
    test_records: tuple[LayerRecord, ...] | None = None,
    *,
    factors: bool = False,
    units: bool = False,
) -> Kernels:
    """Kernels from what the tape recorded; `test_records` give the cross Grams."""
    layers = []
    for index, (name, train) in enumerate(zip(network.layer_names(), records, strict=True)):
        test = None if test_records is None else test_records[index]
        positions = network.positions[index]
        grams = _grams(train, test, positions == 1, factors or units)
        shape = name, network.dimensions[index], positions
        is_output = index == network.output_layer
        own_units = units_of(train, test) if units and not is_output else None
        layers.append(LayerKernels(*grams, *shape, is_output, own_units))
    return Kernels(tuple(layers), None, None, records[0].samples, records[0].outputs, "empirical")


def _grams(
    train: LayerRecord, test: LayerRecord | None, is_single: bool, factors: bool
) -> tuple[Gram, Gram | None, Gram | None]:
    """`Theta_l`, `A_{l-1}` and `B_l`; the factors give `Theta_l` where there is a single position."""
    own = kronecker_factors(train, train) if is_single or factors else None
    if own is None:
        return Gram(gram(train, train), None if test is None else gram(test, train)), None, None
    cross = None if test is None else kronecker_factors(test, train)
    inner, backward = (Gram(part, None if cross is None else cross[i]) for i, part in enumerate(own))
    if is_single:
        return Gram(kronecker_gram(*own), None if cross is None else kronecker_gram(*cross)), inner, backward
    return Gram(gram(train, train), None if test is None else gram(test, train)), inner, backward
