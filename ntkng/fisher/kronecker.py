r"""Inverses of one Kronecker factor `X^T X / divisor + rho I`, through Grams or directly, whichever is smaller.

A layer's gradient is a sum over positions, `J[(n, c)] = sum_s delta[n, c, s] (outer) a[n, s]`. The rows `X` of a K-FAC factor
are either all rows `a[n, s]` (or `delta[n, c, s]`), or one row per sample: the mean (sum) over its positions, here called
*reduced* rows. With `rho = 0` all inverses are pseudo-inverses, with relative tolerance of working precision; where the rows
are known to less than that, `tolerance` (of the Gram's eigenvalues, so squared) is that of the rows.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.fisher.solves import project, pseudo_inverse, range_of, solve
from ntkng.layers.symmetric import self_product

Damping = Any  # rho: a number, a traced number, or exactly 0


def is_zero(damping: Damping) -> bool:
    """Whether the damping is exactly 0."""
    return isinstance(damping, (int, float)) and damping == 0


def solve_or_pseudo(
    gram: Float[Array, "n n"], shift: Damping, right: Float[Array, "n k"], pseudo: bool, tolerance: float | None = None
) -> Array:
    """`(G + shift I)^{-1} right`; where undamped and `pseudo`, `G^+ right`."""
    return pseudo_inverse(gram, tolerance) @ right if pseudo and is_zero(shift) else solve(gram, shift, right)


# -- positions -------------------------------------------------------------------------------------------------------


def reduce_rows(rows: Float[Array, "nS k"], positions: int, total: bool) -> Float[Array, "n k"]:
    """Rows of one sample added up over its positions, or averaged."""
    blocks = rows.reshape(-1, positions, rows.shape[1])
    return blocks.sum(axis=1) if total else blocks.mean(axis=1)


def repeat_rows(rows: Float[Array, "n k"], positions: int, total: bool) -> Float[Array, "nS k"]:
    """The transpose of `reduce_rows`."""
    return jnp.repeat(rows if total else rows / positions, positions, axis=0)


# -- function space: Q(x', x) = x' (X^T X / divisor + rho I)^{-1} x^T, from Grams of x' and x ------------------------------


def expanded_form(
    cross: Float[Array, "m n"], gram: Float[Array, "n n"], divisor: float, damping: Damping, pseudo: bool
) -> Float[Array, "m n"]:
    """`divisor G' (G + divisor rho I)^{-1}`: all rows are rows of the factor."""
    if pseudo and is_zero(damping):
        return divisor * (range_of(gram) if cross is gram else cross @ pseudo_inverse(gram))
    return project(cross, gram, divisor * damping, scale=divisor)


def reduced_form(
    cross: Float[Array, "mS nS"],
    gram: Float[Array, "nS nS"],
    positions: int,
    total: bool,
    divisor: float,
    damping: Damping,
) -> Float[Array, "mS nS"]:
    """`Q` between all rows, the factor being made of reduced rows.

    Damped `(G' - G'_r (G_rr + divisor rho I)^{-1} G_r) / rho`, where `r` stands for reduced rows; undamped
    `divisor G'_r (G_rr^+)^2 G_r`.
    """
    half = reduce_rows(gram, positions, total)
    both = reduce_rows(half.T, positions, total)
    cross_half = reduce_rows(cross.T, positions, total).T
    if is_zero(damping):
        inverse = pseudo_inverse(both)
        return divisor * (cross_half @ (inverse @ (inverse @ half)))
    return (cross - cross_half @ solve(both, divisor * damping, half)) / damping


# -- parameters ------------------------------------------------------------------------------------------------------


def times_inverse(
    right: Float[Array, "k M"],
    rows: Float[Array, "n M"],
    divisor: float,
    damping: Damping,
    tolerance: float | None = None,
) -> Float[Array, "k M"]:
    """`right (X^T X / divisor + rho I)^{-1}`, by an `M x M` or an `n x n` system."""
    is_wide = rows.shape[1] > rows.shape[0]
    gram = self_product(rows) if is_wide else self_product(rows.T)
    if is_zero(damping):
        inverse = pseudo_inverse(gram, tolerance)
        return divisor * (right @ rows.T @ inverse @ inverse @ rows if is_wide else right @ inverse)
    if is_wide:
        return (right - solve(gram, divisor * damping, rows @ right.T).T @ rows) / damping
    return divisor * solve(gram, divisor * damping, right.T).T


def row_weights(
    weights: Float[Array, "n k"],
    rows: Float[Array, "n K"],
    divisor: float,
    damping: Damping,
    pseudo: bool,
    known: Float[Array, "n n"] | None = None,
    tolerance: float | None = None,
) -> Float[Array, "n k"]:
    """`V` with `V^T X = weights^T X (X^T X / divisor + rho I)^{-1}`: `divisor (X X^T + divisor rho I)^{-1} weights`.

    `known`: `X X^T` where it is there already.
    """
    shift = divisor * damping
    if rows.shape[0] <= rows.shape[1] or (is_zero(damping) and not pseudo):
        return divisor * solve_or_pseudo(
            self_product(rows) if known is None else known, shift, weights, pseudo, tolerance
        )
    gram, seen = self_product(rows.T), jnp.matmul(rows.T, weights, precision="highest")
    if is_zero(damping):
        inverse = pseudo_inverse(gram, tolerance)
        return divisor * (rows @ (inverse @ (inverse @ seen)))
    return (weights - rows @ solve(gram, shift, seen)) / damping


def reduced_row_weights(
    weights: Float[Array, "nS k"],
    rows: Float[Array, "nS K"],
    positions: int,
    divisor: float,
    damping: Damping,
    tolerance: float | None = None,
) -> Float[Array, "nS k"]:
    """`V` with `V^T X = weights^T X (R^T R / divisor + rho I)^{-1}`, `R` the mean rows of `X`."""
    reduced = reduce_rows(rows, positions, total=False)
    seen = reduced @ jnp.matmul(rows.T, weights, precision="highest")
    if is_zero(damping):
        inverse = pseudo_inverse(self_product(reduced), tolerance)
        return divisor * repeat_rows(inverse @ (inverse @ seen), positions, total=False)
    solved = solve(self_product(reduced), divisor * damping, seen)
    return (weights - repeat_rows(solved, positions, total=False)) / damping
