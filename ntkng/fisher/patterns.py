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


def cliques(pattern: Float[np.ndarray, "L L"]) -> list[tuple[int, ...]] | None:
    """The groups of layers when the pattern couples whole groups only (exact, block-diagonal), else `None`."""
    groups = {tuple(int(i) for i in np.flatnonzero(row)) for row in pattern}
    disjoint = sum(len(group) for group in groups) == len(pattern)
    return sorted(groups) if disjoint else None


def coupled_system(pattern: np.ndarray, thetas: Sequence[np.ndarray], shift: np.ndarray) -> np.ndarray:
    """`R^T (T kron I) R + N rho I` with `D = R R^T`: symmetric, with the spectrum of `(T kron I) D + N rho I`."""
    roots = []
    for theta in thetas:
        values, vectors = np.linalg.eigh(theta)
        roots.append(vectors * np.sqrt(np.maximum(values, 0)))
    rows = [[pattern[i, j] * a.T @ b + (i == j) * shift for j, b in enumerate(roots)] for i, a in enumerate(roots)]
    return np.block(rows)
