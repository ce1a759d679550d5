"""Angles between the images of inputs, exact for equal, nearly equal and collinear ones, beside every kernel.

neural-tangents computes the angle of a ReLU kernel from the correlation, whose rounding error near 1 takes half of the
digits. Here a chord (see `ntkng.angles.chord`) goes along with each kernel on a `KernelTape`, layer by layer: `entrance` notes
that of the inputs, `follow` makes a layer keep it. Behind a layer without a rule it is estimated from the kernel again,
as neural-tangents does, but for equal inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ntkng._neural_tangents import Kernel
from ntkng.angles import layers
from ntkng.angles.inputs import entrance as entrance
from ntkng.angles.rectifiers import rectified, sign
from ntkng.tape import KernelTape, current

# (arguments of the layer, tape, incoming kernels, the layer's map of neural-tangents) -> outgoing kernel
Rule = Callable[[Any, KernelTape, Any, Callable[..., Any]], Any]


def _with_slopes(slopes: Callable[[Mapping[str, Any]], tuple[float, float]]) -> Rule:
    return lambda arguments, *rest: rectified(slopes(arguments), *rest)


RULES: dict[str, Rule] = {
    "Relu": _with_slopes(lambda _: (0.0, 1.0)),
    "LeakyRelu": _with_slopes(lambda arguments: (arguments["alpha"], 1.0)),
    "ABRelu": _with_slopes(lambda arguments: (arguments["a"], arguments["b"])),
    "Abs": _with_slopes(lambda _: (-1.0, 1.0)),
    "Sign": sign,
    "Dense": layers.dense,
    "Conv": layers.convolution,
    "Flatten": layers.flattened,
    "LayerNorm": layers.unchanged,
    "Index": layers.selected,
    "FanInSum": layers.summed,
    "FanInConcat": layers.concatenated,
    "FanInProd": layers.multiplied,
}


def follow(name: str, arguments: Mapping[str, Any], kernel_fn: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel_fn` of the layer `name`, which under a `KernelTape` also says how far its images are from parallel."""
    rule = RULES.get(name)
    if rule is None:
        return kernel_fn

    @functools.wraps(kernel_fn)  # also copies what neural-tangents notes on the function, such as `input_req`
    def followed(kernel: Any, *args: Any, **kwargs: Any) -> Any:
        tape = current(KernelTape)
        kernels = kernel if isinstance(kernel, (tuple, list)) else [kernel]
        if tape is None or not all(isinstance(k, Kernel) and k.diagonal_batch for k in kernels):
            return kernel_fn(kernel, *args, **kwargs)
        return rule(arguments, tape, kernel, lambda k: kernel_fn(k, *args, **kwargs))

    return followed
