"""Solves with positive semi-definite Grams, inside or outside of compiled code."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg
from jaxtyping import Array, Float


@jax.jit
def solve(gram: Float[Array, "n n"], shift: float | Array, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """`(G + shift I)^{-1} right` by Cholesky; NaN where `G + shift I` is not positive definite."""
    factor = jax.scipy.linalg.cho_factor(shifted(gram, shift))
    return jax.scipy.linalg.cho_solve(factor, right)


@jax.jit
def project(
    cross: Float[Array, "m n"], gram: Float[Array, "n n"], shift: float | Array, scale: float = 1.0
) -> Float[Array, "m n"]:
    """`scale G' (G + shift I)^{-1}`."""
    return scale * solve(gram, shift, cross.T).T


@jax.jit
def symmetric_part(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`(X + X^T) / 2`: takes rounding out of what is symmetric."""
    return (matrix + matrix.T) / 2


def shifted(gram: Float[Array, "n n"], shift: float | Array) -> Float[Array, "n n"]:
    """`G + shift I`."""
    return gram + shift * jnp.eye(len(gram), dtype=gram.dtype)


def pseudo_inverse(gram: Float[Array, "n n"], tolerance: float | None = None) -> Float[Array, "n n"]:
    """Moore-Penrose inverse of a symmetric matrix, definite or not, cut at `tolerance` times its largest eigenvalue."""
    values, vectors = jnp.linalg.eigh(gram)
    if tolerance is None:
        tolerance = len(gram) * float(jnp.finfo(gram.dtype).eps)
    kept = jnp.abs(values) > tolerance * jnp.abs(values).max()
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    # once more through the Gram: eigenvectors are exact to rounding of their largest entry, but where a row of the Gram is tiny
    # (a saturated probability, see ntkng.whitening) what it is multiplied with is large
    vectors = jnp.matmul(gram, vectors, precision="highest") * inverse
    return jnp.matmul(vectors * inverse, vectors.T, precision="highest")
