r"""Layers that apply an affine map to a feature vector at every position: Dense, Conv and ConvLocal.

The features are the layer's inputs (Dense), or patches of them (convolutions). Augmented by the bias they are
`a = [sigma_w h / sqrt(K), sigma_b]` in the NTK parametrisation and `a = [h / sqrt(s), 1]` in the standard one, and the layer is

    u[n, s] = W a[n, s]      (shared over positions s: Dense, Conv),
    u[n, s] = W_s a[n, s]    (not shared: ConvLocal),

so that `J[(n, c)] = sum_s delta[n, c, s] (outer) a[n, s]`, or one block per position without the sum. A layer without
spatial axes has a single position.
"""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.layers import patches
from ntkng.layers.record import LayerRecord

CONVOLUTIONS = ("Conv", "ConvLocal")


@dataclasses.dataclass(frozen=True)
class AffineView:
    """One layer's record in the form above, spatial axes flattened to `S` positions.

    Attributes:
        features: `a` without its bias entry, `[N, S, K]`.
        bias: the bias entry of `a`; 0 without bias.
        deltas: `d f_c / d u`, `[N, C, S, M]`.
        is_shared: whether all positions have the same weights.
    """

    features: Float[Array, "N S K"]
    bias: float
    deltas: Float[Array, "N C S M"]
    is_shared: bool

    @property
    def positions(self) -> int:
        """S."""
        return self.features.shape[1]

    def rows(self) -> Float[Array, "NS K1"]:
        """`a`, with its bias entry, one row per sample and position."""
        flat = self.features.reshape(-1, self.features.shape[-1])
        if self.bias == 0:
            return flat
        return jnp.concatenate([flat, jnp.full((len(flat), 1), self.bias, flat.dtype)], axis=1)


def applies(record: LayerRecord) -> bool:
    """Whether the layer is of this kind."""
    return record.tag.kind in ("Dense", *CONVOLUTIONS)


def has_factors(kind: str) -> bool:
    """Whether a layer of this kind has one input factor and one backward factor (shared weights)."""
    return kind in ("Dense", "Conv")


def view(record: LayerRecord) -> AffineView:
    """The record of a layer for which `applies` holds, as features and backward signals."""
    arguments, inputs = record.tag.arguments, record.inputs
    weight, bias = scales(record)
    if record.tag.kind in CONVOLUTIONS:
        features = patches.extract(arguments, inputs)
    else:
        channel = arguments["channel_axis"] % inputs.ndim
        features = jnp.moveaxis(inputs, channel, -1).reshape(inputs.shape[0], -1, inputs.shape[channel])
    deltas = jnp.moveaxis(record.deltas, _channel_axis(record) + 1, -1)  # behind the axis of the network's outputs
    deltas = deltas.reshape(record.samples, record.outputs, math.prod(deltas.shape[2:-1]), deltas.shape[-1])
    return AffineView(weight * features, bias, deltas, record.tag.kind != "ConvLocal")


def as_outputs(record: LayerRecord, rows: Float[Array, "NS M"]) -> Float[Array, "N *S M"]:
    """One row per sample and position, in the layout of the layer's output."""
    shape = record.deltas.shape[:1] + record.deltas.shape[2:]
    channel = _channel_axis(record)
    moved = [size for axis, size in enumerate(shape) if axis != channel]
    return jnp.moveaxis(rows.reshape(*moved, shape[channel]), -1, channel)


def scales(record: LayerRecord) -> tuple[float, float]:
    """Factors of the input and of the bias in `a`; the second is 0 without bias."""
    arguments = record.tag.arguments
    has_bias = arguments["b_std"] is not None
    if arguments["parameterization"].lower() == "standard":
        return arguments["s"][0] ** -0.5, float(has_bias)
    if record.tag.kind in CONVOLUTIONS:
        inputs = patches.fan_in(arguments, record.inputs)
    else:
        inputs = record.inputs.shape[arguments["channel_axis"]]
    return arguments["W_std"] / inputs**0.5, arguments["b_std"] if has_bias else 0.0


def _channel_axis(record: LayerRecord) -> int:
    """The axis of units in the layer's output."""
    if record.tag.kind in CONVOLUTIONS:
        return patches.dimension_numbers(record.tag.arguments)[2].index("C")
    return record.tag.arguments["channel_axis"] % record.inputs.ndim
