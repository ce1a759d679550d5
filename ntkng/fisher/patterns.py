"""The algebra of layer patterns `T` (symmetric, entries 0 or 1, ones on the diagonal), apart from any network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

TINY = 1e-9  # entries of T^{-1} 1 are ratios of small integers


def pattern_alpha(pattern: Float[np.ndarray, "L L"]) -> float | None:
    """`1^T T^+ 1`, or `None` where `T c = 1` has no solution and nothing converges as the damping vanishes."""
    ones = np.ones(len(pattern))
    solution = np.linalg.pinv(pattern, rcond=TINY, hermitian=True) @ ones
    return round(float(ones @ solution), 12) if np.allclose(pattern @ solution, ones, atol=TINY) else None


def isotropic_coefficients(pattern: Float[np.ndarray, "L L"]) -> Float[np.ndarray, "L"] | None:
    """`c = T^{-1} 1`, or `None` for a singular `T`."""
    if np.linalg.matrix_rank(pattern, tol=TINY) < len(pattern):
        return None
    return np.linalg.solve(pattern, np.ones(len(pattern)))


def separate_groups(pattern: Float[np.ndarray, "L L"], is_damped: bool) -> list[tuple[float, tuple[int, ...]]] | None:
    """Groups of layers with weights `c`, `K' = sum c Theta' (Theta + N rho I)^{-1}` with `Theta` summed over a group.

    These are the coupled layers of a pattern that couples whole groups only (exact, block-diagonal), with `c = 1`; else,
    undamped, every layer with `c_l = (T^{-1} 1)_l` unless that is 0. `None` where layers cannot be separated: damped patterns of
    other kinds, and singular ones.
    """
    groups = {tuple(int(i) for i in np.flatnonzero(row)) for row in pattern}
    if sum(len(group) for group in groups) == len(pattern):
        return [(1.0, group) for group in sorted(groups)]
    coefficients = None if is_damped else isotropic_coefficients(pattern)
    if coefficients is None:
        return None
    return [(float(c), (i,)) for i, c in enumerate(coefficients) if abs(c) > TINY]


def coupled_system(pattern: np.ndarray, thetas: Sequence[np.ndarray]) -> np.ndarray:
    """`R^T (T kron I) R` with `D = R R^T`: symmetric, with the spectrum of `(T kron I) D`."""
    roots = []
    for theta in thetas:
        values, vectors = np.linalg.eigh(theta)
        roots.append(vectors * np.sqrt(np.maximum(values, 0)))
    return np.block([[float(pattern[i, j]) * a.T @ b for j, b in enumerate(roots)] for i, a in enumerate(roots)])
