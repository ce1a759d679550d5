r"""Conjugate gradients for the blocks of all units of a layer at once.

The systems `(Q_i A Q_i + s I) x_i = b_i` of the units have the diagonal `Q_i` and the right-hand side of their own, but share `A`. So one
iteration for all of them is a single matrix product, `A` times the `N x M` matrix of all `q_i o p_i`, which runs at the machine's full rate, where
the factorisations of M small matrices do not (ten times slower at `N = 100`). Preconditioned by their diagonals, with damping relative to the
layer's mean block, they take some tens of iterations.

They start at `x = b / (q^2 diag A + s)`. Where a sample's signal is next to nothing (a saturated probability, see `ntkng.whitening`) its entry
of `b` is huge and that is its solution already; what is left has a factor `q` in each entry, so that no sample hides the others.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

TOLERANCE = 32  # times the precision's eps: of |residual| / |right-hand side|, the accuracy of a factorisation
LONGEST = 100  # iterations, or N / 2 if that is more: from there on factorising takes no longer


def solve_units(
    inner: Float[Array, "N N"], norms: Float[Array, "N M"], shift: Float[Array, ""], right: Float[Array, "N M"]
) -> tuple[Float[Array, "N M"], Bool[Array, ""]]:
    """`x_i` of all units, one a column, and whether all of them have reached the tolerance.

    Args:
        inner: `A`.
        norms: `q_i`, one unit a column.
        shift: `s > 0`.
        right: `b_i`.
    """
    diagonal = jnp.diagonal(inner)[:, None]
    scale = 1 / (norms**2 * diagonal + shift)
    first = scale * right
    seen = norms * diagonal * norms * first
    rest = seen - norms * jnp.matmul(inner, norms * first, precision="highest")
    longest = max(LONGEST, len(inner) // 2)
    limit = (TOLERANCE * jnp.finfo(inner.dtype).eps) ** 2 * (seen**2).sum(axis=0)

    def product(vectors: Array) -> Array:
        return norms * jnp.matmul(inner, norms * vectors, precision="highest") + shift * vectors

    def is_running(state: tuple[Array, ...]) -> Array:
        _, residual, _, _, count = state
        return ((residual**2).sum(axis=0) > limit).any() & (count < longest)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        solution, residual, direction, weight, count = state
        image = product(direction)
        curvature = (direction * image).sum(axis=0)
        length = weight / jnp.where(curvature > 0, curvature, 1)  # 0 / 1 once a unit's residual is exactly 0
        solution, residual = solution + length[None] * direction, residual - length[None] * image
        scaled = scale * residual
        new = (residual * scaled).sum(axis=0)
        direction = scaled + (new / jnp.where(weight > 0, weight, 1))[None] * direction
        return solution, residual, direction, new, count + 1

    start = scale * rest
    state = jnp.zeros_like(rest), rest, start, (rest * start).sum(axis=0), jnp.zeros((), jnp.int32)
    solution, residual, *_ = jax.lax.while_loop(is_running, step, state)
    return first + solution, ((residual**2).sum(axis=0) <= limit).all()
