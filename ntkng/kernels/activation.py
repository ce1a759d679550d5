"""The elementwise function between two consecutive dense layers of a network, found by evaluating the network itself.

The output of one layer is replaced by given numbers while the network runs; what arrives at the next layer is the
activation of these numbers. So any composition of elementwise layers will do, whatever its name, and everything that is
not elementwise (skip connections, normalisation, ...) is noticed.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.network import Network
from ntkng.tape import FiniteTape, running

TOLERANCE = 1e-6  # relative; far above rounding, far below what any interaction between units does


@dataclasses.dataclass
class SubstitutingTape(FiniteTape):
    """A `FiniteTape` that replaces the output of one layer.

    Attributes:
        layer: index of that layer.
        value: its output instead.
    """

    layer: int = 0
    value: Any = None

    def visit(self, tag: Any, parameters: Any, inputs: Any, outputs: Any) -> Any:
        """Record the layer; returns the substitute if it is the one."""
        index = len(self.records)
        outputs = super().visit(tag, parameters, inputs, outputs)
        return self.value if index == self.layer else outputs


@functools.partial(jax.jit, static_argnums=(0, 1))
def derivative(network: Network, layer: int, values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`phi'(values)` for the activation `phi` between layer `layer` and the next one (see `require_elementwise`)."""
    units = network.dimensions[layer][1]
    rows = -(-values.size // units)
    padded = jnp.pad(values.ravel(), (0, rows * units - values.size)).reshape(rows, units)
    tangent = jax.jvp(lambda v: _activation(network, layer, v), (padded,), (jnp.ones_like(padded),))[1]
    return tangent.ravel()[: values.size].reshape(values.shape)


def require_elementwise(network: Network, layer: int) -> None:
    """Refuse anything but an elementwise function between this layer and the next, by trying.

    Raises:
        ValueError: naming the layers.
    """
    names = network.layer_names()
    problem = (
        "is not preceded by an elementwise activation of the layer before alone"
        if _is_dense(network, layer) and _is_dense(network, layer + 1)
        else "or the layer before it is not Dense without positions"
    )
    if problem.startswith("is") and _acts_elementwise(network, layer):
        return
    raise ValueError(
        f"the units of an infinitely wide network are only known for multilayer perceptrons: layer {names[layer + 1]} "
        f"{problem}; use the kernels of a finite network, empirical(..., units=True)"
    )


def _is_dense(network: Network, layer: int) -> bool:
    return network.tags[layer].kind == "Dense" and network.positions[layer] == 1 and len(network.input_shape) == 1


@functools.lru_cache(maxsize=64)
def _acts_elementwise(network: Network, layer: int) -> bool:
    """Whether results depend on the entry alone: not on other entries, on the unit, or on the network's input."""
    random = np.random.default_rng(0)
    shape = (4, network.dimensions[layer][1])
    values, other, inputs = random.normal(size=shape), random.normal(size=shape), random.normal(size=shape[0])
    mixed = np.where(random.random(shape) < 0.5, values, other)
    order = random.permutation(values.size)
    try:
        found = [
            np.asarray(_activation(network, layer, jnp.asarray(v), jnp.asarray(x)))
            for v, x in ((values, inputs), (mixed, -inputs), (values.ravel()[order].reshape(shape), 2 * inputs))
        ]
    except TypeError:  # the substitute does not even fit
        return False
    if any(result.shape != shape for result in found):
        return False
    expected = np.where(mixed == values, found[0], found[1]), found[0].ravel()[order].reshape(shape)
    scale = TOLERANCE * max(np.abs(result).max() for result in found)
    return all(np.allclose(f, e, rtol=0, atol=scale) for f, e in zip(found[1:], expected, strict=True))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _activation(
    network: Network, layer: int, values: Float[Array, "R M"], inputs: Float[Array, "R"] | None = None
) -> Array:
    """What arrives at layer `layer + 1` when layer `layer` puts out `values`; everything else is not computed."""
    rows = values.shape[0]
    x = jnp.zeros((rows, *network.input_shape), values.dtype)
    shapes = jax.eval_shape(lambda key: network.init(key, values.dtype), jax.random.key(0))
    parameters = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5, leaf.dtype), shapes)
    if inputs is not None:
        x = x + inputs.reshape(-1, *[1] * (x.ndim - 1))
    with running(SubstitutingTape(layer=layer, value=values)) as tape:
        network.apply(parameters, x)
    return tape.records[layer + 1][2]
