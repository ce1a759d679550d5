"""Layer kernels of one finite network, at given parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.kernels.analytic import check_inputs
from ntkng.kernels.kernels import Gram, Kernels, LayerKernels
from ntkng.layers import LayerRecord, gram, kronecker_factors
from ntkng.layers.affine import kronecker_gram
from ntkng.network import Network, Parameters
from ntkng.precision import AnyArray, in_float64


@in_float64
def empirical(
    network: Network,
    parameters: Parameters,
    x: Float[AnyArray, "N *input"],
    x_test: Float[AnyArray, "M *input"] | None = None,
) -> Kernels:
    """Kernels of every parametrised layer of a finite network, without any Jacobian.

    Args:
        network: the architecture.
        parameters: from `network.init`, or trained; their dtype is that of the result.
        x: training inputs.
        x_test: test inputs, or `None`.

    Returns:
        `Kernels` with `[N C, N C]` and `[M C, N C]` Grams, sample-major.

    Raises:
        ValueError: inputs that do not fit the network, or are not finite.
    """
    dtype = jax.tree.leaves(parameters)[0].dtype
    parameters = jax.tree.map(jnp.asarray, parameters)
    x = check_inputs(network, "x", x, dtype)
    test = None if x_test is None else check_inputs(network, "x_test", x_test, dtype)
    return _empirical(network, parameters, x, test)


@jax.jit(static_argnums=0)
def _empirical(network: Network, parameters: Parameters, x: Array, x_test: Array | None) -> Kernels:
    _, records = network.linearise(parameters, x)
    test_records = None if x_test is None else network.linearise(parameters, x_test)[1]
    return from_records(network, records, test_records)


def from_records(
    network: Network, records: tuple[LayerRecord, ...], test_records: tuple[LayerRecord, ...] | None = None
) -> Kernels:
    """Kernels from what the tape recorded; `test_records` give the cross Grams."""
    layers = []
    for index, (name, train) in enumerate(zip(network.layer_names(), records, strict=True)):
        test = None if test_records is None else test_records[index]
        grams = _grams(train, test)
        layers.append(LayerKernels(*grams, name, network.dimensions[index], index == network.output_layer))
    return Kernels(tuple(layers), None, None, records[0].samples, records[0].outputs, "empirical")


def _grams(train: LayerRecord, test: LayerRecord | None) -> tuple[Gram, Gram | None, Gram | None]:
    """`Theta_l`, `A_{l-1}` and `B_l`."""
    factors = kronecker_factors(train, train)
    if factors is None:
        return Gram(gram(train, train), None if test is None else gram(test, train)), None, None
    cross = (None, None) if test is None else kronecker_factors(test, train)
    assert cross is not None  # factors depend on the kind of layer, not on the inputs
    inner, backward = Gram(factors[0], cross[0]), Gram(factors[1], cross[1])
    has_cross = inner.cross is not None and backward.cross is not None
    theta_cross = kronecker_gram(inner.cross, backward.cross) if has_cross else None  # type: ignore[arg-type]
    return Gram(kronecker_gram(*factors), theta_cross), inner, backward
