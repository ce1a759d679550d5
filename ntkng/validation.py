"""Checks at the boundary: each raises an error with what was got, what was expected, and the fix."""

from __future__ import annotations

from typing import Any

import numpy as np


def real_array(name: str, value: Any, ndim: int | tuple[int, ...] | None = None) -> np.ndarray:
    """`value` as a finite real NumPy array with one of the numbers of dimensions `ndim`.

    Raises:
        TypeError: not numeric.
        ValueError: wrong number of dimensions, empty, NaN or infinite entries.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be a real array, got dtype {array.dtype}; convert it with np.asarray(..., float)")
    if ndim is not None and array.ndim not in np.atleast_1d(ndim):
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {array.shape}; reshape it")
    if array.size == 0:
        raise ValueError(f"{name} is empty, got shape {array.shape}")
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} has {int(bad.sum())} NaN or infinite entries, first at {where}; remove them")
    return array


def nonnegative(name: str, value: Any) -> None:
    """Refuse a negative or non-finite number; tracers pass."""
    if _is_traced(value):
        return
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number >= 0, got {value!r}") from error
    if not (np.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and >= 0, got {number}; use 0 for none")


def positive(name: str, value: Any) -> None:
    """Refuse a number that is not finite and > 0; tracers pass."""
    nonnegative(name, value)
    if not _is_traced(value) and float(value) == 0:
        raise ValueError(f"{name} must be > 0, got {value}")


def positive_integer(name: str, value: Any) -> int:
    """`value` as an int >= 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer >= 1, got {value!r} of type {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be >= 1, got {value}")
    return int(value)


def _is_traced(value: Any) -> bool:
    from jax.core import Tracer

    return isinstance(value, Tracer)
