"""Shapes of layers, checked while a `Network` is constructed: every mistake becomes an error that names the layer and the fix."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntkng import tape
from ntkng.validation import nonnegative, positive_integer

Shape = tuple[int, ...]
_JOINS = ("FanInSum", "FanInProd", "FanInConcat")
_UNITS = ("out_dim", "out_chan", "n_chan_out", "n_chan_key", "n_chan_val", "n_heads", "num")
_WINDOWS = ("filter_shape", "window_shape", "strides")
_SCALES = ("W_std", "b_std", "W_key_std", "W_value_std", "W_query_std", "W_out_std")


def require_sizes(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse numbers of units, windows and scales that no layer has.

    Raises:
        TypeError: not a number.
        ValueError: fewer than one unit or position, or a scale that is negative or not finite.
    """
    for key in _UNITS:
        if key in arguments:
            positive_integer(f"{key} of stax.{name}", arguments[key])
    for key in _WINDOWS:
        if arguments.get(key) is not None:
            if not isinstance(arguments[key], (tuple, list)):
                raise TypeError(f"{key} of stax.{name} must be a tuple such as (3, 3), got {arguments[key]!r}")
            for size in arguments[key]:
                positive_integer(f"{key} of stax.{name}", size)
    for key in _SCALES:
        if arguments.get(key) is not None:
            nonnegative(f"{key} of stax.{name}", arguments[key])


def checked(
    name: str, arguments: Mapping[str, Any], init_fn: Callable[..., Any], apply_fn: Callable[..., Any]
) -> Callable[..., Any]:
    """`init_fn` that, while a `Network` is constructed, tries the layer on its input's shape.

    Raises:
        ValueError: naming the layer, its input and the fix.
    """

    @functools.wraps(init_fn)
    def init(key: Any, input_shape: Any, **kwargs: Any) -> Any:
        if tape.current(tape.StructureTape) is None:
            return init_fn(key, input_shape, **kwargs)
        _require_input(name, arguments, input_shape)
        try:
            output_shape, parameters = init_fn(key, input_shape, **kwargs)
            inputs = [jax.ShapeDtypeStruct(shape, jnp.result_type(float)) for shape in _shapes(input_shape)]
            jax.eval_shape(apply_fn, parameters, inputs if name in _JOINS else inputs[0])
        except Warning:  # which the user made an error
            raise
        except Exception as error:
            reason = str(error).split("\n")[0]
            raise ValueError(f"stax.{name} does not fit inputs {_say(input_shape)}: {reason}") from error
        if any(size < 1 for shape in _shapes(output_shape) for size in shape):
            raise ValueError(
                f"stax.{name} has no output positions left of inputs {_say(input_shape)}; "
                "use larger inputs, smaller filters or padding='SAME'"
            )
        return output_shape, parameters

    return init


def branching(count: int, init_fn: Callable[..., Any]) -> Callable[..., Any]:
    """`init_fn` of `parallel` with `count` branches, which otherwise drops inputs or branches without a word."""

    @functools.wraps(init_fn)
    def init(key: Any, input_shape: Any, **kwargs: Any) -> Any:
        found = len(input_shape) if _is_list(input_shape) else 1
        if not _is_list(input_shape) or found != count:
            raise ValueError(
                f"stax.parallel of {count} layers expects {count} inputs, got {found}; put stax.FanOut({count}) before it"
            )
        return init_fn(key, input_shape, **kwargs)

    return init


def _require_input(name: str, arguments: Mapping[str, Any], input_shape: Any) -> None:
    if name in _JOINS:
        _require_branches(name, arguments, input_shape)
        return
    if _is_list(input_shape):
        raise ValueError(
            f"stax.{name} expects one input, got {len(input_shape)} branches; join them first, for instance by stax.FanInSum()"
        )
    window = arguments.get("filter_shape") or arguments.get("window_shape")
    if window is not None and len(input_shape) != len(window) + 2:
        raise ValueError(
            f"stax.{name} with a window {tuple(window)} expects inputs [N, {len(window)} spatial axes, channels], got "
            f"{_say(input_shape)}; a missing channel axis is added by x[..., None] and input_shape=(..., 1)"
        )
    if any(axis % len(input_shape) for axis in (arguments.get(key, 0) for key in ("batch_axis", "batch_axis_out"))):
        raise ValueError(f"stax.{name} has another batch axis, expected 0: samples come first in every array of ntkng")
    if 0 in _mixed_axes(name, arguments, len(input_shape)):
        raise ValueError(f"stax.{name} works along the samples (axis 0), which must stay independent; use other axes")


def _mixed_axes(name: str, arguments: Mapping[str, Any], ndim: int) -> list[int]:
    """Axes along which the layer mixes or picks entries, where that is an argument."""
    if name == "LayerNorm":
        axes = arguments["axis"]
        return [
            axis % ndim
            for axis in (axes if isinstance(axes, (tuple, list)) else range(ndim) if axes is None else [axes])
        ]
    if name == "DotGeneral":
        sides = [axes[arguments["rhs"] is None] for axes in arguments["dimension_numbers"]]
        return [axis % ndim for side in sides for axis in side]
    return []


def _require_branches(name: str, arguments: Mapping[str, Any], input_shape: Any) -> None:
    if not _is_list(input_shape):
        raise ValueError(
            f"stax.{name} expects branches, got one input {_say(input_shape)}; make them by FanOut and parallel"
        )
    shapes = _shapes(input_shape)
    ndim = len(shapes[0])
    if any(len(shape) != ndim for shape in shapes):
        raise ValueError(f"stax.{name} expects branches of one number of axes, got {_say(input_shape)}")
    axis = None
    if name == "FanInConcat":
        axis = arguments["axis"]
        if not isinstance(axis, int) or not -ndim <= axis < ndim or axis % ndim == 0:
            raise ValueError(
                f"stax.FanInConcat(axis={axis}) of branches {_say(input_shape)}: expected the axis of channels (-1) or of "
                "positions; axis 0 holds the samples"
            )
        axis %= ndim
    rests = [[size for index, size in enumerate(shape) if index != axis] for shape in shapes]
    if any(rest != rests[0] for rest in rests):
        raise ValueError(
            f"stax.{name} expects branches of one shape, got {_say(input_shape)}; give them the same widths"
        )


def _is_list(shape: Any) -> bool:
    """Whether it is a list of shapes, one for each branch."""
    return isinstance(shape, (list, tuple)) and any(isinstance(part, (list, tuple)) for part in shape)


def _shapes(shape: Any) -> Sequence[Shape]:
    if not _is_list(shape):
        return [tuple(shape)]
    return [one for part in shape for one in _shapes(part)]


def _say(shape: Any) -> str:
    return " and ".join(f"[{', '.join(['N', *map(str, one[1:])])}]" for one in _shapes(shape))
