"""What the filter of a convolution does to covariances, by sums of shifted arrays.

neural-tangents takes XLA's convolutions for these sums. On CPUs, in float64 and with padding, their programs read beside the
array, which now and then ends the process (jaxlib 0.10, with 8 positions on a side). Sums of shifts are as fast.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng._neural_tangents import stax as _stax


class Filter:
    """Positions that a convolution joins, for kernels in the layout of `kernel`.

    Covariances of all pairs of positions, `[n1, n2, H, H', W, W']`, are filtered along the diagonals of `H, H'` and `W, W'`,
    and come out with the order of the spatial axes reversed, as neural-tangents has it; those of equal positions,
    `[n1, n2, H, W]`, in the same order.
    """

    def __init__(self, arguments: Mapping[str, Any], kernel: Any) -> None:
        dimensions = arguments["dimension_numbers"]
        count = len(arguments["filter_shape"])
        if dimensions is None:
            axes = "ABDEFGHJKLM"[:count]
            dimensions = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
        inputs, weights, outputs = ([axis for axis in spec if axis not in "NCIO"] for spec in dimensions)
        self.channels = kernel.shape1[dimensions[0].index("C")]
        self.is_paired = not kernel.diagonal_spatial
        order = [weights.index(axis) for axis in inputs]
        order = order[::-1] if self.is_paired and kernel.is_reversed else order
        self.sizes = [arguments["filter_shape"][place] for place in order]
        self.strides = [(arguments["strides"] or (1,) * count)[place] for place in order]
        self.padding = _stax.Padding(arguments["padding"])
        self.reorder = [outputs.index(axis) for axis in inputs]  # of the filtered axes

    @property
    def size(self) -> int:
        """Positions under the filter."""
        return math.prod(self.sizes)

    def average(self, array: Any, batch: int) -> Any:
        """The mean over the filter; `batch` axes come first."""
        if array is None or array.ndim == 0:
            return array
        for place in reversed(range(len(self.sizes))):
            array = self._along(array, place, batch)
        return array

    def _along(self, array: Array, place: int, batch: int) -> Array:
        if not self.is_paired:
            axis = batch + place
            shape = array.shape
            flat = array.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
            total = self._summed(flat, place, (1,))
            return total.reshape(*shape[:axis], total.shape[1], *shape[axis + 1 :])
        axis = batch + 2 * place
        array = jnp.moveaxis(array, (axis, axis + 1), (-2, -1))
        total = self._summed(array.reshape(-1, *array.shape[-2:]), place, (1, 2))
        return total.reshape(*array.shape[:-2], *total.shape[1:])

    def _summed(self, array: Float[Array, "a b c"], place: int, axes: tuple[int, ...]) -> Float[Array, "a b' c'"]:
        size = self.sizes[place]
        array = self._padded(array, dict.fromkeys(axes, place))
        terms = [self._shifted(array, {axis: (place, offset) for axis in axes}) for offset in range(size)]
        return sum(terms[1:], start=terms[0]) / size

    def patches(self, values: Float[Array, "n *positions"]) -> Float[Array, "n *positions F"]:
        """Values under the filter, in the order of the filtered and reordered positions."""
        places = range(len(self.sizes))
        values = self._padded(values, {1 + place: place for place in places})
        windows = [
            self._shifted(values, {1 + place: (place, offset) for place, offset in zip(places, offsets, strict=True)})
            for offsets in itertools.product(*map(range, self.sizes))
        ]
        order = list(places)[::-1] if self.is_paired else list(places)
        return jnp.stack(windows, axis=-1).transpose(0, *(1 + order[place] for place in self.reorder), 1 + len(order))

    def _padded(self, array: Array, places: Mapping[int, int]) -> Array:
        """`array` as the finite layer would pad it; `places` says which spatial axis an axis is."""
        if self.padding == _stax.Padding.VALID:
            return array
        widths = [(0, 0)] * array.ndim
        for axis, place in places.items():
            shape, size, stride = ([part] for part in (array.shape[axis], self.sizes[place], self.strides[place]))
            widths[axis] = jax.lax.padtype_to_pads(shape, size, stride, "SAME")[0]
        return jnp.pad(array, widths, "wrap" if self.padding == _stax.Padding.CIRCULAR else "constant")

    def _shifted(self, array: Array, shifts: Mapping[int, tuple[int, int]]) -> Array:
        start, stop, step = [0] * array.ndim, list(array.shape), [1] * array.ndim
        for axis, (place, offset) in shifts.items():
            stride = self.strides[place]
            count = (array.shape[axis] - self.sizes[place]) // stride + 1
            start[axis], stop[axis], step[axis] = offset, offset + (count - 1) * stride + 1, stride
        return jax.lax.slice(array, start, stop, step)
