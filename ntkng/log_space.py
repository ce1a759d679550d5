"""Probabilities in log space, and sums of exponentials in which nothing cancels or overflows. NumPy float64."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

SERIES = 0.5  # below this the series of `exp(x) - 1 - x`; above it the difference loses three bits
TERMS = 18
OVERFLOW = 700.0  # of exponents


def log(x: np.ndarray) -> np.ndarray:
    """`log x`, where `log 0 = -inf` is meant."""
    with np.errstate(divide="ignore"):
        return np.log(x)


def weighted(weight: np.ndarray, value: np.ndarray) -> np.ndarray:
    """`w v`, and 0 where `w` is 0, however large `v` is."""
    return np.where(weight == 0, 0.0, weight) * np.where(weight == 0, 0.0, value)


def log_mixture(log_mean: np.ndarray, y: np.ndarray, log_decay: np.ndarray) -> np.ndarray:
    """`log(y + d (mu - y))` from `log mu` and `log d`, as the sum of the non-negative `(1 - d) y` and `d mu`."""
    log_d = np.asarray(log_decay, dtype=np.float64)[..., None, None]
    if np.any(log_d > 0):
        raise ValueError(f"log_decay must be <= 0, got {log_d.max():.4g}")
    return np.logaddexp(log(-np.expm1(log_d)) + log(y), log_d + log_mean)


def against_the_rest(f: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C"]:
    """`x_c = log sum_{k != c} e^{f_k - f_c}`, so that `p_c = sigma(-x_c)` and `1 - p_c = sigma(x_c)`, both accurate.

    For all classes but the most probable one the sum holds `e^0` of that, and leaving `e^{f_c}` out of the whole sum cancels
    nothing; for the most probable one it is the sum of the others.
    """
    f = np.asarray(f, dtype=np.float64)
    first = np.eye(f.shape[-1], dtype=bool)[f.argmax(-1)]
    largest = f.max(-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite differences of logits are infinite log-odds
        others = np.where(first, -np.inf, f - largest)
        weights = np.exp(others)
        rest = weights.sum(-1, keepdims=True)
        found = largest - f + np.log1p(np.maximum(rest - weights, 0))
        return np.where(first, np.asarray(logsumexp(others, axis=-1, keepdims=True)), found)


def excess(x: np.ndarray) -> np.ndarray:
    """`exp(x) - 1 - x >= 0` to relative rounding."""
    x = np.asarray(x, dtype=np.float64)
    small = np.where(np.abs(x) < SERIES, x, 0.0)
    total = np.zeros_like(small)
    for term in range(TERMS, 2, -1):
        total = (1 + total) * small / term
    with np.errstate(over="ignore"):
        return np.where(np.abs(x) < SERIES, small**2 / 2 * (1 + total), np.expm1(x) - x)


def difference(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`one - other` and its rounding error: their sum is exact."""
    found = one - other
    part = found - one
    return found, (one - (found - part)) - (other + part)


def log_partition_excess(
    log_p: Float[np.ndarray, "... C"], f: Float[np.ndarray, "... C"], other: Float[np.ndarray, "... C"]
) -> Float[np.ndarray, "..."]:
    """`log sum_c p_c e^{d_c} - sum_c p_c d_c` with `d = other - f`: the Kullback-Leibler divergence of two laws on the classes.

    With `d` measured from its mean, `sum_c p_c d_c = 0`, it is `log(1 + sum_c p_c (e^{d_c} - 1 - d_c))`: a sum of terms that are
    not negative.
    """
    moved, error = difference(other, f)
    first = log_p.argmax(-1)[..., None]
    # from the most probable class, in exact differences: a common shift of all logits is no change
    moved = (moved - np.take_along_axis(moved, first, -1)) + (error - np.take_along_axis(error, first, -1))
    p = np.exp(log_p)
    centred = moved - weighted(p, moved).sum(-1, keepdims=True)
    with np.errstate(over="ignore"):
        large = np.exp(np.minimum(log_p + centred, OVERFLOW)) - weighted(p, 1 + centred)
    terms = np.where(centred > 1, large, p * excess(np.minimum(centred, 1)))
    far = np.asarray(logsumexp(log_p + centred, axis=-1))
    return np.where((log_p + centred).max(-1) < OVERFLOW, np.log1p(terms.sum(-1)), far)
