"""Patches of a convolution: what its weights see at each output position."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng import stax


def dimension_numbers(arguments: Mapping[str, Any]) -> tuple[str, str, str]:
    """Axes of inputs, weights and outputs of a convolution, such as `("NHWC", "HWIO", "NHWC")`."""
    if arguments["dimension_numbers"] is not None:
        return tuple(arguments["dimension_numbers"])
    axes = "".join(letter for letter in "ABDEFGHJKLM"[: len(arguments["filter_shape"])])
    return f"N{axes}C", f"{axes}IO", f"N{axes}C"


def fan_in(arguments: Mapping[str, Any], inputs: Array) -> int:
    """Length of a patch: input channels times positions of the filter."""
    channels = inputs.shape[dimension_numbers(arguments)[0].index("C")]
    return channels * math.prod(arguments["filter_shape"])


def extract(arguments: Mapping[str, Any], inputs: Float[Array, "N ..."]) -> Float[Array, "N S K"]:
    """Patches at all output positions, in the layout of the weights `[*filter, channels]`, by slicing alone.

    Positions are flattened in the order of the spatial axes of the layer's outputs.
    """
    lhs, rhs, out = dimension_numbers(arguments)
    spatial = [axis for axis in rhs if axis not in "IO"]  # the filter's own order
    filter_shape = tuple(arguments["filter_shape"])
    strides = tuple(arguments["strides"] or (1,) * len(filter_shape))
    padded = _pad(arguments, jnp.transpose(inputs, [lhs.index(axis) for axis in ("N", *spatial, "C")]), strides)
    sizes = [(n - f) // s + 1 for n, f, s in zip(padded.shape[1:-1], filter_shape, strides, strict=True)]

    def window(offset: tuple[int, ...]) -> Array:
        stops = [o + (size - 1) * stride + 1 for o, size, stride in zip(offset, sizes, strides, strict=True)]
        return jax.lax.slice(
            padded, (0, *offset, 0), (padded.shape[0], *stops, padded.shape[-1]), (1, *strides, 1)
        )  # fmt: skip

    windows = jnp.stack([window(offset) for offset in itertools.product(*map(range, filter_shape))], axis=-2)
    order = [spatial.index(axis) + 1 for axis in out if axis not in "NC"]
    windows = jnp.transpose(windows, (0, *order, windows.ndim - 2, windows.ndim - 1))
    return windows.reshape(inputs.shape[lhs.index("N")], math.prod(sizes), -1)


def _pad(arguments: Mapping[str, Any], inputs: Array, strides: tuple[int, ...]) -> Array:
    padding = stax.Padding(arguments["padding"])
    if padding == stax.Padding.VALID:
        return inputs
    shape, filter_shape = inputs.shape[1:-1], tuple(arguments["filter_shape"])
    widths = [(0, 0), *jax.lax.padtype_to_pads(shape, filter_shape, strides, "SAME"), (0, 0)]
    return jnp.pad(inputs, widths, "wrap" if padding == stax.Padding.CIRCULAR else "constant")
