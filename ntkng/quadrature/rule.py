r"""The rule: expectations over pairs of correlated Gaussians, for all pairs of samples at once.

For `u, v` with standard deviations `s_i, s_j` and correlation `rho >= 0` let `z` be what they share,
`u = s_i (sqrt(rho) z + sqrt(1 - rho) z_1)` and the same for `v`. Then `E[f(u) g(v)] = E_z[V_f(z; i) V_g(z; j)]` with the smoothed
function `V_f(z; i) = E f(s_i (sqrt(rho) z + sqrt(1 - rho) z_1))`, which belongs to a sample and not to a pair: at a given
correlation all pairs are one product of matrices. In between the correlations of the rule the kernel is interpolated.

The trapezoidal rule converges geometrically for functions that are analytic around the real axis, and maps with a `sinh`
make a function that changes around 0 only as smooth as one with a single scale (see `ntkng.quadrature.grids`). The odd and the
even part of `f` are kept apart: their kernels are an odd and an even function of the correlation, nowhere negative at
`rho > 0`, which keeps relative accuracy at all correlations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.quadrature.grids import BLOCK, LEVEL, POINT, ROW, Grids

Evaluate = Callable[[Array], Array]  # u -> several functions of u, stacked in front


def pairs(
    evaluate: Evaluate,
    which: tuple[tuple[int, int], ...],
    left: Float[Array, "*B n1"],
    right: Float[Array, "*B n2"] | None,
    correlation: Float[Array, "*B n1 n2"],
    grids: Grids,
) -> Float[Array, "W *B n1 n2"]:
    """`E[f_a(u_i) f_b(v_j)]` for every `(a, b)` of `which`.

    Args:
        evaluate: `u -> (f_0(u), f_1(u), ...)`, entry by entry, stacked in front.
        which: pairs of indices of these functions.
        left: standard deviations of the rows.
        right: of the columns; `None` for those of the rows.
        correlation: in [-1, 1].
        grids: those of the levels of standard deviations; the results are meaningless above the last level.
    """
    dtype = correlation.dtype
    level = _level(grids, left if right is None else jnp.concatenate([left.ravel(), right.ravel()]))
    position = 2 * jnp.log1p(2 * (1 - correlation) * (1 + correlation) / level["k"] ** 2) / level["stretch"] - 1
    firsts, seconds = (jnp.array(side) for side in zip(*which, strict=True))
    rows = jnp.asarray(grids.rows, dtype)
    least = float(jnp.finfo(dtype).tiny) ** 0.5

    def add(index: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        row = dict(zip(ROW, rows[index], strict=False))
        point = dict(zip(POINT, rows[index, len(ROW) :].reshape(len(POINT), BLOCK), strict=True))
        distance = position - row["position"]
        weight = row["weight"] / jnp.where(jnp.abs(distance) < least, least, distance)
        one = _smoothed(evaluate, left, row, point)
        other = one if right is None else _smoothed(evaluate, right, row, point)
        odd, even = jnp.einsum(
            "pf...ig,pf...jg->pf...ij",
            one[:, firsts] * (point["share"] / 2),  # the odd and even parts are half of these differences and sums
            other[:, seconds],
            precision=jax.lax.Precision.HIGHEST,
        )
        return sums[0] + weight * (even + correlation * row["inverse"] * odd), sums[1] + row["first"] * weight

    zeros = jnp.zeros_like(correlation)
    start, stop = (level[name].astype(jnp.int32) for name in ("start", "stop"))
    numerator, denominator = jax.lax.fori_loop(start, stop, add, (jnp.stack([zeros] * len(which)), zeros))
    return numerator / denominator


def single(evaluate: Evaluate, deviations: Float[Array, "*S"], grids: Grids) -> Float[Array, "F *S"]:
    """`E f(u)` for every function and standard deviation: the grid of `z` alone."""
    level = _level(grids, deviations)

    def add(block: Array, total: Array) -> Array:
        t = level["step"] * (block * BLOCK + jnp.arange(BLOCK) + 0.5)
        z = level["k"] * jnp.sinh(t)
        weight = level["step"] * jnp.sqrt(z**2 + level["k"] ** 2) * _density(z)
        return total + (_at_both(evaluate, deviations, z) * weight).sum((1, -1))

    shape = jax.eval_shape(evaluate, deviations).shape
    return jax.lax.fori_loop(0, level["blocks"].astype(jnp.int32), add, jnp.zeros(shape, deviations.dtype))


def _smoothed(evaluate: Evaluate, deviations: Array, row: Mapping[Any, Array], point: Mapping[Any, Array]) -> Array:
    """Differences and sums of `V` at `+z` and `-z`, `[2, F, *B, n, BLOCK]`."""
    centre, middle, first, step = (point[name][:, None] for name in ("centre", "middle", "first", "step"))
    k, width = row["k"], row["width"]

    def add(block: Array, total: Array) -> Array:
        # x - centre = k (sinh(middle + e) - sinh(middle)) without cancellation: the window is narrow where 1 - rho is small
        e = first + step * (block * BLOCK + jnp.arange(BLOCK))
        growth = jnp.exp(middle + e / 2)
        half = jnp.expm1(e / 2)
        shift = k / 2 * (growth + 1 / growth) * (half + half / (1 + half))
        x = centre + shift
        weight = step * jnp.sqrt(x**2 + k**2) / width * _density(shift / width)
        return total + (_at_both(evaluate, deviations[..., None], x) * weight).sum(-1)

    functions = jax.eval_shape(evaluate, deviations).shape[0]
    zeros = jnp.zeros((functions, 2, *deviations.shape, BLOCK), deviations.dtype)
    plus, minus = jnp.moveaxis(jax.lax.fori_loop(0, row["blocks"].astype(jnp.int32), add, zeros), 1, 0)
    return jnp.stack([plus - minus, plus + minus])


def _at_both(evaluate: Evaluate, deviations: Array, x: Array) -> Array:
    """Functions at `+s x` and `-s x`, `[F, 2, ...]`; the last axis of `x` is a new one."""
    u = deviations[..., None] * x
    return evaluate(jnp.stack([u, -u]))


def _density(x: Array) -> Array:
    return jnp.exp(-(x**2) / 2) / (2 * jnp.pi) ** 0.5


def _level(grids: Grids, deviations: Array) -> Mapping[Any, Array]:
    """The row of the first level that reaches the largest standard deviation, else of the last one."""
    levels = jnp.asarray(grids.levels, deviations.dtype)
    index = (levels[:-1, 0] < deviations.max()).sum()  # NaN: the first
    return dict(zip(LEVEL, levels[index], strict=True))
