"""Parameters from elsewhere (a checkpoint, another library, another network): compared with what `Network.init` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkng.precision import is_concrete, supported_dtype

if TYPE_CHECKING:
    from ntkng.network import Network

ROLES = ("weights", "bias")
NEST = "nest the parameters as network.init does"


def fitting_parameters(network: Network, parameters: Any, name: str = "parameters", *, finite: bool = True) -> Any:
    """`parameters` in the structure that `network.init` returns, its leaves as they are.

    Lists and tuples stand for each other, nested lists of numbers for arrays, integers for floats.

    Args:
        network: whose parameters they are to be.
        parameters: arrays, or traced ones, of which only the shapes are looked at.
        name: of the argument.
        finite: also refuse NaN and infinite entries.

    Raises:
        TypeError: another structure, or leaves that are not real numbers.
        ValueError: a missing or additional part, another shape, or entries that are not finite; each names the leaf.
    """
    shapes, layers = network.parameter_shapes()
    return _fit(shapes, layers, parameters, name, "", finite)


def common_dtype(parameters: Any, name: str = "parameters") -> np.dtype:
    """The widest dtype of fitting parameters, float64 for integers.

    Raises:
        TypeError: neither float64 nor float32.
    """
    dtype = jnp.result_type(
        *(np.float64 if _is_integer(leaf.dtype) else leaf.dtype for leaf in jax.tree.leaves(parameters))
    )
    return supported_dtype(f"the dtype of {name}", dtype)


def _fit(shape: Any, layer: Any, got: Any, path: str, role: str, finite: bool) -> Any:
    """`layer` is a tree of layers' names, as deep as layers are nested; below, the name itself."""
    where = path if not isinstance(layer, str) else f"{path} ({role + ' of ' if role else ''}layer {layer})"
    if isinstance(shape, (list, tuple)):
        if not isinstance(got, (list, tuple)):
            raise TypeError(f"{where} must be a list or tuple of {len(shape)} parts, got {_what(got)}; {NEST}")
        has_roles = isinstance(layer, str) and len(shape) == 2
        if len(got) != len(shape):
            parts = f" ({' and '.join(ROLES)})" if has_roles else ""
            raise ValueError(f"{where} must have {len(shape)} parts{parts}, got {len(got)}; {NEST}")
        inner = [layer if isinstance(layer, str) else layer[index] for index in range(len(shape))]
        return type(shape)(
            _fit(own, inner[i], got[i], f"{path}[{i}]", ROLES[i] if has_roles else "", finite)
            for i, own in enumerate(shape)
        )
    if shape is None:
        if got is None:
            return None
        raise ValueError(f"{where} must be None, got {_what(got)}: this layer has no such parameters; {NEST}")
    if got is None:
        raise ValueError(f"{where} is missing, expected an array of shape {list(shape.shape)}; {NEST}")
    return _leaf(shape.shape, got, where, finite)


def _leaf(shape: tuple[int, ...], got: Any, where: str, finite: bool) -> Any:
    if not isinstance(got, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        try:
            got = np.asarray(got)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"{where} must be an array of shape {list(shape)}, got {_what(got)}; {NEST}") from None
    if not (jnp.issubdtype(got.dtype, jnp.floating) or _is_integer(got.dtype)):
        raise TypeError(f"{where} must be an array of real numbers, got {_what(got)}; convert it to float64")
    if got.shape != shape:
        fix = "check the network's widths, inputs and outputs"
        if got.shape[1:] == shape and len(got.shape) == len(shape) + 1:
            fix = f"for one of {got.shape[0]} networks take jax.tree.map(lambda leaf: leaf[0], parameters)"
        raise ValueError(f"{where} must have shape {list(shape)}, got {list(got.shape)}; {fix}")
    if finite and is_concrete(got) and not isinstance(got, jax.ShapeDtypeStruct):
        bad = ~np.isfinite(np.asarray(got, np.float64))
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{where} has {int(bad.sum())} NaN or infinite entries, first at {first}; start from others"
            )
    return got


def _is_integer(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.integer)


def _what(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"an array {value.dtype}{list(shape)}"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of length {len(value)}"
    return f"{type(value).__name__}" if value is not None else "None"
