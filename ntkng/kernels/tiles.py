"""Kernel matrices in square tiles: bounded memory, any number of samples, symmetric halves computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Evaluate = Callable[[Array, Array | None, Any], Any]  # (x1, x2, column of the first row's own sample) -> pytree


def in_tiles(evaluate: Evaluate, x1: Float[Array, "N ..."], x2: Float[Array, "M ..."] | None, side: int) -> Any:
    """Every array that `evaluate` returns, `[N, M, ...]`, computed in tiles of about `side` by `side`.

    All tiles have one shape (the inputs are filled up with repeated rows, which are cut off again), so that a single
    program is compiled. With `x2=None` the results are symmetric to the last bit, the upper triangle being mirrored: kernels
    by quadrature are not symmetric otherwise.

    Args:
        evaluate: kernels of two sets of inputs, `x2=None` for `x2 = x1`, as a pytree of arrays `[n1, n2]` or
            `[n1, n2, S, S]`.
        x1: inputs of the rows.
        x2: inputs of the columns; `None` takes those of the rows: then only tiles on and above the diagonal are computed.
        side: largest number of rows and columns of a tile.
    """
    if x2 is None and len(x1) <= side:
        return jax.tree.map(_mirror, evaluate(x1, None, 0))
    rows = _split(x1, side)
    columns = rows if x2 is None else _split(x2, side)
    tiles: dict[tuple[int, int], Any] = {}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if x2 is None and j < i:
                tiles[i, j] = jax.tree.map(_transpose, tiles[j, i])
            else:  # away from the diagonal the column lies outside of the tile, where nothing is set
                diagonal = 0 if i == j else len(column)
                tile = evaluate(row, column, None if x2 is not None else diagonal)
                tiles[i, j] = jax.tree.map(_mirror, tile) if x2 is None and i == j else tile
    joined = [
        jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *[tiles[i, j] for j in range(len(columns))])
        for i in range(len(rows))
    ]  # fmt: skip
    whole = jax.tree.map(lambda *parts: jnp.concatenate(parts), *joined)
    n1, n2 = len(x1), len(x1 if x2 is None else x2)
    return jax.tree.map(lambda array: array[:n1, :n2], whole)


def _split(x: Float[Array, "N ..."], side: int) -> list[Float[Array, "side ..."]]:
    """Parts of equal size, at most `side`; the last one is filled up with the first rows."""
    count = -(-len(x) // side)
    size = -(-len(x) // count)
    filled = jnp.concatenate([x, x[: count * size - len(x)]])
    return [filled[start : start + size] for start in range(0, count * size, size)]


def _transpose(tile: Array) -> Array:
    """`G(x2, x1)` from `G(x1, x2)`, `[n1, n2]` or with positions `[n1, n2, S1, S2]`."""
    return tile.T if tile.ndim == 2 else tile.transpose(1, 0, 3, 2)


def _mirror(tile: Array) -> Array:
    """The upper triangle on both sides of the diagonal."""
    if tile.ndim == 2:
        return jnp.triu(tile) + jnp.triu(tile, 1).T
    n, _, positions, _ = tile.shape
    matrix = _mirror(tile.transpose(0, 2, 1, 3).reshape(n * positions, n * positions))
    return matrix.reshape(n, positions, n, positions).transpose(0, 2, 1, 3)
