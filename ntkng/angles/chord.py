r"""The chord between the directions of two images, in forms that subtract nothing that is nearly equal.

Two images `u`, `v` with norms `r1`, `r2` and covariance `k` have the correlation `c = k / (r1 r2)`. Near `|c| = 1` its
rounding error `eps` would become an error `sqrt(eps)` of the angle. So the distances `V = 1 - c` and `U = 1 + c` are
computed from the difference and the sum of the images instead, and carried from layer to layer:

- at the input, `V = |u/r1 - v/r2|^2 / 2` and `U = |u/r1 + v/r2|^2 / 2`;
- a layer that adds independent parts (weights and bias, positions of a filter, branches) has `k' = sum_j k_j`, so that with
  the unit vectors `a_j = r1_j / r1'`, `b_j = r2_j / r2'` and `E = |a - b|^2 / 2`

      V' = E + sum_j a_j b_j V_j,    U' = E + sum_j a_j b_j U_j,

  where every term is positive (a bias is a part with `V = 0`, `U = 2`);
- activations: see `ntkng.angles.rectifiers`.

What is carried is the chord `w = sqrt(2 min(V, U))`, the distance of the directions up to sign; the sign of `k` tells which.
(A square root, unlike a polynomial, is computed once by the compiler and not again in everything that uses it.)
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.tape import KernelTape

Both = tuple[Array, Array]  # something of the images of the rows, and of the columns

UNROLLED = 32  # components up to which a sum is written out, which the compiler fuses; 16 at a time above
CHUNK = 16


@functools.partial(jax.tree_util.register_dataclass, data_fields=["length"], meta_fields=["is_positive"])
@dataclasses.dataclass(frozen=True, eq=False)
class Chord:
    """`w = sqrt(2 - 2 |c|)` for all pairs of images.

    Attributes:
        length: `w`, from 0 to `sqrt(2)`, in the layout of neural-tangents' `nngp`.
        is_positive: whether no correlation is negative, known without looking (as after a ReLU).
    """

    length: Float[Array, "n1 n2 ..."]
    is_positive: bool = False

    @classmethod
    def of(cls, near: Float[Array, "n1 n2 ..."], far: Float[Array, "n1 n2 ..."] | None) -> Chord:
        """From `V` and `U`; `U = None` where it is known to be the larger one."""
        return cls(root(2 * (near if far is None else jnp.minimum(near, far))), far is None)

    @property
    def gap(self) -> Float[Array, "n1 n2 ..."]:
        """`1 - |c|`."""
        return jnp.square(self.length) / 2

    def sides(self, covariance: Float[Array, "n1 n2 ..."]) -> tuple[Array, Array]:
        """`V = 1 - c` and `U = 1 + c`."""
        gap = self.gap
        if self.is_positive:
            return gap, 2 - gap
        negative = covariance < 0
        return jnp.where(negative, 2 - gap, gap), jnp.where(negative, gap, 2 - gap)


def chord_of(tape: KernelTape, kernel: Any) -> Chord:
    """The chord that a layer noted with this kernel; otherwise from the rounded correlation, but for equal inputs."""
    noted = tape.noted(kernel.nngp)
    if noted is not None:
        return noted
    diagonal_spatial = kernel.diagonal_spatial
    inverse = outer(of_both(reciprocal, radii(kernel)), diagonal_spatial)
    gap = jnp.maximum(1 - jnp.abs(kernel.nngp * inverse), 0)
    if tape.same is not None:
        gap = jnp.where(_at_equal_positions(tape.same, gap.shape, diagonal_spatial), 0, gap)
    return Chord(root(2 * gap))


def _at_equal_positions(same: Array, shape: tuple[int, ...], diagonal_spatial: bool) -> Array:
    mask = same.reshape(*same.shape, *[1] * (len(shape) - 2))
    if not diagonal_spatial:
        for axis in range(2, len(shape), 2):
            own = jnp.eye(shape[axis], dtype=bool)
            mask = mask & own.reshape(*[1] * axis, *own.shape, *[1] * (len(shape) - axis - 2))
    return mask


def radii(kernel: Any) -> Both:
    """Norms `[n1, *positions]` and `[n2, *positions]` of the images on both sides."""
    first = _norms(kernel.cov1, kernel.diagonal_spatial)
    return first, first if kernel.cov2 is None else _norms(kernel.cov2, kernel.diagonal_spatial)


def _norms(variance: Float[Array, "n ..."], diagonal_spatial: bool) -> Float[Array, "n *positions"]:
    if not diagonal_spatial:
        pairs = range(1, variance.ndim, 2)
        variance = jnp.einsum(variance, [0, *(axis for axis in pairs for _ in range(2))], [0, *pairs])
    return jnp.sqrt(variance)


def rows(values: Float[Array, "n1 *positions"], diagonal_spatial: bool) -> Array:
    """Values of the images of the rows, to be broadcast to pairs: `[n1, 1, H, 1, W, 1]`, or `[n1, 1, H, W]`."""
    return _beside_ones(values, diagonal_spatial, 1)


def columns(values: Float[Array, "n2 *positions"], diagonal_spatial: bool) -> Array:
    """The same of the columns: `[1, n2, 1, H, 1, W]`, or `[1, n2, H, W]`."""
    return _beside_ones(values, diagonal_spatial, 0)


def _beside_ones(values: Array, diagonal_spatial: bool, place: int) -> Array:
    if diagonal_spatial:
        return jnp.expand_dims(values, place)
    return jnp.expand_dims(values, tuple(range(place, 2 * values.ndim, 2)))


def outer(values: Both, diagonal_spatial: bool) -> Float[Array, "n1 n2 ..."]:
    """Products of the values of both sides."""
    return rows(values[0], diagonal_spatial) * columns(values[1], diagonal_spatial)


def of_both(function: Callable[[Array], Array], values: Both) -> Both:
    """`function` on both sides."""
    return function(values[0]), function(values[1])


def reciprocal(values: Array) -> Array:
    """`1 / values`, and 0 for 0: an image without length has no direction, and no weight in what it is part of."""
    return jnp.where(values > 0, 1 / jnp.where(values > 0, values, 1), 0)


def half_square(
    first: Float[Array, "n1 *positions F"], second: Float[Array, "n2 *positions F"], diagonal_spatial: bool
) -> Float[Array, "n1 n2 ..."]:
    """`|a - b|^2 / 2` for all pairs, by differences of the components."""

    def terms(a: Float[Array, "F n1 *positions"], b: Float[Array, "F n2 *positions"]) -> Array:
        total = None
        for x, y in zip(a, b, strict=True):
            square = jnp.square(rows(x, diagonal_spatial) - columns(y, diagonal_spatial))
            total = square if total is None else total + square
        assert total is not None
        return total / 2

    size = first.shape[-1]
    # components first, in memory too: the pairs of one component then lie side by side
    a, b = jax.lax.optimization_barrier((jnp.moveaxis(first, -1, 0), jnp.moveaxis(second, -1, 0)))
    if size <= UNROLLED:
        return terms(a, b)
    a, b = (_in_chunks(part) for part in (a, b))
    start = terms(a[0], b[0])
    return jax.lax.scan(lambda total, ab: (total + terms(*ab), None), start, (a[1:], b[1:]))[0]


def _in_chunks(components: Float[Array, "F ..."]) -> Float[Array, "chunks size ..."]:
    size, rest = components.shape[0], components.shape[1:]
    count = -(-size // CHUNK)
    padded = jnp.pad(components, [(0, count * CHUNK - size), *[(0, 0)] * len(rest)])
    return padded.reshape(count, CHUNK, *rest)


@jax.custom_jvp
def root(values: Array) -> Array:
    """The square root, with derivative 0 at 0: between equal inputs the kernels' derivatives are those of their limits."""
    return jnp.sqrt(values)


@root.defjvp
def _root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    found = root(primals[0])
    return found, tangents[0] * reciprocal(2 * found)


def once(compute: Callable[[], Any], witness: Array) -> Any:
    """The arrays of `compute()`, which are evaluated once.

    XLA drops its own barriers on CPUs, and then evaluates polynomials again in everything that uses them; a branch it
    cannot look through. `witness` is any array without NaN.
    """

    def never() -> Any:
        return jax.tree.map(lambda part: jnp.full(part.shape, jnp.nan, part.dtype), jax.eval_shape(compute))

    first = witness.ravel()[0]
    return jax.lax.cond(first == first, compute, never)
