r"""Moments `E[phi^(a)(u) phi^(b)(v)]` of the derivatives of an activation, and how they change with the covariances.

For centred Gaussians the derivatives by covariances are moments again (the heat equation of the Gaussian density), which
keeps automatic differentiation out of the grids, to any order:

    d/dq12 E[f(u) g(v)] = E[f'(u) g'(v)],    d/dq11 E[f(u) g(v)] = E[f''(u) g(v)] / 2.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.quadrature import rule
from ntkng.quadrature.activation import Activation
from ntkng.quadrature.grids import Grids

Orders = tuple[tuple[int, int], ...]  # of the derivatives in u and in v


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def covariances(
    activation: Activation,
    grids: Grids,
    orders: Orders,
    left: Float[Array, "*B n1"],
    right: Float[Array, "*B n2"] | None,
    covariance: Float[Array, "*B n1 n2"],
) -> Float[Array, "W *B n1 n2"]:
    """Moments of all pairs: `left`, `right` are the variances (`right=None` for those of the rows), `covariance` between them."""
    needed = sorted({order for pair in orders for order in pair})
    which = tuple((needed.index(a), needed.index(b)) for a, b in orders)
    rows = jnp.sqrt(left)
    columns = rows if right is None else jnp.sqrt(right)
    scale = rows[..., :, None] * columns[..., None, :]
    correlation = jnp.where(scale > 0, covariance / jnp.where(scale > 0, scale, 1), 0)
    correlation = jnp.clip(correlation, -1, 1)
    evaluate = activation.derivatives(tuple(needed))
    return rule.pairs(evaluate, which, rows, None if right is None else columns, correlation, grids)


@covariances.defjvp
def _covariances_jvp(activation: Activation, grids: Grids, orders: Orders, primals: Any, tangents: Any) -> Any:
    right = primals[1]
    d_left, d_right, d_covariance = tangents
    d_right = d_left if right is None else d_right
    all_orders = orders + tuple((a + i, b + j) for a, b in orders for i, j in ((2, 0), (0, 2), (1, 1)))
    found = covariances(activation, grids, all_orders, *primals)
    value, slopes = found[: len(orders)], found[len(orders) :].reshape(len(orders), 3, *found.shape[1:])
    change = (
        slopes[:, 0] / 2 * d_left[..., :, None] + slopes[:, 1] / 2 * d_right[..., None, :] + slopes[:, 2] * d_covariance
    )
    return value, change


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def variances(
    activation: Activation, grids: Grids, orders: tuple[int, int], variance: Float[Array, "*S"]
) -> Float[Array, "*S"]:
    """`E[phi^(a)(u) phi^(b)(u)]` for every variance of `u`."""
    evaluate = activation.derivatives(orders)
    return rule.single(lambda u: evaluate(u).prod(0)[None], jnp.sqrt(variance), grids)[0]


@variances.defjvp
def _variances_jvp(activation: Activation, grids: Grids, orders: tuple[int, int], primals: Any, tangents: Any) -> Any:
    a, b = orders
    higher = [variances(activation, grids, pair, *primals) for pair in ((a + 2, b), (a + 1, b + 1), (a, b + 2))]
    return variances(activation, grids, orders, *primals), (higher[0] / 2 + higher[1] + higher[2] / 2) * tangents[0]
