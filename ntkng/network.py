"""`Network`: an architecture with both limits, finite width and infinite width."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng import stax, tape
from ntkng.layers.record import LayerRecord
from ntkng.parameters import fitting_parameters
from ntkng.precision import supported_dtype
from ntkng.seeds import as_key
from ntkng.validation import positive_integer

Parameters = Any  # the pytree that the network's own `init` returns


class Network:
    """A network built from `ntkng.stax`, at finite width (`init`, `apply`) and at infinite width (its kernels).

    Attributes:
        layer: the whole graph as one `ntkng.stax.Layer`.
        input_shape: shape of one input, without the batch axis.
        outputs: C, the number of outputs.
        tags: the parametrised layers in order of execution.
        dimensions: per layer `(K, M)`: length of its augmented input (with bias), and its number of units; `(0, 0)` for
            layers without one weight matrix.
        positions: per layer S, the number of positions of its output: 1, or the product of the spatial axes.
        output_layer: index of the layer whose output is the network's output, or `None` where something follows.
    """

    def __init__(self, layer: stax.Layer, input_shape: tuple[int, ...] | int) -> None:
        """Check the graph and find its parametrised layers.

        Args:
            layer: from `ntkng.stax`, ending in outputs of shape `[N, C]`.
            input_shape: shape of one input; an integer means a vector.

        Raises:
            TypeError: a plain neural-tangents triple or something else that is no `ntkng.stax` layer.
            ValueError: outputs that are not `[N, C]`, a network without parameters, or with parameters outside the
                tagged layers, or layers whose batch axis is not the first.
        """
        self.layer = stax.require_layer(layer, "Network")
        shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
        self.input_shape = tuple(positive_integer("input_shape", size) for size in shape)
        recipe = self.layer.recipe
        self._key = None if recipe is None else (recipe.key(), self.input_shape)
        self._hash = id(self) if self._key is None else hash(self._key)
        output_shape, tree = _structure(self.layer, self.input_shape)
        self.outputs = output_shape[1]
        leaves, self._structure = jax.tree.flatten(tree, is_leaf=lambda x: isinstance(x, tape.Marker))
        strangers = [leaf for leaf in leaves if not isinstance(leaf, tape.Marker)]
        if strangers:
            raise ValueError(
                f"{len(strangers)} parameter arrays lie outside the supported layers {stax.PARAMETRISED}; "
                "build the network from ntkng.stax layers only"
            )
        if not leaves:
            raise ValueError("the network has no parameters; add stax.Dense or another parametrised layer")
        self._shapes = jax.tree.map(
            lambda leaf: leaf.parameters if isinstance(leaf, tape.Marker) else leaf,
            tree, is_leaf=lambda leaf: isinstance(leaf, tape.Marker),
        )  # fmt: skip
        self._order = [marker.index for marker in leaves]  # position in the pytree -> order of execution
        markers = sorted(leaves, key=lambda marker: marker.index)
        self.tags = tuple(marker.tag for marker in markers)
        for name, tag in zip(self.layer_names(), self.tags, strict=True):
            _require_leading_batch(name, tag)
        self.dimensions = tuple(_dimensions(marker) for marker in markers)
        shapes, self.output_layer, rows = self._record(3, jnp.float32)
        if rows != 3:
            raise ValueError(
                f"the network makes {rows} outputs of 3 samples; no layer may drop or join samples (axis 0)"
            )
        sizes = [math.prod(shape[1:]) for shape in shapes]
        self.positions = tuple(size // _units(marker) for size, marker in zip(sizes, markers, strict=True))

    def __repr__(self) -> str:
        kinds = ", ".join(tag.kind for tag in self.tags)
        return f"Network({'x'.join(map(str, self.input_shape))} -> {self.outputs}; {kinds})"

    def __eq__(self, other: object) -> bool:
        """Whether both were built by the same constructor calls; such networks share compiled programs."""
        return self is other or (isinstance(other, Network) and self._key is not None and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    def __deepcopy__(self, memo: Any) -> Network:
        return self  # nothing in it changes

    def __reduce__(self) -> Any:
        return Network, (self.layer, self.input_shape)

    @property
    def depth(self) -> int:
        """L, the number of parametrised layers."""
        return len(self.tags)

    def layer_names(self) -> tuple[str, ...]:
        """A readable unique name for each parametrised layer, such as `"2: Dense"`."""
        return tuple(f"{index + 1}: {tag.kind}" for index, tag in enumerate(self.tags))

    def init(self, key: Array, dtype: Any = jnp.float64) -> Parameters:
        """Random parameters in the user's own pytree structure.

        The numbers are drawn in float64 and then cast, so that one key gives the same network in every dtype.
        Call it inside `jax.enable_x64(True)` (as `simulate` and `kernels.empirical` do) to get float64.
        """
        dtype = supported_dtype("dtype", dtype)
        _, parameters = self.layer.init_fn(as_key(key), (1, *self.input_shape))
        return jax.tree.map(lambda leaf: leaf.astype(dtype), parameters)

    def apply(self, parameters: Parameters, x: Float[Array, "N *input"]) -> Float[Array, "N C"]:
        """Outputs of the finite network.

        Raises:
            TypeError: parameters that are nested otherwise than those of `init`.
            ValueError: parameters of other shapes; the message names the layer.
        """
        return self.layer.apply_fn(fitting_parameters(self, parameters, finite=False), x)

    def parameter_shapes(self) -> tuple[Any, Any]:
        """What `init` returns, with shapes in place of arrays; and its structure with layers' names in place of their parameters."""
        names = self.layer_names()
        return self._shapes, self._structure.unflatten([names[index] for index in self._order])

    def split(self, parameters: Parameters) -> list[Any]:
        """Each parametrised layer's own parameters, in order of execution; errors as for `apply`."""
        parts: list[Any] = [None] * self.depth
        parameters = fitting_parameters(self, parameters, finite=False)
        for index, part in zip(self._order, self._structure.flatten_up_to(parameters), strict=True):
            parts[index] = part
        return parts

    def join(self, parts: list[Any]) -> Parameters:
        """Inverse of `split`."""
        return self._structure.unflatten([parts[index] for index in self._order])

    def linearise(
        self, parameters: Parameters, x: Float[Array, "N *input"]
    ) -> tuple[Float[Array, "N C"], tuple[LayerRecord, ...]]:
        """Outputs, and every layer's inputs and backward signals, by one forward and C reverse passes.

        A sample's outputs depend on that sample alone, so one reverse pass per output serves all samples at once.
        """

        def run(perturbations: Any) -> tuple[Array, list[tuple[Any, Array]]]:
            with tape.running(tape.FiniteTape(perturbations)) as recorded:
                outputs = self.apply(parameters, x)
            records.extend(recorded.records)
            return outputs, [(own, inputs) for _, own, inputs in recorded.records]

        records: list[tuple[tape.Tag, Any, Array]] = []
        zeros = [jnp.zeros(shape, x.dtype) for shape in self._output_shapes(x.shape[0], x.dtype)]
        outputs, pull, recorded = jax.vjp(run, zeros, has_aux=True)

        def backward(output: Array) -> Any:
            return pull(jnp.zeros_like(outputs).at[:, output].set(1))[0]

        if self.outputs == 1:
            deltas = [delta[:, None] for delta in pull(jnp.ones_like(outputs))[0]]
        else:
            deltas = jax.vmap(backward, out_axes=1)(jnp.arange(self.outputs))
        tags = [tag for tag, _, _ in records]
        return outputs, tuple(
            LayerRecord(own, inputs, delta, tag)
            for tag, (own, inputs), delta in zip(tags, recorded, deltas, strict=True)
        )

    def _output_shapes(self, samples: int, dtype: Any) -> list[tuple[int, ...]]:
        return self._record(samples, dtype)[0]

    def _record(self, samples: int, dtype: Any) -> tuple[list[tuple[int, ...]], int | None, int]:
        """Shapes of the layers' outputs, index of the output layer, and rows of the outputs, by an abstract evaluation."""
        found: list[Any] = []

        def run(key: Array, x: Array) -> None:
            parameters = self.init(key, dtype)
            with tape.running(tape.FiniteTape()) as recorded:
                outputs = self.apply(parameters, x)
            recorded.finish(outputs)
            found.append((recorded.output_shapes, recorded.output_layer, outputs.shape[0]))  # no tracer may leave

        jax.eval_shape(run, jax.random.key(0), jax.ShapeDtypeStruct((samples, *self.input_shape), dtype))
        return found[0]


