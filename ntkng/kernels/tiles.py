"""Kernel matrices in square tiles: bounded memory, any number of samples, symmetric halves computed once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# (what, x1, x2, column of the first row's own sample) -> pytree of arrays [n1, n2] or [n1, n2, S, S]
Evaluate = Callable[[Any, Array, Array | None, Any], Any]

SMALL = 512  # up to this many samples a single tile is faster than leaving out the lower half
PARTS = 4  # tiles per side above that, at least: 10 of 16 are computed


def in_tiles(
    evaluate: Evaluate, what: Hashable, x1: Float[Array, "N ..."], x2: Float[Array, "M ..."] | None, side: int
) -> Any:
    """Every array that `evaluate` returns, `[N, M, ...]`, computed in tiles of at most `side` by `side`.

    All tiles have one shape (the inputs are filled up with repeated rows, which are cut off again), so that a single
    program is compiled; it writes into the results in place. With `x2=None` the results are symmetric to the last bit, the
    upper triangle being mirrored: kernels by quadrature are not symmetric otherwise.

    Args:
        evaluate: kernels of two sets of inputs, `x2=None` for `x2 = x1`; a function at module level.
        what: its first argument, such as the network.
        x1: inputs of the rows.
        x2: inputs of the columns; `None` takes those of the rows: then only tiles on and above the diagonal are computed.
        side: largest number of rows and columns of a tile.
    """
    if x2 is None and len(x1) <= side:
        return _whole(evaluate, what, x1)
    rows, columns = _fill(x1, side), None if x2 is None else _fill(x2, side)
    counts = len(rows), len(rows if columns is None else columns)
    tile = _tile_shapes(evaluate, what, rows.shape[1:], (rows if columns is None else columns).shape[1:], x1.dtype)
    results = jax.tree.map(lambda part: _empty(part, counts), tile)
    for i in range(counts[0]):
        for j in range(counts[1]):
            if columns is not None or j >= i:
                results = _add(evaluate, what, results, rows, columns, (i, j))
    n1, n2 = len(x1), len(x1 if x2 is None else x2)
    return jax.tree.map(lambda array: array if array.shape[:2] == (n1, n2) else array[:n1, :n2], results)


def preferred_side(samples: int, side: int) -> int:
    """`side`, or less where leaving out the lower half is worth while."""
    return side if samples <= SMALL else min(side, -(-samples // PARTS))


def _whole(evaluate: Evaluate, what: Hashable, x: Array) -> Any:
    return _mirrored(_evaluated(evaluate, what, x, None, 0))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _evaluated(evaluate: Evaluate, what: Hashable, x1: Array, x2: Array | None, diagonal: Any) -> Any:
    """A program of its own: within one, the compiler computes an entry and its mirror image twice, in ways that round apart."""
    return evaluate(what, x1, x2, diagonal)


@jax.jit
def _mirrored(tile: Any) -> Any:
    return jax.tree.map(_mirror, tile)


def _add(
    evaluate: Evaluate,
    what: Hashable,
    results: Any,
    rows: Float[Array, "parts side ..."],
    columns: Float[Array, "parts side ..."] | None,
    index: tuple[int, int],
) -> Any:
    """Write tile `(i, j)`, and where rows and columns are the same inputs its mirror image too."""
    i, j = index
    if columns is not None:
        return _place(results, _evaluated(evaluate, what, rows[i], columns[j], None), jnp.array(index), False)
    # away from the diagonal a sample's own column lies outside of the tile, where nothing is set
    diagonal = jnp.array(0 if i == j else rows.shape[1])
    return _place(results, _evaluated(evaluate, what, rows[i], rows[j], diagonal), jnp.array(index), True)


@functools.partial(jax.jit, static_argnums=3, donate_argnums=0)
def _place(results: Any, tile: Any, index: Int[Array, "2"], is_symmetric: bool) -> Any:
    i, j = index

    def write(whole: Array, part: Array) -> Array:
        if not is_symmetric:
            return _write(whole, part, i, j)
        part = jnp.where(i == j, _mirror(part), part)
        return _write(_write(whole, part, i, j), _transpose(part), j, i)

    return jax.tree.map(write, results, tile)


def _write(whole: Array, tile: Array, i: Array, j: Array) -> Array:
    zero = jnp.zeros((), i.dtype)
    start = (i * tile.shape[0], j * tile.shape[1], *[zero] * (tile.ndim - 2))
    return jax.lax.dynamic_update_slice(whole, tile, start)


@functools.lru_cache(maxsize=64)
def _tile_shapes(evaluate: Evaluate, what: Hashable, rows: Any, columns: Any, dtype: Any) -> Any:
    tiles = [jax.ShapeDtypeStruct(shape, dtype) for shape in (rows, columns)]
    return jax.eval_shape(lambda a, b: evaluate(what, a, b, None), *tiles)


def _empty(tile: Any, counts: tuple[int, int]) -> Array:
    return jnp.empty((counts[0] * tile.shape[0], counts[1] * tile.shape[1], *tile.shape[2:]), tile.dtype)


def _fill(x: Float[Array, "N ..."], side: int) -> Float[Array, "parts side ..."]:
    """Parts of equal size, at most `side`; the last one is filled up with the first rows."""
    count = -(-len(x) // side)
    size = -(-len(x) // count)
    return jnp.concatenate([x, x[: count * size - len(x)]]).reshape(count, size, *x.shape[1:])


def _transpose(tile: Array) -> Array:
    """`G(x2, x1)` from `G(x1, x2)`, `[n1, n2]` or with positions `[n1, n2, S1, S2]`."""
    return tile.T if tile.ndim == 2 else tile.transpose(1, 0, 3, 2)


def _mirror(tile: Array) -> Array:
    """The upper triangle on both sides of the diagonal.

    Entries are gathered, not selected between the tile and its transpose: from such a selection XLA's CPU compiler makes one
    unrolled block of the whole matrix at many sizes (250, 512, 960, ...), which takes it minutes and gigabytes.
    """
    if tile.ndim == 2:
        index = jnp.arange(len(tile))
        return tile[jnp.minimum(index[:, None], index[None]), jnp.maximum(index[:, None], index[None])]
    n, _, positions, _ = tile.shape
    matrix = _mirror(tile.transpose(0, 2, 1, 3).reshape(n * positions, n * positions))
    return matrix.reshape(n, positions, n, positions).transpose(0, 2, 1, 3)
