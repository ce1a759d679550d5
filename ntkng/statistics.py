r"""Estimates with their uncertainty: intervals over seeds and slopes in width.

Both are Student's t on independent numbers, one a seed. A slope is fitted to every seed's own errors, and the slopes are
averaged: a fixed combination of the logarithms, so that its interval is exact however differently they spread at the sizes, and
however the errors of one seed depend on each other. One variance for all sizes would be more certain of itself than it may be
(`docs/levels.py` prints the coverage of both).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkng.short_repr import short_repr
from ntkng.validation import real_array


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean, slope or coefficient with its standard error: numbers, or arrays with one entry a quantity.

    Attributes:
        value: the estimate.
        standard_error: of `value`.
        degrees: degrees of freedom of the t distribution.
    """

    value: Any
    standard_error: Any
    degrees: Any

    __repr__ = short_repr

    def half_width(self, confidence: float = 0.95) -> Any:
        """Half-width of the two-sided t interval."""
        import scipy.stats  # slow to import: only where needed

        half = scipy.stats.t.ppf((1 + confidence) / 2, self.degrees) * self.standard_error
        return half if np.ndim(half) else float(half)

    def interval(self, confidence: float = 0.95) -> tuple[Any, Any]:
        """The two-sided t interval."""
        half = self.half_width(confidence)
        return self.value - half, self.value + half

    def p_values(self, expected: float = 0.0) -> Any:
        """Two-sided: `P(|t| >= |value - expected| / standard error)`."""
        import scipy.stats

        return 2 * scipy.stats.t.sf(np.abs(self.value - expected) / self.standard_error, self.degrees)


def mean(values: Any) -> Estimate:
    """Mean of independent values with its standard error `s / sqrt(n)`; NaN where a value is.

    The interval is exact for normal values. Those of skewed values hold less often where they are few; `docs/levels.py`
    prints how often.

    Raises:
        ValueError: fewer than two values, or a table, whose entries would not be independent.
    """
    array = np.asarray(values, float)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(
            f"an uncertainty needs at least 2 values (seeds) in one dimension, got shape {array.shape}; "
            "one number a seed: reduce what belongs to one seed first"
        )
    return Estimate(float(array.mean()), float(array.std(ddof=1) / np.sqrt(len(array))), len(array) - 1)


def log_log_slope(sizes: Float[np.ndarray, "W"], errors: Float[np.ndarray, "W S"]) -> Estimate:
    """Slope of `log error` against `log size`: least squares for every seed, and the mean of these over seeds.

    An error that falls like `size^-1/2` has slope -1/2. What is estimated is the slope of the *mean logarithm* (the geometric
    mean of the errors). The logarithm of a mean is larger by about half of the variance of the logarithms, and has another
    slope where that varies with the size: pass one column of means for it.

    Args:
        sizes: such as widths, at least two different ones.
        errors: positive, one row a size, one column a seed (independent ones). A single column, a curve without seeds,
            has its deviations from the line for an uncertainty, taken to be independent and equally large.

    Raises:
        TypeError: not numeric.
        ValueError: shapes that do not fit, fewer than three points, sizes or errors that are not positive and finite.
    """
    sizes, errors = real_array("sizes", sizes, 1), np.asarray(errors, float)
    errors = errors[:, None] if errors.ndim == 1 else errors
    if errors.ndim != 2 or len(errors) != len(sizes) or errors.size < 3 or len(np.unique(sizes)) < 2:
        raise ValueError(f"a slope needs >= 3 points at >= 2 sizes, got sizes {sizes.shape}, errors {errors.shape}")
    if not (np.isfinite(errors).all() and (errors > 0).all()):
        raise ValueError("a log-log slope needs finite errors > 0; check for diverged runs or exact zeros")
    if not (sizes > 0).all():
        raise ValueError(f"a log-log slope needs sizes > 0, got {sizes.min():g}")
    x, y = np.log(sizes) - np.log(sizes).mean(), np.log(errors)
    slopes = x @ y / (x @ x)
    if len(slopes) > 1:
        return mean(slopes)
    residual = y[:, 0] - y.mean() - slopes[0] * x
    degrees = len(x) - 2
    return Estimate(float(slopes[0]), float(np.sqrt(residual @ residual / degrees / (x @ x))), degrees)
