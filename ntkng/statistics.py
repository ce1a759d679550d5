"""Estimates with their uncertainty: intervals over seeds and slopes in width."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean or slope with its standard error.

    Attributes:
        value: the estimate.
        standard_error: of `value`.
        degrees: degrees of freedom of the t distribution.
    """

    value: float
    standard_error: float
    degrees: int

    def half_width(self, confidence: float = 0.95) -> float:
        """Half-width of the two-sided t interval."""
        import scipy.stats  # slow to import: only where needed

        return float(scipy.stats.t.ppf((1 + confidence) / 2, self.degrees) * self.standard_error)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided t interval."""
        half = self.half_width(confidence)
        return self.value - half, self.value + half


def mean(values: Any) -> Estimate:
    """Mean of independent values with its standard error `s / sqrt(n)`.

    Raises:
        ValueError: fewer than two values.
    """
    array = np.asarray(values, float).ravel()
    if len(array) < 2:
        raise ValueError(f"an uncertainty needs at least 2 values (seeds), got {len(array)}")
    return Estimate(float(array.mean()), float(array.std(ddof=1) / np.sqrt(len(array))), len(array) - 1)


def log_log_slope(sizes: Float[np.ndarray, "W"], errors: Float[np.ndarray, "W S"]) -> Estimate:
    """Slope of `log error` against `log size` by least squares over all seeds, with its standard error.

    An error that falls like `size^-1/2` has slope -1/2.

    Args:
        sizes: such as widths, at least two different ones.
        errors: positive, one row a size, one column a seed.

    Raises:
        ValueError: shapes that do not fit, fewer than three points, or errors that are not positive and finite.
    """
    sizes, errors = np.asarray(sizes, float), np.asarray(errors, float)
    errors = errors[:, None] if errors.ndim == 1 else errors
    if errors.shape[0] != len(sizes) or errors.size < 3 or len(np.unique(sizes)) < 2:
        raise ValueError(f"a slope needs >= 3 points at >= 2 sizes, got sizes {sizes.shape}, errors {errors.shape}")
    if not (np.isfinite(errors).all() and (errors > 0).all()):
        raise ValueError("a log-log slope needs finite errors > 0; check for diverged runs or exact zeros")
    import scipy.stats

    fit: Any = scipy.stats.linregress(np.repeat(np.log(sizes), errors.shape[1]), np.log(errors).ravel())
    return Estimate(float(fit.slope), float(fit.stderr), errors.size - 2)