def _structure(layer: stax.Layer, input_shape: tuple[int, ...]) -> tuple[tuple[int, ...], Any]:
    """Shape of the outputs, and the pytree of parameters with a marker for each layer and shapes elsewhere."""
    found: list[Any] = []

    def init(key: Array) -> None:
        with tape.running(tape.StructureTape()):
            shape, parameters = layer.init_fn(key, (1, *input_shape))
        found.append((shape, tape.shapes(parameters)))

    jax.eval_shape(init, jax.random.key(0))
    shape, tree = found[0]
    if any(isinstance(size, (list, tuple)) for size in shape):
        raise ValueError(
            f"the network ends in {len(shape)} branches, expected one output [N, C]; join them, or use one stax.Dense(C) and "
            "take its columns"
        )
    if len(shape) != 2:
        raise ValueError(
            f"the network must end in outputs [N, C], got shape [N, {', '.join(map(str, shape[1:]))}]; "
            "end it with stax.Flatten() or stax.GlobalAvgPool(), then stax.Dense(C)"
        )
    return tuple(shape), tree


def _require_leading_batch(name: str, tag: tape.Tag) -> None:
    numbers = tag.arguments.get("dimension_numbers") or ("N", "", "N")
    axes = [tag.arguments.get("batch_axis", 0), numbers[0].index("N"), numbers[2].index("N")]
    if any(axes):
        raise ValueError(
            f"layer {name} has batch axis {max(axes)}, expected 0: samples come first in every array of ntkng"
        )


def _dimensions(marker: tape.Marker) -> tuple[int, int]:
    """`(K, M)` of a layer whose parameters are weights and bias; 0 where the notion does not apply."""
    if marker.tag.kind not in ("Dense", "Conv"):
        return 0, 0
    weights, bias = marker.parameters
    units = _units(marker)
    return weights.size // units + (bias is not None), units


def _units(marker: tape.Marker) -> int:
    """M, the number of output channels of the finite layer."""
    arguments = marker.tag.arguments
    name = {"Dense": "out_dim", "GlobalSelfAttention": "n_chan_out"}.get(marker.tag.kind, "out_chan")
    is_standard = arguments.get("parameterization", "ntk").lower() == "standard"
    return arguments[name] * (arguments["s"][1] if is_standard else 1)
