"""How far training has moved a network: loss change of an update, CKA of representations, cosine of kernels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.validation import real_array


def percent_loss_change(before: Float[np.ndarray, "..."], after: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """`100 (L(after) - L(before)) / L(before)` of one batch, before and after the update it caused.

    Gauss-Newton on the mean squared error with full row rank predicts `100 ((1 - eta L_b)^2 - 1)`. A loss of 0 that stays 0 has
    changed by 0 %, one that does not by infinitely many.
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(after == before, np.where(np.isfinite(before), 0.0, np.nan), 100 * ((after - before) / before))


def linear_cka(x: Float[np.ndarray, "N p"], y: Float[np.ndarray, "N q"]) -> float:
    """Linear centred kernel alignment `|Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)` of column-centred representations.

    It is 1 exactly when `y` is an orthogonal map times a scale of `x` (after centring), and lies in [0, 1].

    Raises:
        ValueError: different numbers of samples, or a constant representation.
    """
    x, y = (real_array(name, value, 2).astype(float) for name, value in (("x", x), ("y", y)))
    if len(x) != len(y):
        raise ValueError(f"got shapes {x.shape} and {y.shape}, expected [N, p] and [N, q] of the same samples")
    x, y = _centred("x", x), _centred("y", y)
    overlap = np.linalg.norm(y.T @ x) / np.linalg.norm(x.T @ x) ** 0.5 / np.linalg.norm(y.T @ y) ** 0.5
    return float(overlap**2)


def _centred(name: str, x: Float[np.ndarray, "N p"]) -> Float[np.ndarray, "N p"]:
    """Columns minus their means, the largest entry 1."""
    x = _normalised(x)
    centred = x - x.mean(0)
    if not np.abs(centred).max() > len(x) * np.finfo(float).eps:
        raise ValueError(
            f"{name} is constant over the samples: its alignment is not defined; compare representations that vary"
        )
    return _normalised(centred)


def _normalised(x: np.ndarray) -> np.ndarray:
    """A multiple of `x` whose squares neither overflow nor underflow."""
    largest = np.abs(x).max()
    return x / largest if largest > 0 else x


def kernel_cosine(kernel: Float[np.ndarray, "n n"], kernel_2: Float[np.ndarray, "n n"]) -> float:
    """Frobenius alignment `<K, K'> / (|K| |K'|)`.

    Raises:
        ValueError: different shapes, entries that are not finite, or a kernel that is 0.
    """
    return _cosine(*_pair(kernel, kernel_2))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    if not (np.any(a) and np.any(b)):
        raise ValueError("the alignment with 0 is not defined; pass kernels, and a probe, whose products are not 0")
    a, b = _normalised(a), _normalised(b)
    return float(np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def probe_cosine(
    kernel: Float[np.ndarray, "n n"], kernel_2: Float[np.ndarray, "n n"], probe: Float[np.ndarray, " n"]
) -> float:
    """`cos(K v, K' v)` for one probe `v`.

    The released code averages `K v` over random probes *before* it takes the cosine; by linearity that is one probe,
    their mean. For Gaussian `v` the values scatter about the Frobenius alignment.
    """
    a, b = _pair(kernel, kernel_2)
    v = real_array("probe", probe, 1)
    if len(v) != a.shape[1]:
        raise ValueError(f"probe must have {a.shape[1]} entries, got {len(v)}")
    v = _normalised(v)
    return _cosine(_normalised(a) @ v, _normalised(b) @ v)


def _pair(kernel, kernel_2) -> tuple[np.ndarray, np.ndarray]:
    a, b = (real_array(name, value, 2).astype(float) for name, value in (("kernel", kernel), ("kernel_2", kernel_2)))
    if a.shape != b.shape:
        raise ValueError(f"got shapes {a.shape} and {b.shape}, expected two matrices of one shape")
    return a, b
