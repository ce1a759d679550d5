"""Grams of any differentiable layer: a reverse and a forward pass per column, in chunks of columns.

Memory is that of a chunk of parameter gradients, not of the whole Jacobian; `Theta[:, (m, d)] = J (J^T e_{(m, d)})`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.layers.record import LayerRecord

CHUNK_BYTES = 2**27


def gram(rows: LayerRecord, columns: LayerRecord) -> Float[Array, "NC1 NC2"]:
    """Layer NTK by automatic differentiation of the layer alone."""
    apply_fn = rows.tag.apply_fn
    parameters = jax.tree.map(lambda leaf: leaf.astype(rows.inputs.dtype), rows.parameters)

    def column(sample: tuple[Array, Array]) -> Array:
        inputs, delta = sample
        _, vjp = jax.vjp(lambda p: apply_fn(p, inputs[None]), parameters)
        gradient = vjp(delta[None])[0]
        tangent = jax.jvp(lambda p: apply_fn(p, rows.inputs), (parameters,), (gradient,))[1]
        return jnp.einsum("nc...,n...->nc", rows.deltas, tangent, precision="highest")

    repeated = jnp.repeat(columns.inputs, columns.outputs, axis=0)
    deltas = columns.deltas.reshape(-1, *columns.deltas.shape[2:])
    per_column = _bytes(parameters) + 3 * _bytes(rows.deltas) // rows.outputs + _bytes(rows.inputs)
    chunk = max(1, min(len(deltas), CHUNK_BYTES // per_column))
    blocks = jax.lax.map(column, (repeated, deltas), batch_size=chunk)
    return blocks.reshape(len(deltas), -1).T


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
