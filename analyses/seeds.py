"""Claims about a number that is measured once a seed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ntkng import statistics
from ntkng.report import Claim


def mean_with_interval(values: Iterable[float]) -> tuple[float, float | None]:
    """Mean and half-width of its 95 % confidence interval (Student's t; `None` for one value)."""
    sample = _sample(values)
    if len(sample) < 2:
        return float(sample.mean()), None
    estimate = statistics.mean(sample)
    return estimate.value, estimate.half_width()


def below_in_every_seed(name: str, values: Iterable[float], bound: float, statement: str, **details: Any) -> Claim:
    """The largest value is below `bound`; the statement gains the mean with its interval."""
    sample = _sample(values)
    return Claim.below(name, float(np.max(sample)), bound, _with_mean(statement, sample), **details)


def above_in_every_seed(name: str, values: Iterable[float], bound: float, statement: str, **details: Any) -> Claim:
    """The smallest value is above `bound`; the statement gains the mean with its interval."""
    sample = _sample(values)
    return Claim.above(name, float(np.min(sample)), bound, _with_mean(statement, sample), **details)


def mean_above(name: str, values: Iterable[float], bound: float, statement: str, **details: Any) -> Claim:
    """The mean is above `bound`; its 95 % interval is the claim's uncertainty."""
    sample = _sample(values)
    mean, half = mean_with_interval(sample)
    statement = f"{statement} (mean of {len(sample)}, smallest {sample.min():.4g})"
    return Claim.above(name, mean, bound, statement, uncertainty=half, **details)


def within_in_every_seed(
    name: str, values: Iterable[float], low: float, high: float, statement: str, **details: Any
) -> Claim:
    """All values are in `[low, high]`; the claim's value is the one farthest from the middle."""
    sample = _sample(values)
    middle = (low + high) / 2
    worst = sample[np.argmax(np.nan_to_num(np.abs(sample - middle), nan=np.inf))]
    return Claim.within(name, float(worst), low, high, _with_mean(statement, sample), **details)


def _sample(values: Iterable[float]) -> np.ndarray:
    sample = np.asarray(list(values), dtype=np.float64)
    if sample.size == 0:
        raise ValueError("got no values; a claim over seeds needs at least one seed")
    return sample


def _with_mean(statement: str, sample: np.ndarray) -> str:
    mean, half = mean_with_interval(sample)
    if half is None:
        return f"{statement} (one seed)"
    return f"{statement} (worst of {len(sample)} seeds; mean {mean:.4g} ± {half:.2g})"
