"""`mlp`: the common case of a network, every choice a named argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ntkng import stax
from ntkng.network import Network
from ntkng.validation import nonnegative, positive, positive_integer

ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": lambda: stax.Relu(),
    "erf": lambda: stax.Erf(),
    "gelu": lambda: stax.Gelu(),
    "sigmoid_like": lambda: stax.Sigmoid_like(),
    "tanh": lambda: stax.ElementwiseNumerical(jnp.tanh),
    "sigmoid": lambda: stax.ElementwiseNumerical(jax.nn.sigmoid),
    "softplus": lambda: stax.ElementwiseNumerical(jax.nn.softplus),
    "silu": lambda: stax.ElementwiseNumerical(jax.nn.silu),
    "swish": lambda: stax.ElementwiseNumerical(jax.nn.silu),
    "leaky_relu": lambda: stax.LeakyRelu(0.1),
    "abs": lambda: stax.Abs(),
    "sin": lambda: stax.Sin(),
    "cos": lambda: stax.Cos(),
    "gaussian": lambda: stax.Gaussian(),
    "linear": lambda: stax.Identity(),
}


def mlp(
    inputs: int,
    outputs: int = 1,
    *,
    width: int | tuple[int, ...] = 512,
    depth: int | None = None,
    activation: str | stax.Layer = "relu",
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    parametrisation: str = "ntk",
) -> Network:
    """Multilayer perceptron `u_l = (sigma_w / sqrt(M_{l-1})) W_l h_{l-1} + sigma_b b_l`, `h_l = phi(u_l)`, `f = u_L`.

    Args:
        inputs: `M_0`, input dimension.
        outputs: C.
        width: hidden width, or one width per hidden layer.
        depth: L, the number of parametrised layers (`L - 1` hidden ones); default 3, or what `width` implies.
        activation: a name from `ACTIVATIONS`, or any elementwise layer of `ntkng.stax`.
        sigma_w: standard deviation of the weights, in all layers.
        sigma_b: of the biases; 0 means no biases.
        parametrisation: `"ntk"` (weights of unit variance, scaled in the forward pass) or `"standard"`.

    Raises:
        TypeError: a width, depth or dimension that is not an integer.
        ValueError: one that is not positive, an unknown activation (the known ones are named), or `width` and `depth`
            that contradict each other.
    """
    inputs, outputs = positive_integer("inputs", inputs), positive_integer("outputs", outputs)
    widths = _widths(width, depth)
    sigma_w, sigma_b = positive("sigma_w", sigma_w), nonnegative("sigma_b", sigma_b)
    if parametrisation not in ("ntk", "standard"):
        raise ValueError(f"parametrisation must be 'ntk' or 'standard', got {parametrisation!r}")
    phi = _activation(activation)

    def dense(units: int) -> stax.Layer:
        bias = sigma_b if sigma_b > 0 else None
        return stax.Dense(units, W_std=sigma_w, b_std=bias, parameterization=parametrisation)

    layers = [part for units in widths for part in (dense(units), phi)]
    return Network(stax.serial(*layers, dense(outputs)), inputs)


def _widths(width: int | tuple[int, ...], depth: int | None) -> tuple[int, ...]:
    if isinstance(width, (tuple, list)):
        widths = tuple(positive_integer("width", units) for units in width)
        if depth is not None and len(widths) != depth - 1:
            raise ValueError(
                f"got {len(widths)} hidden widths and depth {depth}, expected depth - 1 widths; drop depth"
            )
        return widths
    depth = 3 if depth is None else positive_integer("depth", depth)
    return (positive_integer("width", width),) * (depth - 1)


def _activation(activation: str | stax.Layer) -> stax.Layer:
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"unknown activation {activation!r}; choose from {sorted(ACTIVATIONS)}, or pass a stax layer"
            )
        return ACTIVATIONS[activation]()
    return stax.require_layer(activation, "activation")
