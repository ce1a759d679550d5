"""How far training has moved a network: loss change of an update, CKA of representations, cosine of kernels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def percent_loss_change(before: Float[np.ndarray, "..."], after: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """`100 (L(after) - L(before)) / L(before)` of one batch, before and after the update it caused.

    Gauss-Newton on the mean squared error with full row rank predicts `100 ((1 - eta L_b)^2 - 1)`.
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    return 100 * (after - before) / before


def linear_cka(x: Float[np.ndarray, "N p"], y: Float[np.ndarray, "N q"]) -> float:
    """Linear centred kernel alignment `|Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)` of column-centred representations.

    It is 1 exactly when `y` is an orthogonal map times a scale of `x` (after centring), and lies in [0, 1].

    Raises:
        ValueError: different numbers of samples, or a constant representation.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"got shapes {x.shape} and {y.shape}, expected [N, p] and [N, q] of the same samples")
    x, y = x - x.mean(0), y - y.mean(0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    if scale == 0:
        raise ValueError("a representation is constant over the samples: its alignment is not defined")
    return float(np.linalg.norm(y.T @ x) ** 2 / scale)


def kernel_cosine(kernel: Float[np.ndarray, "n n"], kernel_2: Float[np.ndarray, "n n"]) -> float:
    """Frobenius alignment `<K, K'> / (|K| |K'|)`."""
    a, b = _pair(kernel, kernel_2)
    return float(np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def probe_cosine(
    kernel: Float[np.ndarray, "n n"], kernel_2: Float[np.ndarray, "n n"], probe: Float[np.ndarray, " n"]
) -> float:
    """`cos(K v, K' v)` for one probe `v`.

    The released code averages `K v` over random probes *before* it takes the cosine; by linearity that is one probe,
    their mean. For Gaussian `v` the values scatter about the Frobenius alignment.
    """
    a, b = _pair(kernel, kernel_2)
    u, w = a @ np.asarray(probe, dtype=np.float64), b @ np.asarray(probe, dtype=np.float64)
    return float(u @ w / (np.linalg.norm(u) * np.linalg.norm(w)))


def _pair(kernel, kernel_2) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(kernel, dtype=np.float64), np.asarray(kernel_2, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"got shapes {a.shape} and {b.shape}, expected two matrices of one shape")
    return a, b
