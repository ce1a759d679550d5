r"""One block per channel of a layer whose weights are shared over S positions (Conv, or Dense with spatial axes).

The weights of channel `i` have the Jacobian `J_i[(n, c), k] = sum_s delta_i[n, c, s] a[n, s, k]`, so that their block is

    Theta_i[(n, c), (m, d)] = sum_{s, t} delta_i[n, c, s] A[(n, s), (m, t)] delta_i[m, d, t],

with the Gram `A` over samples and positions, and `Theta'_i` likewise. Unlike a block without positions it has rank N C in
general, so every channel takes an `N C x N C` solve:

    K = sum_i Theta'_i (Theta_i + s I)^{-1},
    J_i^T (Theta_i + s I)^{-1} r = sum_{n, s} D[n, s, i] a[n, s],   D[n, s, i] = sum_c v_i[n, c] delta_i[n, c, s],

with `v_i = (Theta_i + s I)^{-1} r`. Channels are taken a batch at a time.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.fisher.small_solves import in_batches, map_units, solve_small
from ntkng.fisher.solves import shifted, symmetric_part
from ntkng.kernels.kernels import Gram
from ntkng.kernels.units import Units

BLOCK_BYTES = 2**26


def kernel(inner: Gram, units: Units, shift: float | Array) -> Gram:
    """`sum_i Theta'_i (Theta_i + s I)^{-1}` on train and test inputs, `[N C, N C]` and `[N' C, N C]`, sample-major.

    Args:
        inner: `A` and `A'` over samples and positions, `[N S, N S]` and `[N' S, N S]`.
        units: of the layer, with positions.
        shift: `s = N rho`.
    """
    dtype = inner.train.dtype
    test = None if inner.cross is None or units.test is None else units.test.astype(dtype)
    batch = _batch(units.train.shape, 0 if test is None else test.shape[1], dtype.itemsize)
    return _sum(inner, units.train.astype(dtype), test, jnp.asarray(shift, dtype), batch)


def cotangents(
    inner: Float[Array, "NS NS"],
    deltas: Float[Array, "M N C S"],
    shift: Float[Array, ""],
    residual: Float[Array, "N C"],
) -> Float[Array, "N S M"]:
    """`D`: the output cotangent whose pullback is the layer's step (see the module)."""

    def one(delta: Float[Array, "N C S"]) -> Float[Array, "N S"]:
        solved = solve_small(shifted(symmetric_part(_block(inner, delta, delta)), shift), residual.reshape(-1, 1))
        return jnp.einsum("nc,ncs->ns", solved.reshape(residual.shape), delta, precision="highest")

    batch = _batch(deltas.shape, 0, inner.dtype.itemsize)
    return jnp.moveaxis(map_units(one, deltas.astype(inner.dtype), batch), 0, -1)


def _block(inner: Float[Array, "NS1 NS2"], rows: Float[Array, "N1 C S"], columns: Float[Array, "N2 C S"]) -> Array:
    """`Theta_i`, `[N1 C, N2 C]`."""
    (n, c, s), m = rows.shape, columns.shape[0]
    half = jnp.einsum("nsmt,mdt->nsmd", inner.reshape(n, s, m, s), columns, precision="highest")
    return jnp.einsum("ncs,nsmd->ncmd", rows, half, precision="highest").reshape(n * c, -1)


@functools.partial(jax.jit, static_argnums=4)
def _sum(
    inner: Gram, train: Float[Array, "M N C S"], test: Float[Array, "M N2 C S"] | None, shift: Array, batch: int
) -> Gram:
    def one(deltas: tuple[Array, Array | None]) -> Gram:
        own, other = deltas
        block = _block(inner.train, own, own)
        system = shifted(symmetric_part(block), shift)
        cross = None
        if other is not None and inner.cross is not None:
            cross = solve_small(system, _block(inner.cross, other, own).T).T
        return Gram(solve_small(system, block).T, cross)

    def add(total: Gram, deltas: tuple[Array, Array | None]) -> tuple[Gram, None]:
        return jax.tree.map(lambda old, new: old + new.sum(axis=0), total, jax.vmap(one)(deltas)), None

    # channels that fill up the last batch have no signal, and contribute nothing
    blocks = jax.tree.map(lambda deltas: in_batches(deltas, batch), (train, test))
    first = jax.eval_shape(lambda deltas: jax.vmap(one)(deltas), jax.tree.map(lambda part: part[0], blocks))
    start = jax.tree.map(lambda part: jnp.zeros(part.shape[1:], part.dtype), first)
    return jax.lax.scan(add, start, blocks)[0]


def _batch(shape: tuple[int, ...], tests: int, itemsize: int) -> int:
    """Channels at a time, such that their intermediate results fit into `BLOCK_BYTES`."""
    channels, samples, outputs, positions = shape
    per_channel = (samples + tests) * samples * outputs * (positions + 4 * outputs) * itemsize
    return int(max(1, min(channels, BLOCK_BYTES // per_channel)))
