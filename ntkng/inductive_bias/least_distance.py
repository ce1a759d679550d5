"""The smallest `w` with `Z w >= b`: a dual active set method, with a certificate where there is none.

`w = Z^T lambda` with `lambda >= 0`, and `lambda_n > 0` only where `z_n.w = b_n`: these conditions (Karush, Kuhn and
Tucker) make `w` the solution, and every answer satisfies them to rounding, row by row. The set of samples met with
equality takes in the one most violated; while its multiplier grows, those of the others change, and a sample whose
multiplier reaches 0 leaves (Goldfarb and Idnani 1983). Every step raises `|w|`, so no set comes twice. If the new sample
is a combination of the set and none leaves, a sum `sum_n delta_n z_n = 0` with `delta >= 0` has been found, and no `w`
satisfies all constraints. Where rounding blurs one of these verdicts, the same method runs in rational numbers.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import scipy.optimize
from jaxtyping import Float, Int

from ntkng.scaled_rows import EPSILON, ExactRowSpace, RowSpace, equilibrated, row_scales

__all__ = ["NARROWEST", "NotSeparableError", "is_separable", "least_distance"]

NARROWEST = 1e-2  # relative uncertainty of a margin from which float64 is too coarse
LARGEST_EXACT = 100_000  # N d^2, up to which rational numbers take seconds


class NotSeparableError(ValueError):
    """No `w` has all margins positive."""


class _BlurredError(ArithmeticError):
    """Rounding does not allow a verdict."""


def least_distance(
    Z: Float[np.ndarray, "N d"], b: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " d"], Int[np.ndarray, " k"]]:
    """`argmin |w|_2 subject to Z w >= b`, `b > 0`, and the samples that hold it, which are linearly independent.

    Raises:
        NotSeparableError: no `w` satisfies the constraints.
        ArithmeticError: float64 does not hold the solution: the classes are too close, or it overflows.
    """
    found, chosen = _solve(Z, b)
    try:
        w = found.astype(np.float64)
        exact = (_rational(Z) @ found).astype(np.float64) if found.dtype == object else b
    except OverflowError:
        raise ArithmeticError("the maximum margin's weights overflow float64; rescale the inputs") from None
    if found.dtype == object:
        error = np.abs(Z @ w - exact) / b
        if not (error <= NARROWEST).all():
            raise ArithmeticError(
                "the data are linearly separable by a gap that float64 weights cannot show (rounding them changes a "
                f"margin by {error.max():.1e} of its size); rescale or perturb the inputs"
            )
    return w, chosen


def is_separable(Z: Float[np.ndarray, "N d"]) -> bool:
    """Whether some `w` has `Z w > 0`: free of units, since rows and columns may be scaled.

    Raises:
        ArithmeticError: too close to call in float64, and too many samples for rational numbers.
    """
    Z = equilibrated(Z)[0]
    try:
        _solve(Z, np.ones(len(Z)))
    except NotSeparableError:
        return False
    return True


def _solve(Z: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In float64 where rounding allows it, otherwise in rational numbers."""
    if not Z.any(1).all():
        raise NotSeparableError(f"the data are not linearly separable: input {int(Z.any(1).argmin())} is 0")
    scale = row_scales(Z)
    Z, b = scale[:, None] * Z, scale * b
    try:
        return _search(Z, b, RowSpace, EPSILON)
    except _BlurredError as blurred:
        if not _small(Z):
            raise ArithmeticError(f"{blurred}; rescale or perturb the inputs") from None
    return _search(_rational(Z), _rational(b), ExactRowSpace, 0)


def _small(Z: np.ndarray) -> bool:
    return Z.size * Z.shape[1] <= LARGEST_EXACT


def _rational(array: np.ndarray) -> np.ndarray:
    return np.vectorize(Fraction, otypes=[object])(array)


