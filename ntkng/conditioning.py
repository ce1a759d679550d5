"""How well a symmetric system can be solved: rank, condition number, and errors that name the layer.

Nothing is regularised here. A system that is singular to working precision is refused with the numbers; one that loses
more than six digits in float32 raises a warning with the number.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from numpy.typing import ArrayLike

FULL_SPECTRUM = 1500  # above this size a condition estimate from the Cholesky factor replaces the spectrum
LOSS_OF_DIGITS = 1e-2  # condition * eps beyond which a float32 solution is warned of


@dataclasses.dataclass(frozen=True)
class Conditioning:
    """Conditioning of one symmetric matrix.

    Attributes:
        name: what was inspected, such as `"Theta of layer 2: Dense"`.
        size: number of rows.
        rank: numerical rank, at the tolerance `size * eps * largest eigenvalue`.
        condition: ratio of the largest to the smallest absolute eigenvalue; an estimate in the 1-norm for large
            matrices.
        smallest: smallest eigenvalue (nan where only the condition was estimated).
        largest: largest eigenvalue (nan likewise).
        epsilon: machine epsilon of the matrix.
    """

    name: str
    size: int
    rank: int
    condition: float
    smallest: float
    largest: float
    epsilon: float

    @property
    def is_singular(self) -> bool:
        """Whether the rank is below the size at working precision."""
        return self.rank < self.size

    @property
    def relative_error(self) -> float:
        """Bound on the relative error of a solution, `condition * eps`."""
        return self.condition * self.epsilon


def inspect(name: str, matrix: ArrayLike, shift: float = 0.0) -> Conditioning:
    """Rank and condition of a symmetric matrix `[n, n]` plus `shift` times the identity, positive semi-definite or not."""
    import scipy.linalg  # slow to import: only where needed

    array = np.asarray(matrix)
    if shift:
        array = array.copy()
        array[np.diag_indices_from(array)] += shift
    size, epsilon = len(array), float(np.finfo(array.dtype).eps)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite entries; check the inputs and the scale of the weights")
    if size > FULL_SPECTRUM:
        estimate = _estimate(array)
        if estimate is not None and estimate * epsilon * size < 1:
            return Conditioning(name, size, size, estimate, np.nan, np.nan, epsilon)
    values = scipy.linalg.eigvalsh(array)
    magnitude = np.abs(values)
    rank = int((magnitude > size * epsilon * magnitude.max()).sum())
    condition = float(magnitude.max() / magnitude.min()) if magnitude.min() > 0 else np.inf
    return Conditioning(name, size, rank, condition, float(values[0]), float(values[-1]), epsilon)


def _estimate(array: np.ndarray) -> float | None:
    """Condition number in the 1-norm from the Cholesky factor, or `None` where there is none."""
    import scipy.linalg

    potrf, pocon, lange = scipy.linalg.get_lapack_funcs(("potrf", "pocon", "lange"), (array,))
    array = array.T  # symmetric, and in LAPACK's order if it is in C's
    factor, info = potrf(array)
    if info != 0:
        return None
    reciprocal, _ = pocon(factor, lange("1", array))
    return float(1 / reciprocal) if reciprocal > 0 else np.inf


def require_nonsingular(found: Conditioning, fix: str) -> None:
    """Refuse a singular matrix, warn of one that is ill-conditioned for its precision.

    Raises:
        ValueError: with the rank that was found, the rank that is needed and `fix`.
    """
    if found.is_singular:
        raise ValueError(
            f"{found.name} has numerical rank {found.rank}, expected full rank {found.size} "
            f"(condition number {found.condition:.1e} at precision {found.epsilon:.0e}); {fix}"
        )
    if found.relative_error > LOSS_OF_DIGITS:
        warnings.warn(
            f"{found.name}: condition number {found.condition:.1e} at precision {found.epsilon:.0e} leaves a relative "
            f"error of up to {found.relative_error:.0e} in its solutions; use float64 or damping",
            stacklevel=3,
        )
