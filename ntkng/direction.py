"""Directions of vectors, whatever their length: unit vectors and angles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.validation import real_array

__all__ = ["angle", "unit"]


def unit(name: str, v: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T d"]:
    """`v / |v|` for vectors of any length that float64 holds.

    Raises:
        ValueError: a vector is 0 or not finite; the message names it.
    """
    v = real_array(name, v).astype(np.float64)
    largest = np.abs(v).max(-1, keepdims=True)
    if not largest.all():
        where = np.argwhere(largest[..., 0] == 0)[0].tolist()
        raise ValueError(f"{name} has no direction: {f'vector {where}' if where else 'it'} is 0; leave it out")
    v = np.ldexp(v, -np.frexp(largest)[1])  # squares neither overflow nor vanish
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def angle(a: Float[np.ndarray, "*T d"], b: Float[np.ndarray, "*T d"]) -> Float[np.ndarray, "*T"]:
    """Angle between two vectors in degrees, accurate also for angles near 0 and 180 (half-angle formula of Kahan).

    Raises:
        ValueError: a vector is 0 or not finite, or the dimensions differ.
    """
    a, b = unit("a", a), unit("b", b)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a and b must have one dimension, got {a.shape[-1]} and {b.shape[-1]}")
    return np.degrees(2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))
