"""Solves with positive semi-definite Grams, inside or outside of compiled code."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg
from jaxtyping import Array, Float

from ntkng.conditioning import rounding


@jax.jit
def solve(gram: Float[Array, "n n"], shift: float | Array, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """`(G + shift I)^{-1} right` by Cholesky; NaN where `G + shift I` is not positive definite to working precision.

    Whether a pivot that should be 0 comes out as 1e-17, as 0 or below is luck. But the smallest eigenvalue is at most
    `|v| / |(G + shift I)^{-1} v|` for every `v`: the first column of `right`, and one beside it that has no other purpose.
    """
    system = shifted(gram, shift)
    factor = jax.scipy.linalg.cho_factor(system)
    probe = jnp.cos(jnp.arange(len(gram), dtype=right.dtype))
    columns = jnp.concatenate([right[:, :1], probe[:, None]], axis=1)
    seen = jax.scipy.linalg.cho_solve(factor, columns)
    largest, sizes = jnp.diagonal(system).max(), jnp.abs(columns).max(axis=0)
    unit = jnp.where(sizes > 0, sizes, 1)  # norms without over- and underflow
    given, found = jnp.linalg.norm(columns / unit, axis=0), jnp.linalg.norm(seen * (largest / unit), axis=0)
    smallest = jnp.where(sizes > 0, given / found, jnp.inf).min()  # relative to the largest entry
    is_definite = smallest > rounding(len(gram), 1.0, float(jnp.finfo(gram.dtype).eps))
    solved = seen[:, :1] if right.shape[1] == 1 else jax.scipy.linalg.cho_solve(factor, right)
    return jnp.where(is_definite, solved, jnp.nan)


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
    values, vectors, kept = _decomposed(gram, tolerance)
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    # once more through the Gram: eigenvectors are exact to rounding of their largest entry, but where a row of the Gram is tiny
    # (a saturated probability, see ntkng.whitening) what it is multiplied with is large
    vectors = jnp.matmul(gram, vectors, precision="highest") * inverse[None]
    return jnp.matmul(vectors * inverse[None], vectors.T, precision="highest")


def range_of(gram: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The projector `G G^+`, without the rounding of a product that `G^+` amplifies."""
    _, vectors, kept = _decomposed(gram, None)
    return (vectors * kept[None]) @ vectors.T


def _decomposed(gram: Array, tolerance: float | None) -> tuple[Array, Array, Array]:
    """Eigenvalues, eigenvectors, and which eigenvalues are not rounding."""
    values, vectors = jnp.linalg.eigh(gram)
    cut = rounding(len(gram), 1.0, float(jnp.finfo(gram.dtype).eps)) if tolerance is None else tolerance
    return values, vectors, jnp.abs(values) > cut * jnp.abs(values).max()
