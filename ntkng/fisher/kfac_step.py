"""The K-FAC step of one layer, as an output cotangent: `(B + rho_B I)^{-1} (sum_n r delta (outer) a / N) (A + rho_A I)^{-1}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.fisher import kronecker
from ntkng.kernels.kernels import LayerKernels
from ntkng.layers import affine
from ntkng.layers.record import LayerRecord

if TYPE_CHECKING:
    from ntkng.fisher.kfac import KFAC

ROWS = 64  # roundings in a singular value


def cotangent(
    fisher: KFAC, layer: LayerKernels, record: LayerRecord, residual: Float[Array, "N C"]
) -> Float[Array, "N *S M"]:
    """`D` whose pullback `sum D[n, s] (outer) a[n, s]` is the step; the precision of the solves is that of the kernels."""
    if not affine.applies(record) or layer.dimensions == (0, 0):
        raise ValueError(
            f"K-FAC needs Kronecker factors, which layer {layer.name} does not have; use BlockDiagonal for this network"
        )
    dtype = layer.theta.train.dtype
    view = affine.view(record.astype(dtype))
    residual = residual.astype(dtype)
    tolerance = _tolerance(record.deltas.dtype, dtype)
    if layer.is_output:
        step = _output(fisher, layer, view, residual, tolerance)
    elif view.positions > 1 and fisher.sharing == "reduce":
        step = _reduced(fisher, layer, view, residual, tolerance)
    else:
        step = _expanded(fisher, layer, view, residual, tolerance)
    return affine.as_outputs(record, step.astype(record.deltas.dtype))


def _tolerance(own: Any, solve: Any) -> float | None:
    """Of pseudo-inverses: rows in less precision than the solves' have singular values below `ROWS eps` that are rounding."""
    epsilon = float(jnp.finfo(own).eps)
    return None if epsilon <= jnp.finfo(solve).eps else (ROWS * epsilon) ** 2


def _output(
    fisher: KFAC, layer: LayerKernels, view: affine.AffineView, residual: Array, tolerance: float | None
) -> Array:
    """The backward factor is `I_C`, or `I_C / N`: its inverse is a division."""
    samples, outputs = residual.shape
    rows = view.rows()
    rho_inner, rho_backward = fisher.factor_damping((rows**2).sum() / samples, outputs, layer.dimensions)
    weights = _input_weights(fisher, layer, rows, residual / samples, rho_inner, tolerance)
    scale = samples if fisher.last_layer == "paper" else 1
    return scale * weights / (1 + rho_backward)


def _expanded(
    fisher: KFAC, layer: LayerKernels, view: affine.AffineView, residual: Array, tolerance: float | None
) -> Array:
    samples = len(residual)
    divisor = samples * view.positions
    rows, deltas = view.rows(), view.deltas.reshape(-1, view.deltas.shape[-1])
    traces = (rows**2).sum() / samples, (deltas**2).sum() / divisor
    rho_inner, rho_backward = fisher.factor_damping(*traces, layer.dimensions)
    pseudo = fisher.is_pseudo or layer.is_whitened_output
    # the curvature of the loss is singular, its Gram of saturated samples has tiny rows: summed over samples it is neither
    is_narrow = deltas.shape[1] < deltas.shape[0] or (layer.is_whitened_output and not fisher.is_damped)
    scale = samples if layer.is_whitened_output and fisher.last_layer == "paper" else 1
    if is_narrow and (fisher.is_damped or pseudo):
        signals = kronecker.times_inverse(_signals(view, residual), deltas, divisor, rho_backward, tolerance)
        return scale * _input_weights(fisher, layer, rows, signals / samples, rho_inner, tolerance)
    # through the Gram of the backward signals: (Delta Delta^T + ..)^{-1} on the residuals spread over the samples' columns
    weights = _input_weights(fisher, layer, rows, jnp.eye(len(rows), dtype=rows.dtype), rho_inner, tolerance)
    spread = residual[:, :, None, None] * weights.reshape(samples, 1, view.positions, len(rows))
    known = jnp.matmul(deltas, deltas.T, precision="highest") if layer.backward is None else layer.backward.train
    spread = spread.reshape(len(deltas), len(rows))
    solved = kronecker.solve_or_pseudo(known, divisor * rho_backward, spread, pseudo, tolerance)
    return scale * view.positions * jnp.matmul(solved.T, deltas, precision="highest")


def _reduced(
    fisher: KFAC, layer: LayerKernels, view: affine.AffineView, residual: Array, tolerance: float | None
) -> Array:
    samples, outputs = residual.shape
    rows, positions = view.rows(), view.positions
    mean = kronecker.reduce_rows(rows, positions, total=False)
    total = view.deltas.sum(axis=2).reshape(samples * outputs, -1)
    traces = (mean**2).sum() / samples, (total**2).sum() / samples
    rho_inner, rho_backward = fisher.factor_damping(*traces, layer.dimensions)
    signals = kronecker.times_inverse(_signals(view, residual), total, samples, rho_backward, tolerance)
    return kronecker.reduced_row_weights(signals, rows, positions, samples, rho_inner, tolerance) / samples


def _input_weights(
    fisher: KFAC, layer: LayerKernels, rows: Array, weights: Array, damping: Any, tolerance: float | None
) -> Array:
    known = None if layer.inner is None else layer.inner.train
    samples = len(rows) // layer.positions
    return kronecker.row_weights(weights, rows, samples, damping, fisher.is_pseudo, known, tolerance)


def _signals(view: affine.AffineView, residual: Array) -> Float[Array, "NS M"]:
    """`sum_c r[n, c] delta[n, c, s]`."""
    signals = jnp.einsum("nc,ncsm->nsm", residual, view.deltas, precision="highest")
    return signals.reshape(-1, signals.shape[-1])
