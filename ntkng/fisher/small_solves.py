"""Solves with many small positive definite matrices, for use under `vmap`.

Batched triangular solves on a CPU call BLAS once a matrix, whose threads get in each other's way (5 times slower at
40 x 40). Here only the Cholesky factorisation does; its factor is inverted by blocks, in batched matrix products.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

SUBSTITUTION = 8  # up to this size the factor is inverted row by row


def solve_small(system: Float[Array, "n n"], right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """`system^{-1} right` of a positive definite matrix; NaN where it is not."""
    inverse = inverse_lower(jnp.linalg.cholesky(system))
    return _product(inverse.T, _product(inverse, right))


def inverse_lower(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Inverse of a lower triangular matrix, by halves: the lower left block is `-X_22 L_21 X_11`."""
    size = len(factor)
    if size <= SUBSTITUTION:
        return _by_substitution(factor)
    half = size // 2
    first, last = inverse_lower(factor[:half, :half]), inverse_lower(factor[half:, half:])
    corner = -_product(last, _product(factor[half:, :half], first))
    return jnp.block([[first, jnp.zeros((half, size - half), factor.dtype)], [corner, last]])


def _by_substitution(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    rows: list[Array] = []
    for index, unit in enumerate(jnp.eye(len(factor), dtype=factor.dtype)):
        row = unit
        for column, known in enumerate(rows):
            row = row - factor[index, column] * known
        rows.append(row / factor[index, index])
    return jnp.stack(rows)


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision="highest")
