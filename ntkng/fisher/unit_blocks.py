r"""Solves with the Fisher blocks of single units, a bounded batch of units at a time.

The block of unit `i` of a dense layer has the Gram `Theta_i = (delta_i delta_i^T) o (A kron 1_{C x C})`, `N C x N C` but of
rank N at most. With `q_n = |delta_i[n]|` (norm over outputs), `Q = diag(q)`, unit vectors `e_n = delta_i[n] / q_n` (0 where
`q_n = 0`) and `E` the `N C x N` matrix of the `e_n`, it is `E Q A Q E^T`, so that everything is an `N x N` solve:

    Theta'_i (Theta_i + s I)^{-1} = Delta'_i A' Q (Q A Q + s I)^{-1} E^T,
    J_i^T (Theta_i + s I)^{-1} r  = a^T Q (Q A Q + s I)^{-1} E^T r.

The cost does not grow with C, apart from the products with `E`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.fisher.small_solves import solve_small
from ntkng.kernels.units import Units

BLOCK_BYTES = 2**26


def kernel(
    inner: Float[Array, "N3 N"], units: Units, shift: float | Array, *, independent: bool
) -> Float[Array, "groups N3_k N_k"]:
    r"""`sum_i Theta'_i (Theta_i + s I)^{-1}` on all inputs, once per group of units; each group stands for the layer.

    Args:
        inner: `A` between all inputs (training, then test) and training inputs.
        units: of the layer.
        shift: `s = N rho`.
        independent: the units' distribution is symmetric in the outputs, so that the expectation is `K kron I_C`: return
            `K`, `[N3, N]`, the mean over outputs of the diagonal blocks. Else `[N3 C, N C]`, sample-major.
    """
    everywhere = units.both.astype(inner.dtype)
    batch = _batch(inner, everywhere, independent)
    grouped = everywhere.reshape(units.groups, -1, *everywhere.shape[1:])
    sums = _sums(inner, grouped, jnp.asarray(shift, inner.dtype), batch, independent)
    return units.weight * units.groups * sums


def cotangents(
    inner: Float[Array, "N N"], deltas: Float[Array, "N C M"], shift: Float[Array, ""], residual: Float[Array, "N C"]
) -> Float[Array, "N M"]:
    """`Q (Q A Q + s I)^{-1} E^T r` for every unit: the output cotangent whose pullback is the layer's step."""

    def one(delta: Float[Array, "N C"]) -> Float[Array, "N"]:
        norms, directions = _polar(delta)
        right = (directions * residual).sum(axis=-1)
        return norms * _solve(inner, norms, shift, right[:, None])[:, 0]

    per_unit = 3 * inner.size * inner.dtype.itemsize
    units = jnp.moveaxis(deltas.astype(inner.dtype), -1, 0)
    return jax.lax.map(one, units, batch_size=max(1, BLOCK_BYTES // per_unit)).T


def _polar(delta: Float[Array, "N C"]) -> tuple[Float[Array, "N"], Float[Array, "N C"]]:
    """Norms over outputs and unit vectors; both 0 where `delta` is."""
    norms = jnp.abs(delta[:, 0]) if delta.shape[1] == 1 else jnp.sqrt((delta**2).sum(axis=1))
    return norms, delta / jnp.where(norms > 0, norms, 1)[:, None]


def _solve(inner: Array, norms: Array, shift: Array, right: Float[Array, "N k"]) -> Float[Array, "N k"]:
    system = norms[:, None] * inner * norms + shift * jnp.eye(len(inner), dtype=inner.dtype)
    return solve_small(system, right)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _sums(
    inner: Float[Array, "N3 N"], grouped: Float[Array, "groups S N3 C"], shift: Array, batch: int, independent: bool
) -> Array:
    """Sum over the units of each group."""
    samples = inner.shape[1]
    count = -(-grouped.shape[1] // batch)
    padded = jnp.pad(grouped, [(0, 0), (0, count * batch - grouped.shape[1]), (0, 0), (0, 0)])  # zeros contribute 0

    def weights(delta: Float[Array, "N3 C"]) -> tuple[Array, Array]:
        norms, directions = _polar(delta[:samples])
        return _solve(inner[:samples], norms, shift, norms[:, None] * inner.T).T, directions

    def add(total: Array, deltas: Float[Array, "batch N3 C"]) -> tuple[Array, None]:
        solved, directions = jax.vmap(weights)(deltas)
        if independent:
            overlaps = jnp.einsum("inc,imc->inm", deltas, directions, precision="highest")
            return total + (overlaps * solved).sum(axis=0) / deltas.shape[-1], None
        left = deltas[:, :, :, None] * solved[:, :, None, :]
        return total + jnp.einsum("incm,imd->ncmd", left, directions, precision="highest"), None

    outputs = grouped.shape[-1]
    shape = inner.shape if independent else (inner.shape[0], outputs, samples, outputs)
    start = jnp.zeros(shape, inner.dtype)
    blocks = padded.reshape(len(grouped), count, batch, *grouped.shape[2:])
    sums = jax.lax.map(lambda block: jax.lax.scan(add, start, block)[0], blocks)
    return sums if independent else sums.reshape(len(grouped), inner.shape[0] * outputs, samples * outputs)


def _batch(inner: Array, deltas: Float[Array, "S N3 C"], independent: bool) -> int:
    """Units at a time, such that their intermediate results fit into `BLOCK_BYTES`."""
    everywhere, samples = inner.shape
    outer = everywhere * samples * (1 if independent else deltas.shape[-1])
    per_unit = (3 * samples**2 + 2 * everywhere * samples + outer) * inner.dtype.itemsize
    return int(max(1, min(len(deltas), BLOCK_BYTES // per_unit)))
