"""Checks at the boundary: each raises an error with what was got, what was expected, and the fix."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np


def real_array(name: str, value: Any, ndim: int | tuple[int, ...] | None = None) -> np.ndarray:
    """`value` as a finite real NumPy array with one of the numbers of dimensions `ndim`.

    Raises:
        TypeError: not numeric; the message names the converter for what it is.
        ValueError: wrong number of dimensions, ragged, empty, masked, NaN or infinite entries.
    """
    array = numeric_array(name, value)
    if ndim is not None and array.ndim not in np.atleast_1d(ndim):
        wanted = " or ".join(map(str, np.atleast_1d(ndim)))
        raise ValueError(f"{name} must have {wanted} dimensions, got shape {list(array.shape)}; reshape it")
    if array.size == 0:
        raise ValueError(f"{name} is empty, got shape {list(array.shape)}; give it at least one entry")
    refuse_entries(name, ~np.isfinite(array), "NaN or infinite", "remove them")
    return array


def refuse_entries(name: str, bad: np.ndarray, what: str, fix: str) -> None:
    """Refuse an array with entries that are `what`, naming how many there are and the first."""
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} has {int(bad.sum())} {what} entries, first at {where}; {fix}")


def shape_advice(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """How an array of shape `got` becomes `[N, *expected]` without scrambling its entries, if it can."""
    each = got[1:]
    if [size for size in each if size != 1] == [size for size in expected if size != 1] and len(got) > 0:
        return f"reshape it: {name}.reshape(-1, {', '.join(map(str, expected))})"
    if len(got) == len(expected) and got == expected:
        return f"this is one input: {name}[None]"
    if len(got) == 2 and len(expected) == 1 and got[0] == expected[0]:
        return f"inputs are rows, transpose it: {name}.T"
    if len(each) == len(expected) and sorted(each) == sorted(expected):
        axes = [0]
        for size in expected:  # equal sizes keep their order: channels first becomes channels last
            axes.append(next(i for i in range(1, len(got)) if got[i] == size and i not in axes))
        return f"its axes are in another order, transpose it: {name}.transpose({', '.join(map(str, axes))})"
    if math.prod(each) == math.prod(expected) and len(each) > 1 and len(expected) == 1:
        return f"flatten each input: {name}.reshape(len({name}), -1)"
    if math.prod(each) == math.prod(expected):
        return "bring each input into this shape, axis by axis: in which order its numbers lie cannot be seen from the shape"
    return "give inputs of this shape, or build the network for these inputs"


def numeric_array(name: str, value: Any) -> np.ndarray:
    """`value` as an array of real numbers; whatever else it is, the error names the converter that works."""
    if hasattr(value, "toarray"):
        raise TypeError(
            f"{name} must be a real array, got a sparse {type(value).__name__}; convert it: {name}.toarray()"
        )
    if np.ma.isMaskedArray(value):
        refuse_entries(name, np.ma.getmaskarray(value), "masked", f"fill or remove them ({name}.filled(...))")
    try:
        array = np.asarray(value)
    except (ValueError, RuntimeError) as error:
        fix = f"use {name}.detach().cpu().numpy()" if hasattr(value, "detach") else "give all rows one length"
        raise ValueError(
            f"{name} must be a real array, got a {type(value).__name__} that is none ({error}); {fix}"
        ) from error
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and other small floats
        try:
            return array.astype(float)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{name} must be a real array, got {_foreign(name, array)}")


def _foreign(name: str, array: np.ndarray) -> str:
    """What an array that is not numeric holds, and the converter for it."""
    kind = array.dtype.kind
    if array.dtype.names is not None:
        return (
            f"a structured array with the fields {list(array.dtype.names)}; convert it with "
            f"numpy.lib.recfunctions.structured_to_unstructured({name})"
        )
    if kind in "USOT":
        where = next((index for index, entry in np.ndenumerate(array) if not isinstance(entry, (int, float))), ())
        entry = array[where] if where else array.ravel()[:1].tolist()
        if isinstance(entry, (str, bytes)):
            return (
                f"text, such as {entry!r} at {where}; encode classes with ntkng.data.encode(labels, classes) or give them to "
                "ntkng.data.Dataset, tables with text in them to ntkng.data.from_frame"
            )
        return (
            f"objects, such as {entry!r} at {where}; remove what is missing and convert the rest to one type of number"
        )
    if kind == "c":
        return f"dtype {array.dtype}; give its real and imaginary parts as two columns, or {name}.real"
    if kind in "mM":
        return f"dtype {array.dtype}; count from a date: ({name} - {name}.min()) / numpy.timedelta64(1, 'D')"
    return f"dtype {array.dtype}; give real numbers"


def symmetric(name: str, value: Any, ndim: int | tuple[int, ...] = 2) -> np.ndarray:
    """`value` as a symmetric float64 matrix `[n n]` (with `ndim` 3: a stack of them); rounding is symmetrised away.

    Raises:
        TypeError: not numeric.
        ValueError: not square, not symmetric (to 1e-8 of the largest entry, or the rounding of its dtype), not finite.
    """
    array = real_array(name, value, ndim)
    precision = np.finfo(array.dtype).eps if array.dtype.kind == "f" else 0.0
    array = array.astype(np.float64)
    if array.shape[-1] != array.shape[-2]:
        raise ValueError(f"{name} must be square, got shape {array.shape}; flatten it sample-major")
    transposed = np.swapaxes(array, -1, -2)
    asymmetry, largest = np.abs(array - transposed).max(), np.abs(array).max()
    if not asymmetry <= max(1e-8, 32 * precision) * largest:
        raise ValueError(
            f"{name} must be symmetric, got entries that differ by {asymmetry:.3g} from their mirror (largest entry "
            f"{largest:.3g}); pass J @ J.T"
        )
    return array / 2 + transposed / 2


def real_number(name: str, value: Any, expected: str = "finite") -> Any:
    """`value` as a `float`; a traced scalar passes as it is.

    Raises:
        TypeError: text, `None`, a boolean, complex, an array with axes, or anything else that is no real number.
        ValueError: NaN or infinite.
    """
    if _is_traced(value) and value.shape == ():
        return value
    is_scalar = not _is_traced(value) and not isinstance(value, (list, tuple)) and np.ndim(value) == 0
    kind = np.asarray(value).dtype.kind if is_scalar else ""
    is_exotic = kind == "V" or (kind == "O" and isinstance(value, numbers.Real))  # bfloat16; fractions
    if kind not in ("f", "i", "u") and not is_exotic:
        got = f"{value!r} of type {type(value).__name__}" if is_scalar else f"{type(value).__name__} {value!r}"
        fix = "convert it with float(...)" if kind in ("U", "S") else "pass one real number"
        raise TypeError(f"{name} must be a number, {expected}, got {got}; {fix}")
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]  # by its kind
    except OverflowError:  # a huge integer
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{name} must be {expected}, got {number}; pass one real number")
    return number


def nonnegative(name: str, value: Any) -> Any:
    """`value` as a finite `float` >= 0 (see `real_number`); tracers pass."""
    number = real_number(name, value, "finite and >= 0")
    if not _is_traced(number) and not number >= 0:
        raise ValueError(f"{name} must be finite and >= 0, got {number}; use 0 for none")
    return number


def positive(name: str, value: Any) -> Any:
    """`value` as a finite `float` > 0 (see `real_number`); tracers pass."""
    number = nonnegative(name, value)
    if not _is_traced(number) and number == 0:
        raise ValueError(f"{name} must be > 0, got {value}")
    return number


def positive_integer(name: str, value: Any) -> int:
    """`value` as an int >= 1."""
    return _integer(name, value, 1)


def nonnegative_integer(name: str, value: Any) -> int:
    """`value` as an int >= 0."""
    return _integer(name, value, 0)


def _integer(name: str, value: Any, smallest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer >= {smallest}, got {value!r} of type {type(value).__name__}")
    if value < smallest:
        raise ValueError(f"{name} must be >= {smallest}, got {value}")
    return int(value)


def _is_traced(value: Any) -> bool:
    from jax.core import Tracer

    return isinstance(value, Tracer)
