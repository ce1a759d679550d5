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

from ntkng.fisher.small_solves import in_batches, map_units, solve_small
from ntkng.fisher.solves import shifted, solve
from ntkng.fisher.unit_iterations import solve_units
from ntkng.kernels.kernels import Gram
from ntkng.kernels.units import Units

BLOCK_BYTES = 2**26


def kernel(inner: Gram, units: Units, shift: float | Array, *, independent: bool) -> Gram:
    r"""`sum_i Theta'_i (Theta_i + s I)^{-1}` on train and test inputs, once per group of units, on a leading axis.

    Each group stands for the whole layer.

    Args:
        inner: `A` and `A'`.
        units: of the layer; test units may have other outputs than training units (logits next to whitened ones).
        shift: `s = N rho`.
        independent: the units' distribution is symmetric in the outputs, so that the expectation is `K kron I_C`: return
            `K`, `[groups, N, N]` and `[groups, N', N]`, the mean over outputs of the diagonal blocks. Else
            `[groups, N C, N C]` and `[groups, N' C, N C]`, sample-major.
    """
    dtype = inner.train.dtype
    grouped = jax.tree.map(
        lambda deltas: deltas.astype(dtype).reshape(units.groups, -1, *deltas.shape[1:]), (units.train, units.test)
    )
    batch = _batch(inner, units, independent)
    sums = _sums(inner, grouped, jnp.asarray(shift, dtype), batch, independent)
    return sums.map(lambda part: units.weight * units.groups * part)


def cotangents(
    inner: Float[Array, "N N"], deltas: Float[Array, "N C M"], shift: Float[Array, ""], residual: Float[Array, "N C"]
) -> Float[Array, "N M"]:
    """`Q (Q A Q + s I)^{-1} E^T r` for every unit: the output cotangent whose pullback is the layer's step.

    By conjugate gradients for all units at once; should they not reach their tolerance, by factorisations, a batch of units at a
    time.
    """
    deltas = deltas.astype(inner.dtype)
    norms, directions = jax.vmap(_polar, in_axes=-1, out_axes=-1)(deltas)
    right = (directions * residual[:, :, None]).sum(axis=1)
    solved, is_solved = solve_units(inner, norms, shift, right)

    def factorise() -> Float[Array, "N M"]:
        def one(unit: tuple[Array, Array]) -> Float[Array, "N"]:
            return solve(unit[0][:, None] * inner * unit[0][None], shift, unit[1][:, None])[:, 0]

        per_unit = 3 * inner.size * inner.dtype.itemsize
        return map_units(one, (norms.T, right.T), max(1, BLOCK_BYTES // per_unit)).T

    return norms * jax.lax.cond(is_solved, lambda: solved, factorise)


def _polar(delta: Float[Array, "N C"]) -> tuple[Float[Array, "N"], Float[Array, "N C"]]:
    """Norms over outputs and unit vectors; both 0 where `delta` is."""
    norms = jnp.abs(delta[:, 0]) if delta.shape[1] == 1 else jnp.sqrt((delta**2).sum(axis=1))
    return norms, delta / jnp.where(norms > 0, norms, 1)[:, None]


def _solve(inner: Array, norms: Array, shift: Array, right: Float[Array, "N k"]) -> Float[Array, "N k"]:
    return solve_small(shifted(norms[:, None] * inner * norms[None], shift), right)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _sums(inner: Gram, grouped: tuple[Array, Array | None], shift: Array, batch: int, independent: bool) -> Gram:
    """Sum over the units of each group, a batch of units at a time."""
    *_, samples, outputs = grouped[0].shape

    def solved(delta: Float[Array, "N C"]) -> tuple[Gram, Array]:
        norms, directions = _polar(delta)
        inverse = _solve(inner.train, norms, shift, jnp.diag(norms)).T
        return inner.map(lambda gram: jnp.matmul(gram, inverse, precision="highest")), directions

    def add(total: Gram, deltas: tuple[Array, Array | None]) -> tuple[Gram, None]:
        weights, directions = jax.vmap(solved)(deltas[0])
        parts = [(weights.train, deltas[0])]
        if weights.cross is not None and deltas[1] is not None:
            parts.append((weights.cross, deltas[1]))
        return jax.tree.map(jnp.add, total, Gram(*[_contract(*part, directions, independent) for part in parts])), None

    def zeros(deltas: Array) -> Array:
        rows, columns = (deltas.shape[2:], (samples, outputs))
        shape = (rows[0], samples) if independent else (rows[0] * rows[1], columns[0] * columns[1])
        return jnp.zeros(shape, inner.train.dtype)

    start = Gram(*[zeros(deltas) for deltas in grouped if deltas is not None])
    # units that fill up the last batch have no signal, and contribute nothing
    blocks = jax.tree.map(jax.vmap(lambda deltas: in_batches(deltas, batch)), grouped)
    return jax.lax.map(lambda block: jax.lax.scan(add, start, block)[0], blocks)


def _contract(
    weights: Float[Array, "b M N"], deltas: Float[Array, "b M D"], directions: Float[Array, "b N C"], independent: bool
) -> Array:
    """Sum over units of `delta_i[m, d] W_i[m, n] e_i[n, c]`."""
    if independent:
        overlaps = jnp.einsum("imc,inc->imn", deltas, directions, precision="highest")
        return (overlaps * weights).sum(axis=0) / deltas.shape[-1]
    left = deltas[:, :, :, None] * weights[:, :, None, :]
    total = jnp.einsum("imdn,inc->mdnc", left, directions, precision="highest")
    return total.reshape(deltas.shape[1] * deltas.shape[2], -1)


def _batch(inner: Gram, units: Units, independent: bool) -> int:
    """Units at a time, such that their intermediate results fit into `BLOCK_BYTES`."""
    samples = len(inner.train)
    rows = samples + (0 if inner.cross is None else len(inner.cross))
    outputs = 1 if independent else units.train.shape[-1]
    per_unit = (4 * samples**2 + (1 + 2 * outputs) * rows * samples) * inner.train.dtype.itemsize
    return int(max(1, min(len(units.train) // units.groups, BLOCK_BYTES // per_unit)))
