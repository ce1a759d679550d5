r"""Any loss as the squared loss in other output coordinates.

With logits `f` and mean `p = mu(f)` (softmax or sigmoid), the loss gradient is `p - y`, and the Fisher matrix is
`F = J^T H J / N` with `H = blockdiag(H_n)`, `H_n = diag(p_n) - p_n p_n^T`. Write `H_n = S_n S_n^T` with `S_n` of full column rank
`R`, and `p - y = S r`. Then

    F = J~^T J~ / N,   gradient = J~^T r / N,   J~ = S^T J

have the form they have for the squared loss (`F = J^T J / N`, gradient `J^T (f - y) / N`), with outputs `S^T f` in place of
`f`. Hence every Fisher approximation applies, on layer kernels `S^T Theta_l S` and backward signals `S^T delta_l`.

| loss | `S_n` | `R` | `r_n` |
|---|---|---|---|
| squared | `I` | C | `f - y` |
| logistic | `sqrt(p (1 - p))` | 1 | `(p - y) / sqrt(p (1 - p))` |
| softmax | `diag(sqrt p) Q` | C - 1 | `Q^T (p - y) / sqrt p` |

`Q`, `[C, C - 1]`, is an orthonormal basis of the complement of the unit vector `sqrt p`, from a Householder reflection: `H_n` is
singular along `1_C`, exactly, and `R = C - 1` leaves that direction out without any tolerance.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.kernels.kernels import Gram, Kernels, LayerKernels
from ntkng.layers.record import LayerRecord

EXPECTED = "expected 'mse', 'softmax' or 'logistic'"


def mean(loss: str, outputs: Float[Array, "*batch N C"]) -> Float[Array, "*batch N C"]:
    """`mu(f)`: the outputs themselves (squared loss), `softmax(f)`, or `sigma(f)`."""
    if loss == "softmax":
        return jax.nn.softmax(outputs, axis=-1)
    if loss == "logistic":
        return jax.nn.sigmoid(outputs)
    if loss == "mse":
        return outputs
    raise ValueError(f"unknown loss {loss!r}; {EXPECTED}")


def whiten(
    loss: str, outputs: Float[Array, "N C"], targets: Float[Array, "N C"]
) -> tuple[Float[Array, "N C R"], Float[Array, "N R"]]:
    """`S` and `r` of the table in the module.

    Args:
        loss: `"softmax"` or `"logistic"`.
        outputs: `f`.
        targets: `y`.
    """
    if loss == "logistic":
        root = jnp.sqrt(jax.nn.sigmoid(outputs) * jax.nn.sigmoid(-outputs))
        # p - y without cancellation for hard labels
        gap = (1 - targets) * jax.nn.sigmoid(outputs) - targets * jax.nn.sigmoid(-outputs)
        return root[..., None] * jnp.eye(outputs.shape[-1], dtype=outputs.dtype), gap / root
    if loss != "softmax":
        raise ValueError(f"loss {loss!r} needs no whitening, or is unknown; {EXPECTED}")
    root = jnp.sqrt(jax.nn.softmax(outputs, axis=-1))
    basis = complement(root)
    ratio = root - jnp.where(targets == 0, 0.0, targets / root)
    return root[:, :, None] * basis, jnp.einsum("ncr,nc->nr", basis, ratio, precision="highest")


def complement(unit: Float[Array, "N C"]) -> Float[Array, "N C R"]:
    """Orthonormal bases of the complements of unit vectors with entries >= 0, `R = C - 1`, by Householder reflections.

    The reflection that takes `q` to `-e_C` has the columns `e_c - v v_c / (1 + q_C)`, `v = q + e_C`; all but the last span the
    complement.
    """
    unit = unit / jnp.linalg.norm(unit, axis=-1, keepdims=True)
    outputs = unit.shape[-1]
    identity = jnp.eye(outputs, dtype=unit.dtype)
    reflector = unit + identity[-1]
    scaled = reflector[:, :-1] / (1 + unit[:, -1:])
    return identity[:, :-1] - reflector[:, :, None] * scaled[:, None, :]


def whiten_records(records: tuple[LayerRecord, ...], factor: Float[Array, "N C R"]) -> tuple[LayerRecord, ...]:
    """Backward signals `S^T delta`, so that everything downstream sees the outputs `S^T f`."""

    def one(record: LayerRecord) -> LayerRecord:
        weights = factor.astype(record.deltas.dtype)
        deltas = jnp.einsum("ncr,nc...->nr...", weights, record.deltas, precision="highest")
        return dataclasses.replace(record, deltas=deltas)

    return tuple(one(record) for record in records)


def whiten_kernels(kernels: Kernels, factor: Float[Array, "N C R"]) -> Kernels:
    """`S^T Theta_l S` and `S^T B_l S` among training inputs, `Theta'_l S` and `B'_l S` across.

    The rows of the cross Grams keep their logits: with a Fisher approximation's `K'` of these kernels the function on the
    cross inputs moves by `-eta K' r`.

    Args:
        kernels: of all training inputs in `factor`.
        factor: `S`.
    """
    samples, outputs, rank = factor.shape
    if (kernels.samples, kernels.outputs) != (samples, outputs):
        raise ValueError(
            f"the factor is for N = {samples}, C = {outputs}, the kernels have N = {kernels.samples}, "
            f"C = {kernels.outputs}; pass kernels of the same inputs"
        )

    def gram(old: Gram, positions: int) -> Gram:
        train = _columns(old.train, kernels, positions, factor).reshape(samples, outputs, positions, -1)
        train = jnp.einsum("ncr,ncsk->nrsk", factor, train, precision="highest").reshape(samples * rank * positions, -1)
        return Gram(train, None if old.cross is None else _columns(old.cross, kernels, positions, factor))

    def layer(old: LayerKernels) -> LayerKernels:
        backward = None if old.backward is None else gram(old.backward, old.positions)
        return dataclasses.replace(old, theta=gram(old.theta, 1), backward=backward, units=None)

    layers = tuple(layer(old) for old in kernels.layers)
    return mark(Kernels(layers, None, None, samples, rank, kernels.source))


def mark(kernels: Kernels) -> Kernels:
    """The same kernels, with the note that the output layer's backward signal is `S^T` and no longer the identity."""

    def one(layer: LayerKernels) -> LayerKernels:
        is_marked = layer.is_output or layer.is_whitened_output
        return dataclasses.replace(layer, is_output=False, is_whitened_output=is_marked)

    return dataclasses.replace(kernels, layers=tuple(one(layer) for layer in kernels.layers))


def _columns(part: Array, kernels: Kernels, positions: int, factor: Float[Array, "N C R"]) -> Float[Array, "m NRS"]:
    """`G S`, with `kron I_C` on both sides first where only one of C independent outputs is stored."""
    samples, outputs, _ = factor.shape
    if kernels.block < outputs:
        identity = jnp.eye(outputs, dtype=part.dtype)
        blocks = part.reshape(-1, 1, positions, samples, 1, positions) * identity[:, None, None, :, None]
    else:
        blocks = part
    blocks = blocks.reshape(-1, samples, outputs, positions)
    product = jnp.einsum("kmdt,mdq->kmqt", blocks, factor, precision="highest")
    return product.reshape(len(blocks), -1)
