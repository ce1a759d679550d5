"""Jacobian rows and residuals in coordinates in which the Fisher information of every sample is the identity."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.families import Family, Softmax

__all__ = ["whitened_rows"]


def whitened_rows(
    family: Family,
    f: Float[np.ndarray, "N C"],
    J: Float[np.ndarray, "N C P"],
    residual: Float[np.ndarray, "N C"],
) -> tuple[Float[np.ndarray, "NK P"], Float[np.ndarray, " NK"]]:
    """`A = Lambda^{1/2} J` and `b = Lambda^{-1/2} residual`, so that `F = A^T A / N` and `J^T residual = A^T b`.

    The root is a Cholesky factor. Softmax uses the `K = C - 1` logits relative to the largest one, in which `Lambda` is
    invertible and keeps the digits of classes of tiny probability.

    Raises:
        RuntimeError: an output is so confident that its variance underflows.
    """
    variance = family.variance(f)
    if isinstance(family, Softmax):
        top = f.argmax(1)
        others = np.arange(f.shape[1] - 1) + (np.arange(f.shape[1] - 1) >= top[:, None])
        J = np.take_along_axis(J, others[:, :, None], 1) - np.take_along_axis(J, top[:, None, None], 1)
        residual = np.take_along_axis(residual, others, 1)
        variance = variance[np.arange(len(f))[:, None, None], others[:, :, None], others[:, None, :]]
    try:
        lower = np.linalg.cholesky(variance)
    except np.linalg.LinAlgError:
        worst = np.abs(f).max()
        raise RuntimeError(f"the variance of a saturated output is zero (largest |logit| {worst:.4g})") from None
    rows = np.einsum("nkc,ncp->nkp", np.swapaxes(lower, 1, 2), J)
    return rows.reshape(-1, J.shape[-1]), np.linalg.solve(lower, residual[..., None]).ravel()
