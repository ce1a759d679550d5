"""Explicit precision without touching JAX's global flags.

ntkng computes in float64 by default. JAX only does so where its `jax_enable_x64` setting is on, so public functions
run inside a local `jax.enable_x64(True)` context. A float64 JAX array is a trap outside such a context (the next
operation truncates it to float32), therefore:

- where the caller has x64 switched on, or is tracing (jit, vmap, grad), JAX arrays are returned;
- elsewhere the results are NumPy arrays, which keep their 64 bits wherever they go.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

AnyArray = jax.Array | np.ndarray  # what public functions take, and give (see above)
P = ParamSpec("P")
R = TypeVar("R")


def in_float64(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` with 64-bit types available, and hand back arrays that stay 64-bit (see the module)."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            return function(*args, **kwargs)
        with jax.enable_x64(True):
            result = function(*args, **kwargs)
        return to_numpy(result)

    return wrapper


def to_numpy(tree: Any) -> Any:
    """Every concrete JAX array of a pytree as a NumPy array; random keys and tracers stay."""
    return jax.tree.map(_to_numpy, tree)


def _to_numpy(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or isinstance(leaf, jax.core.Tracer):
        return leaf
    return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)


def supported_dtype(name: str, value: Any) -> np.dtype:
    """`value` as a NumPy dtype, float64 or float32.

    Raises:
        TypeError: any other dtype, or none at all: integers truncate, and solves need LAPACK, which has no half precision.
    """
    try:
        dtype = None if value is None else jnp.dtype(value)
    except TypeError:
        dtype = None
    if dtype not in (np.float64, np.float32):
        raise TypeError(f"{name} must be float64 or float32, got {value if dtype is None else dtype}; use jnp.float64")
    return dtype


def raised(array: Any, ndim: int) -> Any:
    """`array` with leading axes of length 1, `ndim` axes in all; explicit, since users may have JAX refuse to add them."""
    return array.reshape((1,) * (ndim - array.ndim) + array.shape)


def is_concrete(*trees: Any) -> bool:
    """Whether no leaf is a tracer, so that values may be inspected."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))
