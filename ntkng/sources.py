"""Where the randomness of a tensor comes from in the infinite-width limit, so that branches may be joined.

neural-tangents adds, multiplies and stacks the kernels of branches as if they were independent. Here every kernel carries
its `Sources`: a sum of terms, each a function of the outputs of some parametrised layers ("roots") with no parametrised layer in
between. Weights are drawn anew for each parametrised layer, so its outputs are centred, Gaussian, independent of
everything before, and independent and identically distributed (iid) over channels; terms without a common root are independent.
Of a sum that holds a term several times the amplitudes are added: `u + (u + v) = 2 u + v` has kernel `4 K_u + K_v`.

What cannot be had in this way raises `ValueError` with the layer's name.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

from ntkng._neural_tangents import Kernel
from ntkng.joins import JOINS
from ntkng.terms import Root, Sources, Term, Traced, of_inputs, trace

PARAMETRISED = ("Dense", "Conv", "ConvTranspose", "ConvLocal", "GlobalSelfAttention")
LINEAR = ("AvgPool", "SumPool", "GlobalAvgPool", "GlobalSumPool", "Flatten", "Index", "ImageResize", "DotGeneral")
_REASONS = ("infinite limit ill-defined", "must be Gaussian")  # by which neural-tangents refuses with a ValueError


def traced(name: str, arguments: dict[str, Any], kernel_fn: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel map of a single layer, which finds the sources of its output too.

    Args:
        name: of the constructor.
        arguments: its bound arguments.
        kernel_fn: of neural-tangents; input arrays are handed to it as they are.
    """

    @functools.wraps(kernel_fn)  # also copies what neural-tangents notes on the function, such as `input_req`
    def propagate(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        kernels = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if not all(isinstance(kernel, Kernel) for kernel in kernels):
            return kernel_fn(inputs, *args, **kwargs)
        run = functools.partial(_named, f"stax.{name}", kernel_fn, **kwargs)
        kernels = [kernel if isinstance(kernel, Traced) else trace(kernel, of_inputs()) for kernel in kernels]
        if name in JOINS:
            return JOINS[name](kernels, run, arguments)
        (kernel,) = kernels
        return run(kernel) if name == "FanOut" else trace(run(kernel), _after(name, arguments, kernel))

    return propagate


def require_independent_outputs(sources: Any) -> None:
    """Refuse kernels of a network whose outputs are not centred, independent and of one kernel, `G kron I_C`.

    Raises:
        ValueError: naming the layer after which they are not.
    """
    if sources is not None and sources.obstacle is not None:
        raise ValueError(
            f"at infinite width the outputs after {sources.obstacle} are not independent centred Gaussians with one kernel, "
            "which the theory needs; end the network with stax.Dense(C), or use it at finite width only (empirical, simulate)"
        )


def _named(name: str, kernel_fn: Callable[..., Any], kernel: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`FanIn` layers assume independent inputs")  # they are verified here
        try:
            return kernel_fn(kernel, **kwargs)
        except (NotImplementedError, ValueError) as error:
            if isinstance(error, ValueError) and not any(reason in str(error) for reason in _REASONS):
                raise
            reason = " ".join(str(error).split("> ")[-1].split())  # without the address of neural-tangents' function
            raise ValueError(f"{name} has no infinite-width kernel at this place: {reason}") from error


def _after(name: str, arguments: dict[str, Any], kernel: Any) -> Sources:
    """Sources of the output of a layer with one input."""
    sources = kernel.sources
    if name in PARAMETRISED:
        return Sources((Term(object(), frozenset([Root()]), True),), True, None)
    if name == "Identity":
        return sources
    is_linear, is_norm = name in LINEAR, name == "LayerNorm"
    # what DotGeneral multiplies by may be large; two of them are not compared
    key = (
        (name, repr(arguments), *((t.key, t.coefficient) for t in sources.terms)) if name != "DotGeneral" else object()
    )
    term = Term(key if is_linear or is_norm else object(), sources.roots, (is_linear or is_norm) and sources.is_centred)
    if name == "Flatten" and (positions := _positions(kernel)) > 1:
        return Sources((term,), False, f"stax.Flatten of {positions} positions, which share their weights,")
    return Sources((term,), sources.is_iid, sources.obstacle if is_linear else sources.obstacle or f"stax.{name}")


def _positions(kernel: Any) -> int:
    axes = kernel.batch_axis, kernel.channel_axis
    return math.prod(size for axis, size in enumerate(kernel.shape1) if axis not in axes)
