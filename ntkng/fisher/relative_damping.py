"""Dampings that are relative to the scale of what they damp, where that scale is 0.

A layer whose inputs or backward signals vanish (a dead layer, a blank sample, a zero-initialised head, a fitted batch under the
empirical Fisher) has gradient 0 and does not move, whatever its damping is: any positive number serves, but 0/0 does not.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def root_of_ratio(one: Any, other: Any) -> Any:
    """`sqrt(one / other)` of two scales >= 0; 1 where either is 0. The roots come first: no ratio of doubles overflows then."""
    if not isinstance(one, jax.Array) and not isinstance(other, jax.Array):
        return (one**0.5 / other**0.5) if one > 0 and other > 0 else 1.0
    both = (one > 0) & (other > 0)
    return jnp.where(both, jnp.sqrt(jnp.where(both, one, 1)) / jnp.sqrt(jnp.where(both, other, 1)), 1)


def positive_shift(shift: Any) -> Any:
    """A relative shift, or 1 where it is 0, as the matrix that it damps then is."""
    if not isinstance(shift, jax.Array):
        return shift if shift != 0 else 1.0
    return jnp.where(shift == 0, 1, shift)
