"""Chords between the inputs themselves, from their differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkng._neural_tangents import stax as _stax
from ntkng.angles.chord import UNROLLED, Chord, columns, half_square, outer, radii, rows
from ntkng.tape import KernelTape, current

NEAR = 1e-2  # `V`, relative to the spread of the data, below which a product of matrices loses more than a digit


def entrance(x1: Array, x2: Array | None) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """A layer to put before a network: the identity, which notes the chords of `x1` and `x2` on the running tape."""

    def kernel_fn(kernel: Any, **_: Any) -> Any:
        tape = current(KernelTape)
        if tape is None or not kernel.diagonal_batch:
            return kernel
        first = _directions(x1, kernel)
        second = first if x2 is None else _directions(x2, kernel)
        norms = radii(kernel)
        if first.ndim == 2 and first.shape[1] > UNROLLED:
            near, far = _by_products(first, second, tape.diagonal)
            side = jnp.where(near <= far, 1, -1)
        else:
            near, far = _by_differences(first, second, kernel.diagonal_spatial)
            side = jnp.sign(kernel.nngp)
        chord = Chord.of(near, far)
        nngp = outer(norms, kernel.diagonal_spatial) * (side * (1 - chord.gap))
        is_equal = rows(norms[0], kernel.diagonal_spatial) == columns(norms[1], kernel.diagonal_spatial)
        tape.same = _at_own_positions((near == 0) & is_equal, kernel.diagonal_spatial)
        tape.note(nngp, chord)
        return kernel.replace(nngp=nngp)

    init_fn, apply_fn, _ = _stax.Identity()
    return init_fn, apply_fn, kernel_fn


def _directions(x: Array, kernel: Any) -> Float[Array, "n *positions C"]:
    """Inputs of norm 1 over the channels, 0 for 0; 1 or -1 without rounding where there is one channel."""
    x = x.astype(kernel.nngp.dtype)
    x = x.reshape(len(x), -1) if len(kernel.shape1) == 2 else jnp.moveaxis(x, kernel.channel_axis, -1)
    scale = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    x = x / jnp.where(scale > 0, scale, 1)
    square = jnp.square(x).sum(axis=-1, keepdims=True)
    return x / jnp.sqrt(jnp.where(scale > 0, square, 1))


def _by_differences(first: Array, second: Array, diagonal_spatial: bool) -> tuple[Array, Array]:
    """`V` and `U`."""
    return half_square(first, second, diagonal_spatial), half_square(first, -second, diagonal_spatial)


def _by_products(
    first: Float[Array, "n1 C"], second: Float[Array, "n2 C"], diagonal: Any
) -> tuple[Float[Array, "n1 n2"], Float[Array, "n1 n2"]]:
    """The same for long inputs, by a product of matrices unless any two of them are close."""
    # what all inputs have in common (the mean of an image) makes them no nearer to each other
    common = (first.mean(axis=0) + second.mean(axis=0)) / 2
    a, b = first - common, second - common
    spread = (jnp.square(a).sum(axis=1)[:, None] + jnp.square(b).sum(axis=1)) / 2
    near = spread - jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    if diagonal is not None:
        is_own = jnp.arange(len(a))[:, None] + diagonal == jnp.arange(len(b))
        near, spread = jnp.where(is_own, 0, near), jnp.where(is_own, -1, spread)
    is_close = (near <= NEAR * spread) | (near >= 2 - NEAR)
    return jax.lax.cond(
        is_close.any(), lambda: _by_differences(first, second, False), lambda: (jnp.maximum(near, 0), 2 - near)
    )


def _at_own_positions(values: Bool[Array, "n1 n2 ..."], diagonal_spatial: bool) -> Bool[Array, "n1 n2"]:
    """Whether all positions agree with the same positions of the other input."""
    if not diagonal_spatial:
        pairs = range(2, values.ndim, 2)
        for _ in pairs:
            values = jnp.diagonal(values, axis1=2, axis2=3)
    return values.all(axis=tuple(range(2, values.ndim)))
