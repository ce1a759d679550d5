"""The contractions of a layer, chosen by its kind; a layer without its own falls back on automatic differentiation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.layers import affine, affine_gram, generic
from ntkng.layers.record import LayerRecord


def gram(rows: LayerRecord, columns: LayerRecord) -> Float[Array, "NC1 NC2"]:
    r"""Layer NTK `Theta_l = J_l(x1) J_l(x2)^T`, `[N1 C, N2 C]`, sample-major, without `1/N`.

    Dense layers: `Theta_l = (A_{l-1} kron 1_{C x C}) o B_l` (elementwise product). Convolutions, and dense layers with
    spatial axes, sum it over pairs of positions (`ntkng.layers.affine_gram`). Others: one reverse and one forward pass per
    column (`ntkng.layers.generic`).
    """
    if affine.applies(rows):
        view = affine.view(rows)
        return affine_gram.gram(view, view if columns is rows else affine.view(columns))
    return generic.gram(rows, columns)


def kronecker_factors(rows: LayerRecord, columns: LayerRecord) -> tuple[Array, Array] | None:
    """Input Gram `A_{l-1}` `[N1 S, N2 S]` and backward Gram `B_l` `[N1 C S, N2 C S]` over samples and positions.

    `None` for a layer that has no such factors.
    """
    if affine.has_factors(rows.tag.kind):
        view = affine.view(rows)
        return affine_gram.kronecker_factors(view, view if columns is rows else affine.view(columns))
    return None


def pullback(record: LayerRecord, cotangents: Float[Array, "N *S M"]) -> Any:
    """Gradient by the layer's parameters of `sum(cotangents * u_l)`: `J_l^T v` for `cotangents = sum_c v[c] delta[c]`."""
    _, vjp = jax.vjp(lambda parameters: record.tag.apply_fn(parameters, record.inputs), record.parameters)
    return vjp(cotangents)[0]


def pushforward(record: LayerRecord, gradient: Any) -> Float[Array, "N C"]:
    """`J_l g`: the change of the outputs, to first order, when the layer's parameters change by `gradient`."""
    _, tangent = jax.jvp(
        lambda parameters: record.tag.apply_fn(parameters, record.inputs), (record.parameters,), (gradient,)
    )
    return jnp.einsum("nc...,n...->nc", record.deltas, tangent, precision="highest")
