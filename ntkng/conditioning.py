"""How well a symmetric system can be solved: rank, condition number, and errors that name the layer.

Nothing is regularised here. A system that is singular to working precision is refused with the numbers, and so is a Gram with negative
eigenvalues, which no Jacobian has; a system that loses more than six digits in float32 raises a warning with the number.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

FULL_SPECTRUM = 1500  # above this size a condition estimate from the Cholesky factor replaces the spectrum
LOSS_OF_DIGITS = 1e-2  # condition * eps beyond which a float32 solution is warned of
FEW = 16  # entries carry some roundings of their own, however small the matrix
NEGATIVE = 1e-8  # relative size up to which negative eigenvalues of a Gram are errors of its entries
ROWS = 1024  # compared with their columns at a time


@dataclasses.dataclass(frozen=True)
class Conditioning:
    """Conditioning of one symmetric matrix.

    Attributes:
        name: what was inspected, such as `"Theta of layer 2: Dense"`.
        size: number of rows.
        rank: numerical rank, at the tolerance of `rounding`; of a Gram the number of positive eigenvalues above it.
        condition: ratio of the largest to the smallest absolute eigenvalue; an estimate in the 1-norm for large
            matrices; infinite for a Gram that is not positive definite.
        smallest: smallest eigenvalue (nan where only the condition was estimated).
        largest: largest eigenvalue (nan likewise).
        epsilon: machine epsilon of the matrix.
        negative: of a Gram, the smallest eigenvalue without the shift, if it is too negative for an error of the entries; else 0.
    """

    name: str
    size: int
    rank: int
    condition: float
    smallest: float
    largest: float
    epsilon: float
    negative: float = 0.0

    @property
    def is_singular(self) -> bool:
        """Whether the rank is below the size at working precision."""
        return self.rank < self.size

    @property
    def relative_error(self) -> float:
        """Bound on the relative error of a solution, `condition * eps`."""
        return self.condition * self.epsilon


def rounding(size: int, largest: Any, epsilon: float) -> Any:
    """Up to which absolute value an eigenvalue is rounding: `max(size, FEW) * eps * largest`."""
    return max(size, FEW) * epsilon * largest


def inspect(name: str, matrix: ArrayLike, shift: float = 0.0, *, is_gram: bool = True) -> Conditioning:
    """Rank and condition of a symmetric matrix `[n, n]` plus `shift` times the identity.

    Args:
        name: for messages.
        matrix: the matrix, or a Gram, which is positive semi-definite but for the errors of its entries.
        shift: damping.
        is_gram: whether it is a Gram.

    Raises:
        ValueError: entries that are not finite, or not symmetric.
    """
    import scipy.linalg  # slow to import: only where needed

    array = np.asarray(matrix)
    size, epsilon = len(array), float(np.finfo(array.dtype).eps)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite entries; check the inputs and the scale of the weights")
    if not np.isfinite(shift):
        raise ValueError(f"{name} has the damping {shift}, expected a finite one; check the scale of the weights")
    _require_symmetric(name, array, epsilon)
    if shift:
        array = array.copy()
        array[np.diag_indices_from(array)] += shift
    if size > FULL_SPECTRUM:
        estimate = _estimate(array)
        if estimate is not None and rounding(size, estimate, epsilon) < 1:
            return Conditioning(name, size, size, estimate, np.nan, np.nan, epsilon)
    values = scipy.linalg.eigvalsh(array)
    smallest, largest = float(values[0]), float(values[-1])
    magnitude = np.abs(values)
    tolerance = rounding(size, float(magnitude.max()), epsilon)
    if not is_gram:
        rank = int((magnitude > tolerance).sum())
        condition = float(magnitude.max() / magnitude.min()) if magnitude.min() > 0 else np.inf
        return Conditioning(name, size, rank, condition, smallest, largest, epsilon)
    own = smallest - float(shift)
    negative = own if own < -max(tolerance, NEGATIVE * float(magnitude.max())) else 0.0
    rank = int((values > max(tolerance, -smallest)).sum())
    condition = largest / smallest if smallest > 0 else np.inf
    return Conditioning(name, size, rank, condition, smallest, largest, epsilon, negative)


def range_projector(gram: ArrayLike) -> Float[np.ndarray, "n n"] | None:
    """The orthogonal projector on the range of a Gram that is singular to working precision; `None` for others."""
    array = np.asarray(gram)
    estimate = _estimate(array)
    if estimate is not None and rounding(len(array), estimate, float(np.finfo(array.dtype).eps)) < 1:
        return None
    values, vectors = np.linalg.eigh(array)
    kept = vectors[:, moving(values)]
    return None if kept.shape[1] == len(array) else kept @ kept.T


def moving(values: Float[np.ndarray, "n"]) -> Any:
    """Which ascending eigenvalues of a matrix that is positive semi-definite in theory are more than errors.

    Rounding, or, where errors of the entries have made an eigenvalue slightly negative, as large as that one.
    """
    largest = float(np.abs(values).max())
    tolerance = rounding(len(values), largest, float(np.finfo(values.dtype).eps))
    lowest = -float(values[0])
    return ~(np.abs(values) <= (max(tolerance, lowest) if lowest <= NEGATIVE * largest else tolerance))


def _require_symmetric(name: str, array: np.ndarray, epsilon: float) -> None:
    for start in range(0, len(array), ROWS):
        rows = array[start : start + ROWS]
        columns = array[:, start : start + ROWS].T
        gap = float(np.abs(rows - columns).max())
        if gap > epsilon**0.5 * float(np.abs(rows).max()):
            raise ValueError(f"{name} must be symmetric, got |G - G^T| = {gap:.3g}; pass G(x, x) with (G + G^T) / 2")


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
    """Refuse a singular matrix or an indefinite Gram, warn of a matrix that is ill-conditioned for its precision.

    Raises:
        ValueError: with the rank that was found, the rank that is needed and `fix`; or with the negative eigenvalue.
    """
    if found.negative < 0:
        raise ValueError(
            f"{found.name} is not positive semi-definite: its smallest eigenvalue is {found.negative:.3g} (largest "
            f"{found.largest:.3g}), expected >= 0 as for every J J^T; compute the kernels more accurately"
        )
    if found.is_singular:
        raise ValueError(
            f"{found.name} has numerical rank {found.rank}, expected full rank {found.size} "
            f"(condition number {found.condition:.1e} at precision {found.epsilon:.0e}); {fix}"
        )
    if not found.relative_error <= LOSS_OF_DIGITS:
        warnings.warn(
            f"{found.name}: condition number {found.condition:.1e} at precision {found.epsilon:.0e} leaves a relative "
            f"error of up to {found.relative_error:.0e} in its solutions; use float64 or damping",
            stacklevel=3,
        )
