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

Where a probability is tiny, a column of `S` is tiny and the entry of `r` large, and only `S r = p - y` is of ordinary size. The
reflection therefore moves the most probable class: each column of `S` then carries the root of one other class's probability
as a factor, all of its entries alike, and `S r` is `p - y` to rounding however far the logits are apart.

Probabilities below `tiny ** FLOOR` enter `H` (not `p - y`) as that number, since their roots must not be 0. Beside any damping it is
nothing: `H` changes by less than `1e-245` in float64 (`1e-30` in float32). A step that divides by `H` alone (`Fisher.needs_curvature`)
is not defined there: `check_start` refuses it, and later in a run it is NaN.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ntkng.kernels.kernels import Gram, Kernels, LayerKernels
from ntkng.layers.record import LayerRecord

if TYPE_CHECKING:
    from ntkng.fisher.base import Fisher

Need = Literal["nowhere", "somewhere", "everywhere"]
FLOOR = 0.8  # power of the smallest normal number, so that sums of squares of r are still finite
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
    loss: str, outputs: Float[Array, "N C"], targets: Float[Array, "N C"], needs_curvature: Need = "nowhere"
) -> tuple[Float[Array, "N C R"], Float[Array, "N R"]]:
    """`S` and `r` of the table in the module.

    Args:
        loss: `"softmax"` or `"logistic"`.
        outputs: `f`.
        targets: `y`.
        needs_curvature: of the approximation; where curvature is needed and has vanished `r` is NaN.
    """
    if loss == "logistic":
        p, rest = jax.nn.sigmoid(outputs), jax.nn.sigmoid(-outputs)
        root = jnp.sqrt(jnp.maximum(p * rest, _floor(outputs)))
        gap = (1 - targets) * p - targets * rest
        factor, residual = root[..., None] * jnp.eye(outputs.shape[-1], dtype=outputs.dtype)[None], gap / root
        return factor, jnp.where(_vanished(p * rest, needs_curvature), jnp.nan, residual)
    if loss != "softmax":
        raise ValueError(f"loss {loss!r} needs no whitening, or is unknown; {EXPECTED}")
    p, pivot = jax.nn.softmax(outputs, axis=-1), outputs.argmax(axis=-1)
    is_pivot = jax.nn.one_hot(pivot, outputs.shape[-1], dtype=bool)
    rest = jnp.where(is_pivot, jnp.where(is_pivot, 0, p).sum(axis=-1, keepdims=True), 1 - p)
    gap = (targets.sum(axis=-1, keepdims=True) - targets) * p - targets * rest  # p - y without cancellation
    root, others = jnp.sqrt(jnp.maximum(p, _floor(outputs))), _others(pivot, outputs.shape[-1])
    own, own_p, own_gap = (jnp.take_along_axis(part, others, axis=-1) for part in (root, p, gap))
    first, first_gap = (jnp.take_along_axis(part, pivot[:, None], axis=-1) for part in (root, gap))
    # from S r = p - y by hand: no difference of large numbers, whichever class has the tiny probability
    residual = own_gap / own - own * first_gap / (first * (1 + first))
    residual = jnp.where(_vanished(own_p, needs_curvature), jnp.nan, residual)
    return root[:, :, None] * complement(root, pivot), residual


def complement(unit: Float[Array, "N C"], pivot: Int[Array, "N"] | None = None) -> Float[Array, "N C R"]:
    """Orthonormal bases of the complements of unit vectors with entries >= 0, `R = C - 1`, by Householder reflections.

    The reflection that takes `q` to `-e_k` has the columns `e_c - v v_c / (1 + q_k)`, `v = q + e_k`; all but the k-th span the
    complement.

    Args:
        unit: `q`.
        pivot: `k`, the largest entry by default.
    """
    unit = unit / jnp.linalg.norm(unit, axis=-1, keepdims=True)
    pivot = unit.argmax(axis=-1) if pivot is None else pivot
    others, size = _others(pivot, unit.shape[-1]), unit.shape[-1]
    reflector = unit + jax.nn.one_hot(pivot, size, dtype=unit.dtype)
    scaled = jnp.take_along_axis(unit, others, axis=-1) / (1 + jnp.take_along_axis(unit, pivot[:, None], axis=-1))
    identity = jnp.swapaxes(jax.nn.one_hot(others, size, dtype=unit.dtype), -1, -2)
    return identity - reflector[:, :, None] * scaled[:, None, :]


def _others(pivot: Int[Array, "N"], size: int) -> Int[Array, "N R"]:
    """All classes but the pivot; the last one takes its place."""
    classes = jnp.arange(size - 1)[None, :]
    return jnp.where(classes == pivot[:, None], size - 1, classes)


def check_start(
    loss: str, fisher: Fisher, kernels: Kernels, outputs: Float[Array, "N C"], targets: Float[Array, "N C"]
) -> None:
    """Name what is singular before a loop, inside of which nothing is inspected.

    Raises:
        ValueError: undamped, and a Gram that is singular, or a loss whose curvature underflows; the message says where.
    """
    if loss == "mse":
        fisher.at(outputs - targets).check(kernels)
        return
    factor, residual = whiten(loss, outputs, targets, fisher.needs_curvature)
    lost = np.flatnonzero(np.isnan(np.asarray(residual)).any(axis=-1))
    if lost.size and np.isfinite(np.asarray(outputs)).all():
        logits = np.append(np.asarray(outputs)[lost[0]], [0.0] if loss == "logistic" else [])
        raise ValueError(
            f"the logits of sample {lost[0]} are {np.ptp(logits):.4g} apart, where the curvature of the {loss} loss vanishes in "
            f"{outputs.dtype}, by which {fisher} divides; use damping > 0 (not relative to the curvature), or start from smaller "
            "logits (scale the inputs or the weights)"
        )
    fisher.at(residual).check(whiten_kernels(kernels, factor))


def _vanished(curvature: Float[Array, "N R"], need: Need) -> Bool[Array, "N 1"]:
    """Samples on which the step needs curvature that is below the floor."""
    floor = _floor(curvature)
    if need == "everywhere":
        return (curvature <= floor).any(axis=-1, keepdims=True)
    if need == "somewhere":  # relative to the mean over samples, beside which the floor must be nothing
        return jnp.full((len(curvature), 1), curvature.max() <= floor / jnp.finfo(curvature.dtype).eps)
    return jnp.zeros((len(curvature), 1), bool)


def _floor(outputs: Array) -> float:
    return float(jnp.finfo(outputs.dtype).tiny) ** FLOOR


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
        blocks = part.reshape(-1, 1, positions, samples, 1, positions) * identity[None, :, None, None, :, None]
    else:
        blocks = part
    blocks = blocks.reshape(-1, samples, outputs, positions)
    product = jnp.einsum("kmdt,mdq->kmqt", blocks, factor, precision="highest")
    return product.reshape(len(blocks), -1)
