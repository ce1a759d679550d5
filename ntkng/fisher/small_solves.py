"""Solves with many small positive definite matrices, for use under `vmap`.

Batched triangular solves on a CPU call BLAS once a matrix, whose threads get in each other's way (5 times slower at
40 x 40). Here only the Cholesky factorisation does; its factor is inverted by blocks, in batched matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LEAF = 8  # up to this size diagonal blocks are inverted row by row


def map_units(function: Callable[[Any], Array], units: Any, batch: int) -> Float[Array, "M *part"]:
    """`function` of every unit (leading axis of all arrays), at most `batch` units at a time under `vmap`.

    Never two batches at once: batched LAPACK calls share XLA's threads, and two of them wait for each other's for ever on two
    cores (JAX 0.10.2). `jax.lax.map` gives the last, smaller batch a program of its own, which may run beside the others; here
    it is filled up with zeros instead.
    """
    number = len(jax.tree.leaves(units)[0])
    results = jax.lax.map(jax.vmap(function), jax.tree.map(lambda part: in_batches(part, batch), units))
    return results.reshape(-1, *results.shape[2:])[:number]


def in_batches(units: Float[Array, "M *part"], batch: int) -> Float[Array, "blocks batch *part"]:
    """At most `batch` units a block, the last one filled up with zeros."""
    count = -(-len(units) // batch)
    size = -(-len(units) // count)
    padded = jnp.pad(units, [(0, count * size - len(units))] + [(0, 0)] * (units.ndim - 1))
    return padded.reshape(count, size, *units.shape[1:])


def solve_small(system: Float[Array, "n n"], right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """`system^{-1} right` of a positive definite matrix; NaN where it is not."""
    inverse = inverse_lower(jnp.linalg.cholesky(system))
    return _product(inverse.T, _product(inverse, right))


def inverse_lower(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Inverse of a lower triangular matrix.

    Diagonal blocks first, then pairs of them together: the lower left block of a pair is `-X_22 L_21 X_11`.
    """
    size, halvings = len(factor), 0
    while -(-size >> halvings) > LEAF:
        halvings += 1
    leaf = -(-size >> halvings)
    padded = jnp.pad(factor, (0, (leaf << halvings) - size))
    padded = padded + jnp.diag((jnp.arange(len(padded)) >= size).astype(factor.dtype))
    inverses = _by_substitution(_diagonal_blocks(padded, leaf))
    for width in (leaf << level for level in range(halvings)):
        corners = _diagonal_blocks(padded, 2 * width)[:, width:, :width]
        first, last = inverses[::2], inverses[1::2]
        corners = -_product(last, _product(corners, first))
        upper = jnp.pad(first, ((0, 0), (0, 0), (0, width)))
        inverses = jnp.concatenate([upper, jnp.concatenate([corners, last], axis=2)], axis=1)
    return inverses[0, :size, :size]


def _diagonal_blocks(matrix: Float[Array, "n n"], width: int) -> Float[Array, "k w w"]:
    count = len(matrix) // width
    return jnp.moveaxis(jnp.diagonal(matrix.reshape(count, width, count, width), axis1=0, axis2=2), -1, 0)


def _by_substitution(factors: Float[Array, "k w w"]) -> Float[Array, "k w w"]:
    rows: list[Array] = []
    for index, unit in enumerate(jnp.eye(factors.shape[-1], dtype=factors.dtype)):
        row = jnp.broadcast_to(unit, factors.shape[:-1])
        for column, known in enumerate(rows):
            row = row - factors[:, index, column, None] * known
        rows.append(row / factors[:, index, index, None])
    return jnp.stack(rows, axis=1)


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision="highest")