def _search(Z: np.ndarray, b: np.ndarray, kind: type[RowSpace], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """The method, in floating point or (`epsilon = 0`) in rational numbers."""
    space, w, chosen, multipliers = _settled(Z, b, _guess(Z, b, epsilon), kind)
    for _ in range(50 + 10 * sum(Z.shape)):
        slack = Z @ w - b
        slack[chosen] = 0
        doubt = 8 * epsilon * (np.abs(Z) @ np.abs(w))
        if epsilon and not (np.isfinite(w).all() and (doubt <= NARROWEST * b + np.maximum(slack, 0)).all()):
            raise _BlurredError("the classes are too close for float64, or their units too far apart")
        if (slack >= -doubt).all():
            return w, chosen
        new = int(slack.argmin())
        chosen = _exchange(Z, chosen, multipliers, space, new, -slack[new], epsilon)
        space, w, chosen, multipliers = _settled(Z, b, chosen, kind)
    raise _BlurredError("the active set method for the maximum margin ran out of steps")


def _guess(Z: np.ndarray, b: np.ndarray, epsilon: float) -> np.ndarray:
    """Samples that non-negative least squares holds for the solution: right on well scaled data, and quick."""
    # of `|E v - e|`, `E = [Z^T; b^T]`, `e = (0, ..., 0, 1)`: the residual is parallel to (w, -1)
    if not epsilon:
        return np.zeros(0, dtype=int)
    stacked = np.vstack([Z.T, b / b.max()])
    try:
        chosen = np.flatnonzero(scipy.optimize.nnls(stacked, np.append(np.zeros(Z.shape[1]), 1.0))[0])
    except RuntimeError:
        return np.zeros(0, dtype=int)
    usable = 0 < len(chosen) <= Z.shape[1] and RowSpace(Z[chosen]).robust
    return chosen if usable else np.zeros(0, dtype=int)


def _settled(
    Z: np.ndarray, b: np.ndarray, chosen: np.ndarray, kind: type[RowSpace]
) -> tuple[RowSpace, np.ndarray, np.ndarray, np.ndarray]:
    """Smallest `w` that meets the chosen samples with equality, without those of negative multipliers."""
    while True:
        space = kind(Z[chosen])
        w = space.least_norm(b[chosen])
        multipliers = space.combination(w)
        if not (multipliers < 0).any():
            return space, w, chosen, multipliers
        chosen = np.delete(chosen, multipliers.argmin())


def _exchange(
    Z: np.ndarray,
    chosen: np.ndarray,
    multipliers: np.ndarray,
    space: RowSpace,
    new: int,
    violation: float,
    epsilon: float,
) -> np.ndarray:
    """The set with `new`, without those whose multiplier reaches 0 on the way."""
    while True:
        x = space.combination(Z[new])
        across = Z[new] - x @ Z[chosen]  # what no combination of the set gives
        blurred = 8 * epsilon * (len(chosen) + 1) * (np.abs(Z[new]) + np.abs(x) @ np.abs(Z[chosen]))
        free = len(chosen) < Z.shape[1] and (np.abs(across) > blurred).any()
        full = violation / (across @ across) if free else np.inf
        steps = np.array([m / v if v > 0 else np.inf for m, v in zip(multipliers, x, strict=True)])
        step = min(full, steps.min(initial=np.inf))
        if step == np.inf:
            if epsilon and _small(Z) and not (len(x) == Z.shape[1] and space.robust and _clear(x)):
                raise _BlurredError("a combination of inputs is 0 to rounding")
            raise NotSeparableError("the data are not linearly separable: no weights have all margins positive")
        if step == full:
            return np.append(chosen, new)
        violation -= step * (across @ across) if free else 0
        out = steps.argmin()
        chosen, multipliers = np.delete(chosen, out), np.delete(multipliers - step * x, out)
        space = type(space)(Z[chosen])


def _clear(x: np.ndarray) -> bool:
    """Whether no coefficient could have another sign after rounding."""
    return bool(np.abs(x).min() > 1e-6 * np.abs(x).max())
