"""Random seeds as users have them: Python's and NumPy's integers, typed and legacy keys of JAX."""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkng.precision import is_concrete


def integer_seed(name: str, value: Any, *, smallest: int = -(2**63)) -> int:
    """`value` as a Python int of at most 64 bits.

    Raises:
        TypeError: no integer (a float, `None`, text, a truth value).
        ValueError: outside of `smallest .. 2^63 - 1`.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        seed = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer seed, got {_shown(value)} of type {type(value).__name__}; use 0, say"
        ) from None
    if not smallest <= seed < 2**63:
        raise ValueError(f"{name} must be a seed from {smallest} to 2**63 - 1, got {seed}; use a smaller number")
    return seed


def as_key(key: Any, name: str = "key") -> Array:
    """A typed random key from an integer seed, a typed key, or a legacy key (`jax.random.PRNGKey`, uint32).

    Raises:
        TypeError: anything else.
        ValueError: several keys at once, or an array of another size than a legacy key.
    """
    if not isinstance(key, (jax.Array, np.ndarray, np.generic)):
        return jax.random.key(integer_seed(name, key))
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.ndim:
            raise ValueError(
                f"{name} must be one key, got {key.size} of them (shape {list(key.shape)}); pass {name}[0], and seeds= for "
                "several networks"
            )
        return key  # type: ignore[return-value]
    if key.ndim == 0 and is_concrete(key):
        return jax.random.key(integer_seed(name, key.item()))
    size = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
    if key.dtype != jnp.uint32 or key.shape != size:
        raise ValueError(
            f"{name} must be an integer seed, a typed key or one legacy key (uint32{list(size)}), got an array {key.dtype}"
            f"{list(key.shape)}; use jax.random.key(0), and seeds= for several networks"
        )
    return jax.random.wrap_key_data(jnp.asarray(key))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
