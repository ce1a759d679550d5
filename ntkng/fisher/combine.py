"""From coefficients per sample and output to a layer's output cotangent."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.layers.record import LayerRecord


def combine(record: LayerRecord, coefficients: Float[Array, "N C"]) -> Float[Array, "N *S M"]:
    """`D[n] = sum_c v[n, c] delta[n, c]`: its pullback is `J_l^T v`."""
    coefficients = coefficients.reshape(record.samples, record.outputs).astype(record.deltas.dtype)
    if record.outputs == 1:
        weights = coefficients.reshape(-1, *[1] * (record.deltas.ndim - 2))
        return weights * record.deltas[:, 0]
    return jnp.einsum("nc,nc...->n...", coefficients, record.deltas, precision="highest")
