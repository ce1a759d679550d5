r"""Layer NTKs of affine layers by contraction, without their Jacobian.

With shared weights, `Theta[(n, c), (m, d)] = sum_{s, t} (a[n, s] . a[m, t]) (delta[n, c, s] . delta[m, d, t])`, by the cheaper of

- pairs of positions: `O(N^2 S^2 (K + C^2 M))`, a block of rows at a time;
- units: `sum_i g_i g_i^T` with `g_i[(n, c), k] = sum_s delta[n, c, s, i] a[n, s, k]`, `O(N C S M K + N^2 C^2 M K)`, a block of
  units at a time.

Either way the blocks are chosen to fit into `BLOCK_BYTES`, whatever the number of parameters is. With one position this is
`(A kron 1_{C x C}) o B`. Weights that are not shared have no pairs of different positions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.layers.affine import AffineView
from ntkng.layers.symmetric import self_product

BLOCK_BYTES = 2**26


def gram(rows: AffineView, columns: AffineView) -> Float[Array, "NC1 NC2"]:
    """`Theta_l = J_l(x1) J_l(x2)^T`, sample-major, without `1/N`."""
    if rows.positions == 1:
        return kronecker_gram(*kronecker_factors(rows, columns))
    if not rows.is_shared:
        return _unshared(rows, columns)
    by_pairs, by_units = _operations(rows, columns)
    return _by_pairs(rows, columns) if by_pairs <= by_units else _by_units(rows, columns)


def kronecker_factors(rows: AffineView, columns: AffineView) -> tuple[Array, Array]:
    """`A = a a^T` `[N1 S, N2 S]` and `B = delta delta^T` `[N1 C S, N2 C S]`, over samples (outputs) and positions."""
    deltas = [view.deltas.reshape(-1, view.deltas.shape[-1]) for view in (rows, columns)]
    return input_gram(rows, columns), _product(deltas[0], deltas[1], rows is columns)


def input_gram(rows: AffineView, columns: AffineView) -> Float[Array, "N1S N2S"]:
    """`A = a a^T` over samples and positions."""
    features = [view.features.reshape(-1, view.features.shape[-1]) for view in (rows, columns)]
    return _product(features[0], features[1], rows is columns) + rows.bias**2


def _product(left: Float[Array, "n k"], right: Float[Array, "m k"], is_same: bool) -> Float[Array, "n m"]:
    return self_product(left) if is_same else jnp.matmul(left, right.T, precision="highest")


def kronecker_gram(
    inner: Float[Array, "NS1 NS2"], backward: Float[Array, "NCS1 NCS2"], positions: int = 1
) -> Float[Array, "NC1 NC2"]:
    """`(A kron 1_{C x C}) o B`, summed over pairs of positions, without forming the Kronecker product.

    C is the ratio of the sizes, of the rows and of the columns (which may differ, see `ntkng.whitening`).
    """
    outputs = [many // few for many, few in zip(backward.shape, inner.shape, strict=True)]
    if outputs == [1, 1] and positions == 1:
        return inner * backward
    samples = [size // positions for size in inner.shape]
    inner = inner.reshape(samples[0], 1, positions, samples[1], 1, positions)
    blocks = backward.reshape(samples[0], outputs[0], positions, samples[1], outputs[1], positions)
    return (inner * blocks).sum(axis=(2, 5)).reshape(samples[0] * outputs[0], samples[1] * outputs[1])


def _operations(rows: AffineView, columns: AffineView) -> tuple[int, int]:
    """Multiplications of the two methods."""
    (n, c, s, units), m, inputs = rows.deltas.shape, columns.deltas.shape[0], rows.features.shape[-1]
    return n * m * s**2 * (inputs + c**2 * (units + 1)), c * units * inputs * ((n + m) * s + n * m * c)


def _by_pairs(rows: AffineView, columns: AffineView) -> Array:
    def one(row: tuple[Array, Array]) -> Array:
        features, delta = row
        inner = jnp.einsum("sk,mtk->smt", features, columns.features, precision="highest") + rows.bias**2
        backward = jnp.einsum("csi,mdti->csmdt", delta, columns.deltas, precision="highest")
        return jnp.einsum("smt,csmdt->cmd", inner, backward, precision="highest")

    samples, outputs, positions, _ = columns.deltas.shape
    per_row = samples * (outputs * positions) ** 2 * columns.deltas.dtype.itemsize
    block = int(max(1, min(rows.features.shape[0], BLOCK_BYTES // (2 * per_row))))
    blocks = jax.lax.map(one, (rows.features, rows.deltas), batch_size=block)
    return blocks.reshape(-1, samples * outputs)


def _by_units(rows: AffineView, columns: AffineView) -> Array:
    views = (rows, columns)
    units, inputs = rows.deltas.shape[-1], rows.features.shape[-1]
    sizes = [view.deltas.shape[0] * view.deltas.shape[1] for view in views]
    block = int(max(1, min(units, BLOCK_BYTES // (sum(sizes) * inputs * rows.deltas.dtype.itemsize))))
    count = -(-units // block)

    def gradients(view: AffineView, delta: Array) -> Array:
        product = jnp.einsum("ncsi,nsk->ncik", delta, view.features, precision="highest")
        return product.reshape(delta.shape[0] * delta.shape[1], -1)

    def add(total: Array, deltas: tuple[Array, Array]) -> tuple[Array, None]:
        left, right = (gradients(view, delta) for view, delta in zip(views, deltas, strict=True))
        return total + jnp.matmul(left, right.T, precision="highest"), None

    summed = [view.deltas.sum(axis=2).reshape(size, units) for view, size in zip(views, sizes, strict=True)]
    start = rows.bias**2 * jnp.matmul(summed[0], summed[1].T, precision="highest")
    blocks = [_blocks_of_units(view.deltas, block, count) for view in views]
    return jax.lax.scan(add, start, (blocks[0], blocks[1]))[0]


def _blocks_of_units(deltas: Float[Array, "N C S M"], block: int, count: int) -> Float[Array, "blocks N C S block"]:
    """Units in blocks on a leading axis, the last one filled up with zeros."""
    padded = jnp.pad(deltas, [(0, 0)] * 3 + [(0, block * count - deltas.shape[-1])])
    return jnp.moveaxis(padded.reshape(*deltas.shape[:3], count, block), 3, 0)


def _unshared(rows: AffineView, columns: AffineView) -> Array:
    """`sum_s (A_s kron 1) o B_s`, one position at a time."""

    def add(total: Array, parts: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        features, delta, other_features, other_delta = parts
        inner = jnp.matmul(features, other_features.T, precision="highest") + rows.bias**2
        delta, other_delta = delta.reshape(-1, delta.shape[-1]), other_delta.reshape(-1, delta.shape[-1])
        return total + kronecker_gram(inner, jnp.matmul(delta, other_delta.T, precision="highest")), None

    features = [jnp.moveaxis(view.features, 1, 0) for view in (rows, columns)]
    deltas = [jnp.moveaxis(view.deltas, 2, 0) for view in (rows, columns)]
    sizes = [view.deltas.shape[0] * view.deltas.shape[1] for view in (rows, columns)]
    return jax.lax.scan(add, jnp.zeros(sizes, rows.deltas.dtype), (features[0], deltas[0], features[1], deltas[1]))[0]
