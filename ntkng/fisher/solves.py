"""Solves with positive semi-definite Grams, inside or outside of compiled code."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg
from jaxtyping import Array, Float

from ntkng.conditioning import rounding


@jax.jit
def solve(gram: Float[Array, "n n"], shift: float | Array, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """`(G + shift I)^{-1} right` by Cholesky; NaN where `G + shift I` is not positive definite to working precision.

    Whether a pivot that should be 0 comes out as 1e-17, as 0 or below is luck. But with the diagonal scaled to 1 (so that small
    samples are no sign of singularity) the smallest eigenvalue is at most `|v| / |C^{-1} v|` for every `v`: the first column of
    `right`, and one beside it that has no other purpose.
    """
    system = shifted(gram, shift)
    factor = jax.scipy.linalg.cho_factor(system)
    root = jnp.sqrt(jnp.diagonal(system))[:, None]
    probe = root * jnp.cos(jnp.arange(len(gram), dtype=root.dtype))[:, None]
    columns = jnp.concatenate([right[:, :1], probe.astype(right.dtype)], axis=1)
    seen = jax.scipy.linalg.cho_solve(factor, columns)
    solved = seen[:, :1] if right.shape[1] == 1 else jax.scipy.linalg.cho_solve(factor, right)
    return jnp.where(_smallest(columns / root, seen * root) > _cut(gram, None), solved, jnp.nan)


def _smallest(vectors: Float[Array, "n k"], solved: Float[Array, "n k"]) -> Float[Array, ""]:
    """The least of `|v| / |C^{-1} v|`, columns of zeros left out; norms neither over- nor underflow."""
    sizes = jnp.abs(vectors).max(axis=0)
    unit = jnp.where(sizes > 0, sizes, 1)[None]
    given, found = jnp.linalg.norm(vectors / unit, axis=0), jnp.linalg.norm(solved / unit, axis=0)
    return jnp.where(sizes > 0, given / found, jnp.inf).min()


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
    return jnp.where(kept[None], vectors, 0) @ vectors.T


def _decomposed(gram: Array, tolerance: float | None) -> tuple[Array, Array, Array]:
    """Eigenvalues, eigenvectors, and which eigenvalues are not rounding."""
    values, vectors = jnp.linalg.eigh(gram)
    return values, vectors, jnp.abs(values) > _cut(gram, tolerance) * jnp.abs(values).max()


def _cut(gram: Array, tolerance: float | None) -> Any:
    """Relative size up to which an eigenvalue is rounding."""
    return rounding(len(gram), 1.0, float(jnp.finfo(gram.dtype).eps)) if tolerance is None else tolerance
