"""Least squares with a singular-value cut, the only linear algebra of the Gauss-Newton update."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def solve_truncated(
    features: Float[Array, "N q"], targets: Float[Array, "N k"], rtol: float, atol: float = 0.0
) -> tuple[Float[Array, "q k"], Int[Array, ""]]:
    r"""`A^+ E`, where singular values of `A` not above `max(atol, rtol s_max)` count as zero.

    With `A = sum_i s_i u_i v_i^T` the solution is `sum_{kept i} v_i (u_i^T E) / s_i`, and `A A^+` is the orthogonal
    projector on the kept `u_i`. For `rtol` at least the fourth root of the machine epsilon the decomposition is that
    of the smaller Gram matrix (the kept eigenvalues `s_i^2` then have a relative error below the square root of the
    epsilon), otherwise the singular value decomposition of `A`.

    Args:
        features: `A`, `[N, q]`.
        targets: `E`, `[N, k]`.
        rtol: relative cut, a Python number in `[0, 1)`.
        atol: absolute cut.

    Returns:
        The solution `[q, k]` and the number of kept singular values.

    Raises:
        ValueError: when `rtol` is not in `[0, 1)` or `atol` is negative.
    """
    if not (0 <= rtol < 1 and atol >= 0):
        raise ValueError(f"got rtol={rtol}, atol={atol}, expected 0 <= rtol < 1 and atol >= 0")
    if rtol < float(jnp.finfo(features.dtype).eps) ** 0.25:
        left, values, right = jnp.linalg.svd(features, full_matrices=False)
        keep = _kept(values, rtol, atol)
        inverse = jnp.where(keep, 1 / jnp.where(keep, values, 1), 0)
        return right.T @ (inverse[:, None] * (left.T @ targets)), keep.sum()
    wide = features.shape[0] <= features.shape[1]
    squares, vectors = jnp.linalg.eigh(features @ features.T if wide else features.T @ features)
    keep = _kept(jnp.sqrt(jnp.maximum(squares, 0)), rtol, atol)
    inverse = jnp.where(keep, 1 / jnp.where(keep, squares, 1), 0)
    right_side = targets if wide else features.T @ targets
    solution = vectors @ (inverse[:, None] * (vectors.T @ right_side))
    return (features.T @ solution if wide else solution), keep.sum()


def _kept(values: Float[Array, " r"], rtol: float, atol: float):
    return values > jnp.maximum(atol, rtol * values.max())
