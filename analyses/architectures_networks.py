"""The architectures and the digits problem that the figures of `--paper architectures` share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from ntkng import stax
from ntkng.data import load
from ntkng.kernels import Kernels, analytic
from ntkng.network import Network
from ntkng.problem import Problem

SOURCE = "Karakida and Osawa 2020, section 4, on other architectures"
DIGITS = (3, 8)
SAMPLES, TEST_SAMPLES = 20, 100
GAIN = 2**0.5  # keeps the variance through ReLU
BIAS = 0.1
BLOCKS = 3  # of the residual multilayer perceptron
HEADS = 4  # width over number of heads, which must grow with it


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One graph of layers on 8 x 8 images.

    Attributes:
        label: for figures.
        build: from the hidden width (number of channels) to a layer with one output.
        depth: L, the number of parametrised layers, written out and not counted by the library.
        input_shape: what the 64 pixels are reshaped to: a vector, an image, or a sequence of rows.
        shares_weights: whether weights act at several positions, so that K-FAC is not isotropic.
        has_factors: whether all layers have K-FAC's two factors.
    """

    label: str
    build: Callable[[int], stax.Layer]
    depth: int
    input_shape: tuple[int, ...]
    shares_weights: bool = False
    has_factors: bool = True


def _dense(units: int, gain: float = GAIN) -> stax.Layer:
    return stax.Dense(units, W_std=gain, b_std=BIAS)


def _conv(channels: int, stride: int = 1) -> stax.Layer:
    return stax.Conv(channels, (3, 3), (stride, stride), padding="SAME", W_std=GAIN, b_std=BIAS)


def _residual(*branch: stax.Layer) -> stax.Layer:
    """`h + branch(h)`."""
    return stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), stax.serial(*branch)), stax.FanInSum())


def residual_mlp(width: int, blocks: int = BLOCKS) -> stax.Layer:
    """`blocks` times `h + W relu(h)`; `blocks + 2` parametrised layers."""
    residual = [_residual(stax.Relu(), _dense(width, 1.0)) for _ in range(blocks)]
    return stax.serial(_dense(width), *residual, stax.Relu(), _dense(1))


def _layer_norm_mlp(width: int) -> stax.Layer:
    hidden = [layer for _ in range(3) for layer in (_dense(width), stax.LayerNorm(), stax.Relu())]
    return stax.serial(*hidden, _dense(1))


def _pooled_cnn(width: int) -> stax.Layer:
    return stax.serial(
        _conv(width, 2), stax.Relu(), _conv(width), stax.Relu(), stax.GlobalAvgPool(), _dense(1)
    )  # fmt: skip


def _residual_cnn(width: int) -> stax.Layer:
    block = _residual(stax.Relu(), _conv(width), stax.Relu(), _conv(width))
    return stax.serial(_conv(width, 2), block, stax.Relu(), stax.GlobalAvgPool(), _dense(1))


def _attention(width: int) -> stax.Layer:
    heads = max(1, width // HEADS)
    attention = stax.GlobalSelfAttention(width, width, width, heads, W_key_std=2.0, W_query_std=1.0, b_std=BIAS)
    return stax.serial(
        _dense(width), _residual(attention), stax.LayerNorm(), stax.Relu(), _dense(width), stax.Relu(), stax.GlobalAvgPool(),
        _dense(1),
    )  # fmt: skip


ARCHITECTURES = {
    "pooled_cnn": Architecture("CNN, global pooling", _pooled_cnn, 3, (8, 8, 1), shares_weights=True),
    "residual_mlp": Architecture("residual MLP", residual_mlp, BLOCKS + 2, (64,)),
    "residual_cnn": Architecture("pre-activation residual CNN", _residual_cnn, 4, (8, 8, 1), shares_weights=True),
    "layer_norm_mlp": Architecture("LayerNorm MLP", _layer_norm_mlp, 4, (64,)),
    "attention": Architecture("attention block", _attention, 4, (8, 8), shares_weights=True, has_factors=False),
}


@functools.cache
def network(name: str, width: int) -> Network:
    """Cached, because each new `Network` is compiled anew."""
    architecture = ARCHITECTURES[name]
    return Network(architecture.build(width), architecture.input_shape)


@functools.cache
def problem(name: str, width: int, *, samples: int = SAMPLES, seed: int = 0) -> Problem:
    """Digits 3 against 8, centred, inputs of norm 8, in the shape that the architecture takes."""
    data = load("digits").centred().split(samples, TEST_SAMPLES, classes=DIGITS, seed=seed)
    return on_images(network(name, width), data)


def on_images(net: Network, data: tuple[np.ndarray, ...]) -> Problem:
    """The problem with its inputs in the network's shape."""
    x, y, x_test, y_test = data
    return Problem(net, x.reshape(-1, *net.input_shape), y, x_test.reshape(-1, *net.input_shape), y_test)


@functools.cache
def kernels(name: str, *, samples: int = SAMPLES, seed: int = 0, factors: bool = False) -> Kernels:
    """Infinite-width kernels of `problem(...)`, which do not depend on its width."""
    limit = problem(name, 8, samples=samples, seed=seed)
    return analytic(limit.network, limit.x, None if factors else limit.x_test, factors=factors)
