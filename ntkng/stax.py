"""The layers of neural-tangents, with the parametrised ones tagged.

Everything of `neural_tangents.stax` is here under its own name and with its own arguments: build networks with
`ntkng.stax.serial(ntkng.stax.Dense(512, W_std=2**0.5), ntkng.stax.Relu(), ntkng.stax.Dense(1))` and so on. Each
constructor returns a `Layer`, a triple `(init_fn, apply_fn, kernel_fn)` that ntkng can follow layer by layer; plain
neural-tangents triples, whose parametrised layers cannot be told apart, are refused.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from ntkng import activations as _activations
from ntkng import angles as _angles
from ntkng import tape as _tape
from ntkng._neural_tangents import Kernel as _Kernel
from ntkng._neural_tangents import lenient as _lenient
from ntkng._neural_tangents import stax as _stax
from ntkng.layer_shapes import branching as _branching
from ntkng.layer_shapes import checked as _checked
from ntkng.layer_shapes import require_sizes as _require_sizes
from ntkng.missing_layers import explain as _explain
from ntkng.recipe import Recipe, recorded
from ntkng.sources import PARAMETRISED
from ntkng.sources import traced as _traced
from ntkng.validation import positive_integer as _positive_integer

UNSUPPORTED = {
    "Dropout": "its function is random, so that no kernel describes one training run; leave it out",
    "ExpNormalized": "neural-tangents gives it a kernel but no function, so that there is no finite network",
    "RectifiedMonomial": "neural-tangents' kernel of it is NaN between an input and itself; use Relu or a smooth function",
    "Aggregate": "the graph that it aggregates over is passed beside the inputs, which Network has no place for",
}


class _Triple(NamedTuple):
    init_fn: Callable[..., Any]
    apply_fn: Callable[..., Any]
    kernel_fn: Callable[..., Any]


class Layer(_Triple):
    """A layer or network whose parametrised parts are tagged: a triple as in neural-tangents.

    Attributes:
        init_fn: `(key, input_shape) -> (output_shape, parameters)`.
        apply_fn: `(parameters, inputs) -> outputs`, finite width.
        kernel_fn: `(x1, x2, get) -> kernels`, infinite width.
        recipe: the constructor that made it and its arguments; `None` for a triple put together by hand.
    """

    recipe: Recipe | None = None

    def __repr__(self) -> str:
        return "Layer(init_fn, apply_fn, kernel_fn)" if self.recipe is None else f"stax.{self.recipe!r}"

    def __deepcopy__(self, memo: Any) -> Layer:
        return self

    def __reduce__(self) -> Any:
        if self.recipe is None:
            raise TypeError(
                "a layer put together by hand cannot be pickled; make it with the constructors of ntkng.stax"
            )
        return _made, (self.recipe,)


def _made(recipe: Recipe) -> Layer:
    return recipe.build()


def require_layer(value: Any, where: str) -> Layer:
    """`value` if it was made by `ntkng.stax`; `TypeError` that says what to use instead otherwise."""
    if isinstance(value, Layer):
        return value
    if isinstance(value, tuple) and len(value) == 3 and all(callable(part) for part in value):
        raise TypeError(
            f"{where} got a plain neural-tangents triple (init_fn, apply_fn, kernel_fn), whose parametrised layers "
            "cannot be told apart; build the same network from ntkng.stax: `from ntkng import stax` in place of "
            "`from neural_tangents import stax`, the constructors and arguments are the same"
        )
    raise TypeError(f"{where} expects a layer made by ntkng.stax, got {type(value).__name__}")


def _bound(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _dense_apply(arguments: dict[str, Any], apply_fn: Callable[..., Any]) -> Callable[..., Any]:
    """The affine map of `Dense` as one product `x W` without transposes, for the usual axes."""
    if arguments["channel_axis"] != -1 or arguments["batch_axis"] != 0:
        return apply_fn
    is_ntk = arguments["parameterization"].lower() == "ntk"
    bias_scale = arguments["b_std"] if is_ntk else 1.0

    def apply(parameters: Any, inputs: Any, **_: Any) -> Any:
        weights, bias = parameters
        scale = arguments["W_std"] / inputs.shape[-1] ** 0.5 if is_ntk else arguments["s"][0] ** -0.5
        outputs = scale * (inputs @ weights)
        return outputs if bias is None else outputs + bias_scale * bias

    return apply


def _keep_precision(apply_fn: Callable[..., Any]) -> Callable[..., Any]:
    """The scale of a convolution is a NumPy float64, which would turn float32 outputs into float64."""

    def apply(parameters: Any, inputs: Any, **kwargs: Any) -> Any:
        return apply_fn(parameters, inputs, **kwargs).astype(inputs.dtype)

    return apply


def _constructor(name: str) -> Callable[..., Layer]:
    constructor = getattr(_activations, name, getattr(_stax, name))
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def construct(*args: Any, **kwargs: Any) -> Layer:
        arguments = _bound(signature, args, kwargs)
        _require_sizes(name, arguments)
        init_fn, apply_fn, kernel_fn = map(_lenient, constructor(*args, **kwargs))
        init_fn = _checked(name, arguments, init_fn, apply_fn)
        if name in PARAMETRISED:
            apply_fn = _dense_apply(arguments, apply_fn) if name == "Dense" else _keep_precision(apply_fn)
            init_fn, apply_fn, kernel_fn = _tag(_tape.Tag(name, arguments, apply_fn), init_fn, kernel_fn)
        else:
            kernel_fn = _angles.follow(name, arguments, kernel_fn)
        return Layer(init_fn, apply_fn, _traced(name, arguments, kernel_fn))

    return construct


def _tag(tag: _tape.Tag, init_fn: Callable[..., Any], kernel_fn: Callable[..., Any]) -> Layer:
    @functools.wraps(init_fn)
    def tagged_init(key: Any, input_shape: Any, **kwargs: Any) -> Any:
        shape, parameters = init_fn(key, input_shape, **kwargs)
        structure = _tape.current(_tape.StructureTape)
        return shape, parameters if structure is None else structure.mark(tag, parameters)

    def tagged_apply(parameters: Any, inputs: Any, **kwargs: Any) -> Any:
        outputs = tag.apply_fn(parameters, inputs, **kwargs)
        finite = _tape.current(_tape.FiniteTape)
        return outputs if finite is None else finite.visit(tag, parameters, inputs, outputs)

    followed = _angles.follow(tag.kind, tag.arguments, kernel_fn)

    @functools.wraps(kernel_fn)  # also copies what neural-tangents notes on the function, such as `input_req`
    def tagged_kernel(kernel: Any, *args: Any, **kwargs: Any) -> Any:
        outgoing = followed(kernel, *args, **kwargs)
        kernels = _tape.current(_tape.KernelTape)
        if kernels is None or not isinstance(kernel, _Kernel) or kernel.ntk is None:
            return outgoing
        # the map is affine in the incoming NTK: what is left at NTK 0 is the term of this layer's own parameters; a scalar 0
        # is what inputs start with, and neural-tangents does not propagate it through convolutions
        own = followed(kernel.replace(ntk=jnp.zeros((), kernel.nngp.dtype)), *args, **kwargs).ntk
        return kernels.visit(tag, kernel, own, outgoing)

    return Layer(tagged_init, tagged_apply, tagged_kernel)


def _combinator(name: str) -> Callable[..., Layer]:
    constructor = getattr(_stax, name)

    @functools.wraps(constructor)
    def construct(*layers: Any) -> Layer:
        if not layers:
            raise ValueError(f"stax.{name} got no layers, expected at least one")
        parts = [require_layer(layer, f"stax.{name}") for layer in layers]
        try:
            init_fn, apply_fn, kernel_fn = map(_lenient, constructor(*parts))
        except TypeError as error:  # neural-tangents compares the channel axes of branches, of which Flatten has none
            raise ValueError(
                f"stax.{name} got branches with different channel axes, stax.Flatten beside others; put stax.Flatten before "
                "stax.FanOut, or at the end of every branch"
            ) from error
        return Layer(_branching(len(parts), init_fn) if name == "parallel" else init_fn, apply_fn, kernel_fn)

    return construct


def _refused(name: str, reason: str) -> Callable[..., Layer]:
    def construct(*_: Any, **__: Any) -> Layer:
        raise ValueError(f"stax.{name} is not supported: {reason}")

    return construct


def repeat(layer: Layer, n: int) -> Layer:
    """`serial(*[layer] * n)`: the `n` copies have their own parameters and are told apart (neural-tangents scans)."""
    return serial(*[layer] * _positive_integer("n of stax.repeat", n))


def _names() -> list[str]:
    return [n for n, v in vars(_stax).items() if inspect.isfunction(v) and n[0].isupper() and v.__module__ != "typing"]


serial = recorded("serial", _combinator("serial"))
parallel = recorded("parallel", _combinator("parallel"))
for _name in _names():
    if _name in UNSUPPORTED:
        globals()[_name] = _refused(_name, UNSUPPORTED[_name])
    else:
        globals()[_name] = recorded(_name, _constructor(_name))
for _name in ("Padding", "PositionalEmbedding", "AttentionMechanism", "AggregateImplementation", "Slice"):
    if hasattr(_stax, _name):
        globals()[_name] = getattr(_stax, _name)
del _name


def __getattr__(name: str) -> Any:  # also tells type checkers that the names above exist
    raise AttributeError(_explain(name, [known for known in _names() if known not in UNSUPPORTED]))
