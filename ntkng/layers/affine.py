r"""Layers that apply one affine map at every position: Dense, with or without spatial axes.

With the input augmented by its bias, `a = [sigma_w h / sqrt(M), sigma_b]` in the NTK parametrisation and
`a = [h / sqrt(s), 1]` in the standard one, the layer is
 `u[n, s] = W a[n, s]`, so `J[(n, c)] = sum_s delta[n, c, s] (outer) a[n, s]`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.layers.record import LayerRecord


def applies(record: LayerRecord) -> bool:
    """Whether the layer is of this kind."""
    arguments = record.tag.arguments
    if record.tag.kind != "Dense" or arguments["batch_axis"] != 0:
        return False
    return arguments["channel_axis"] in (-1, record.inputs.ndim - 1)


def scales(record: LayerRecord) -> tuple[float, float]:
    """Factors of the input and of the bias in `a`; the second is 0 without bias."""
    arguments = record.tag.arguments
    has_bias = arguments["b_std"] is not None
    if arguments["parameterization"].lower() == "ntk":
        return arguments["W_std"] / record.inputs.shape[-1] ** 0.5, arguments["b_std"] if has_bias else 0.0
    return arguments["s"][0] ** -0.5, float(has_bias)


def features(record: LayerRecord) -> Float[Array, "N S K"]:
    """Inputs scaled so that `a a^T` lacks only the bias term; positions flattened."""
    inputs = record.inputs.reshape(record.samples, -1, record.inputs.shape[-1])
    return scales(record)[0] * inputs


def kronecker_factors(rows: LayerRecord, columns: LayerRecord) -> tuple[Array, Array]:
    """`A = a a^T` `[N1, N2]` and `B = delta delta^T` `[N1 C, N2 C]`, for a layer without spatial axes."""
    weight, bias = scales(rows)
    inner = jnp.matmul(rows.inputs, columns.inputs.T, precision="highest")
    deltas = [record.deltas.reshape(-1, record.deltas.shape[-1]) for record in (rows, columns)]
    return weight**2 * inner + bias**2, jnp.matmul(deltas[0], deltas[1].T, precision="highest")


def gram(rows: LayerRecord, columns: LayerRecord) -> Float[Array, "NC1 NC2"]:
    """`sum over positions s, t of (a_s . a_t) (delta_s . delta_t)`, one row of samples at a time when there are positions."""
    if rows.inputs.ndim == 2:
        return kronecker_gram(*kronecker_factors(rows, columns))
    weight_rows, bias = features(rows), scales(rows)[1]
    weight_columns = features(columns)
    deltas = [r.deltas.reshape(r.samples, r.outputs, -1, r.deltas.shape[-1]) for r in (rows, columns)]

    def one(row: tuple[Array, Array]) -> Array:
        a, delta = row
        inner = jnp.einsum("sk,mtk->smt", a, weight_columns, precision="highest") + bias**2
        backward = jnp.einsum("csi,mdti->csmdt", delta, deltas[1], precision="highest")
        return jnp.einsum("smt,csmdt->cmd", inner, backward, precision="highest")

    blocks = jax.lax.map(one, (weight_rows, deltas[0]))
    return blocks.reshape(rows.samples * rows.outputs, columns.samples * columns.outputs)


def kronecker_gram(inner: Float[Array, "N1 N2"], backward: Float[Array, "NC1 NC2"]) -> Float[Array, "NC1 NC2"]:
    """`(A kron 1_{C x C}) o B` without forming the Kronecker product; C is the ratio of the sizes."""
    outputs = backward.shape[0] // inner.shape[0]
    if outputs == 1:
        return inner * backward
    blocks = backward.reshape(inner.shape[0], outputs, inner.shape[1], outputs)
    return (inner[:, None, :, None] * blocks).reshape(backward.shape)
