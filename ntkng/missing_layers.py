"""What to use instead of layers that other libraries have and `ntkng.stax` does not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_NORMALISED = (
    "it needs statistics of the batch, so that a sample's outputs depend on other samples; use stax.LayerNorm()"
)
_RECURRENT = "its steps share weights, so that they are not independent at infinite width; use stax.Conv along time"
_GROUPS = "groups have few channels each, so that they have no infinite width; use stax.LayerNorm()"
_MAXIMUM = "the maximum over positions has no kernel in closed form; use stax.AvgPool((2, 2), (2, 2))"
_TARGETS = "it belongs to the loss; end the network with stax.Dense(C) and use Problem(..., loss='softmax')"
_LOOKUP = "it looks up rows by integers; pass one-hot inputs to stax.Dense(n)"
_RESHAPE = "use stax.Flatten(), or another input_shape of Network"
_PADDING = "use the argument padding='SAME' of stax.Conv"
_ANY = "use stax.ElementwiseNumerical(function, deg=25) with the function {}"

_INSTEAD = {
    "MaxPool": _MAXIMUM, "GlobalMaxPool": _MAXIMUM, "MinPool": _MAXIMUM, "Maxout": _MAXIMUM,
    "BatchNorm": _NORMALISED, "InstanceNorm": _GROUPS, "GroupNorm": _GROUPS, "RMSNorm": "use stax.LayerNorm()",
    "WeightNorm": "use stax.Dense, whose parametrisation scales by the width", "SpectralNorm": "use stax.Dense",
    "Softmax": _TARGETS, "LogSoftmax": _TARGETS,
    "LSTM": _RECURRENT, "GRU": _RECURRENT, "RNN": _RECURRENT,
    "Embedding": _LOOKUP, "Embed": _LOOKUP,
    "Linear": "use stax.Dense(units)", "Conv1D": "use stax.Conv(channels, (3,))",
    "Conv2D": "use stax.Conv(channels, (3, 3))", "Conv3D": "use stax.Conv(channels, (3, 3, 3))",
    "Conv1d": "use stax.Conv(channels, (3,))", "Conv2d": "use stax.Conv(channels, (3, 3))",
    "GeneralConv": "use stax.Conv with dimension_numbers", "DepthwiseConv": _GROUPS.replace("LayerNorm()", "Conv"),
    "MultiHeadAttention": "use stax.GlobalSelfAttention(..., linear_scaling=True)",
    "Attention": "use stax.GlobalSelfAttention(..., linear_scaling=True)",
    "Sequential": "use stax.serial", "Residual": "use stax.serial(stax.FanOut(2), stax.parallel(...), stax.FanInSum())",
    "Add": "use stax.FanInSum()", "Multiply": "use stax.FanInProd()", "Concatenate": "use stax.FanInConcat()",
    "Reshape": _RESHAPE, "ZeroPad": _PADDING, "Pad": _PADDING, "Upsample": "use stax.ImageResize",
    "Sigmoid": "use stax.Sigmoid_like(), which has a closed form, or stax.ElementwiseNumerical(jax.nn.sigmoid, deg=25)",
    "Tanh": "use stax.Erf(), which has a closed form, or stax.ElementwiseNumerical(jax.numpy.tanh, deg=25)",
    "Swish": _ANY.format("jax.nn.swish"), "Silu": _ANY.format("jax.nn.silu"), "Softplus": _ANY.format("jax.nn.softplus"),
    "Elu": _ANY.format("jax.nn.elu"), "Selu": _ANY.format("jax.nn.selu"), "Celu": _ANY.format("jax.nn.celu"),
    "Mish": _ANY.format("jax.nn.mish"), "Softsign": _ANY.format("jax.nn.soft_sign"),
    "HardTanh": _ANY.format("jax.nn.hard_tanh"), "Hardtanh": _ANY.format("jax.nn.hard_tanh"),
    "Relu6": _ANY.format("jax.nn.relu6"),
    "Prelu": "its slope is trained; use stax.LeakyRelu(alpha)",
}  # fmt: skip
_BY_LOWER_CASE = {name.lower(): reason for name, reason in _INSTEAD.items()}


def explain(name: str, offered: Sequence[str]) -> str:
    """The text of the `AttributeError` for `stax.<name>`."""
    reason = _BY_LOWER_CASE.get(name.lower().replace("_", ""))
    if reason is not None:
        return f"ntkng.stax has no {name}: {reason}"
    close = {known.lower(): known for known in offered}
    like = difflib.get_close_matches(name.lower(), close, n=1)
    hint = f"did you mean stax.{close[like[0]]}? " if like else ""
    return f"ntkng.stax has no {name!r}; {hint}its layers are {', '.join(sorted(offered))}, joined by serial, parallel and repeat"
