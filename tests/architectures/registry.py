"""Architectures that the tests of this folder run through: name -> builder from a stax module, so that the same graph can be
built with `ntkng.stax` and with plain neural-tangents."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ntkng import stax as tagged
from ntkng.network import Network

VECTOR, SEQUENCE, IMAGE = (4,), (5, 2), (4, 3, 2)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One graph: `build(stax, width, outputs)` returns a layer; `width` is small, for full matrices; `has_factors` says whether
    every layer has the two factors of K-FAC."""

    build: Callable[..., Any]
    input_shape: tuple[int, ...]
    width: int = 5
    has_factors: bool = False


def network(name: str, width: int | None = None, outputs: int = 2) -> Network:
    """The architecture as a `Network`."""
    architecture = ARCHITECTURES[name]
    return Network(architecture.build(tagged, width or architecture.width, outputs), architecture.input_shape)


def relu_mlp(stax, width, outputs):
    return stax.serial(
        stax.Dense(width, W_std=1.4, b_std=0.2), stax.Relu(), stax.Dense(width, W_std=1.4), stax.Relu(), stax.Dense(outputs)
    )  # fmt: skip


def standard_mlp(stax, width, outputs):
    def dense(units, inputs, scale):
        return stax.Dense(units, W_std=1.3, b_std=0.2, parameterization="standard", s=(inputs, scale))

    return stax.serial(dense(width, 1, 1), stax.Erf(), dense(width, 1, 1), stax.Sin(), dense(outputs, 1, 1))


def scaled_standard_mlp(stax, width, outputs):
    def dense(units, inputs, scale):
        return stax.Dense(units, W_std=1.3, b_std=0.2, parameterization="standard", s=(inputs, scale))

    return stax.serial(dense(width // 2, 1, 2), stax.Erf(), dense(width // 2, 2, 2), stax.Erf(), dense(outputs, 2, 1))


def layer_norm_mlp(stax, width, outputs):
    return stax.serial(
        stax.Dense(width), stax.Gelu(), stax.Dense(width, b_std=0.1), stax.LayerNorm(), stax.Erf(), stax.Dense(outputs)
    )  # fmt: skip


def residual_mlp(stax, width, outputs):
    block = stax.serial(
        stax.FanOut(2), stax.parallel(stax.Identity(), stax.serial(stax.Erf(), stax.Dense(width, b_std=0.1))), stax.FanInSum()
    )  # fmt: skip
    return stax.serial(stax.Dense(width, b_std=0.1), block, block, stax.Erf(), stax.Dense(outputs))


def nested_parallel(stax, width, outputs):
    inner = stax.serial(
        stax.FanOut(2), stax.parallel(stax.Dense(width), stax.serial(stax.Erf(), stax.Dense(width))), stax.FanInSum()
    )  # fmt: skip
    branches = stax.parallel(stax.serial(inner, stax.Erf(), stax.Dense(width)), stax.Identity(), stax.Dense(width))
    return stax.serial(stax.Dense(width, b_std=0.2), stax.FanOut(3), branches, stax.FanInSum(), stax.Dense(outputs))


def product(stax, width, outputs):
    branches = stax.parallel(
        stax.serial(stax.Dense(width, b_std=0.3), stax.Erf(), stax.Dense(width)),
        stax.serial(stax.Dense(width, b_std=0.3), stax.Erf(), stax.Dense(width)),
    )
    return stax.serial(stax.FanOut(2), branches, stax.FanInProd(), stax.Dense(outputs))


def concatenation(stax, width, outputs):
    branches = stax.parallel(
        stax.serial(stax.Dense(width), stax.Erf(), stax.Dense(width, b_std=0.2)), stax.Dense(width, b_std=0.2)
    )
    return stax.serial(
        stax.FanOut(2), branches, stax.FanInConcat(-1), stax.Dense(width), stax.Erf(), stax.Dense(outputs)
    )  # fmt: skip


def repeated(stax, width, outputs):
    return stax.serial(
        stax.Dense(width), stax.repeat(stax.serial(stax.Erf(), stax.Dense(width, b_std=0.2)), 2), stax.Dense(outputs)
    )  # fmt: skip


def numerical(stax, width, outputs):
    return stax.serial(
        stax.Dense(width, b_std=0.2), stax.ElementwiseNumerical(jnp.tanh, deg=200), stax.Dense(width),
        stax.LeakyRelu(0.2), stax.Dense(outputs),
    )  # fmt: skip


def pooled_cnn(stax, width, outputs):
    return stax.serial(
        stax.Conv(width, (3, 2), padding="SAME", b_std=0.3, W_std=1.4), stax.Relu(),
        stax.Conv(width, (2, 3), strides=(2, 1), padding="SAME", W_std=1.4), stax.Erf(),
        stax.GlobalAvgPool(), stax.Dense(outputs, b_std=0.1),
    )  # fmt: skip


def flat_cnn(stax, width, outputs):
    return stax.serial(
        stax.Conv(width, (2, 2), padding="VALID", W_std=1.4), stax.Relu(),
        stax.Conv(width, (2, 2), padding="CIRCULAR", b_std=0.3), stax.Erf(),
        stax.Flatten(), stax.Dense(outputs),
    )  # fmt: skip


def sequence_cnn(stax, width, outputs):
    def conv(units, strides):
        return stax.Conv(units, (3,), (strides,), padding="CIRCULAR", W_std=1.2, b_std=0.2, parameterization="standard")

    return stax.serial(
        conv(width, 1), stax.Erf(), conv(width, 2), stax.Erf(), stax.GlobalSumPool(),
        stax.Dense(outputs, parameterization="standard"),
    )  # fmt: skip


def channels_first_cnn(stax, width, outputs):
    return stax.serial(
        stax.Conv(width, (2, 3), (1, 2), padding="SAME", b_std=0.2, dimension_numbers=("NCHW", "WHIO", "NHWC")), stax.Erf(),
        stax.Conv(width, (1, 2), dimension_numbers=("NHWC", "HWIO", "NWHC")), stax.Erf(),
        stax.Flatten(), stax.Dense(outputs),
    )  # fmt: skip


def local_cnn(stax, width, outputs):
    return stax.serial(
        stax.ConvLocal(width, (2, 2), padding="SAME", b_std=0.2), stax.Erf(),
        stax.ConvLocal(width, (2, 2), (2, 1)), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(outputs),
    )  # fmt: skip


def transposed_cnn(stax, width, outputs):
    return stax.serial(
        stax.Conv(width, (2, 2), (2, 1), padding="SAME"), stax.Erf(),
        stax.ConvTranspose(width, (2, 2), (2, 1), padding="SAME", b_std=0.2), stax.Erf(),
        stax.Flatten(), stax.Dense(outputs),
    )  # fmt: skip


def pooling_cnn(stax, width, outputs):
    return stax.serial(
        stax.Conv(width, (2, 2), padding="SAME", b_std=0.2), stax.Erf(), stax.AvgPool((2, 1), (2, 1)),
        stax.Conv(width, (1, 2)), stax.Gelu(), stax.SumPool((1, 2), padding="SAME"), stax.Flatten(), stax.Dense(outputs),
    )  # fmt: skip


def preactivation_resnet(stax, width, outputs):
    def block(channel_mismatch):
        main = stax.serial(
            stax.Relu(), stax.Conv(width, (2, 2), padding="SAME"), stax.Relu(), stax.Conv(width, (2, 2), padding="SAME")
        )  # fmt: skip
        shortcut = stax.Conv(width, (2, 2), padding="SAME") if channel_mismatch else stax.Identity()
        return stax.serial(stax.FanOut(2), stax.parallel(main, shortcut), stax.FanInSum())

    return stax.serial(
        stax.Conv(width, (2, 2), padding="SAME"), block(True), block(False), stax.Relu(), stax.GlobalAvgPool(),
        stax.Dense(outputs, b_std=0.1),
    )  # fmt: skip


def attention(stax, width, outputs):
    return stax.serial(
        stax.Dense(width, b_std=0.1), stax.LayerNorm(),
        stax.GlobalSelfAttention(width, width, width, max(2, width // 4), W_key_std=1.2, W_query_std=1.1, b_std=0.1), stax.Erf(),
        stax.Dense(width), stax.GlobalAvgPool(), stax.Dense(outputs),
    )  # fmt: skip


def positional_attention(stax, width, outputs):
    return stax.serial(
        stax.Conv(width, (2,)),
        stax.GlobalSelfAttention(
            width, width, width, max(2, width // 4), attention_mechanism="RELU", pos_emb_type="CONCAT", n_chan_pos_emb=width, val_pos_emb=True
        ),
        stax.Erf(), stax.Flatten(), stax.Dense(outputs),
    )  # fmt: skip


def positionwise(stax, width, outputs):
    return stax.serial(
        stax.Dense(width, b_std=0.3), stax.Erf(), stax.Dense(width, W_std=1.3), stax.Erf(), stax.GlobalAvgPool(),
        stax.Dense(outputs),
    )  # fmt: skip


ARCHITECTURES = {
    "relu_mlp": Architecture(relu_mlp, VECTOR, 8, True),
    "standard_mlp": Architecture(standard_mlp, VECTOR, has_factors=True),
    "scaled_standard_mlp": Architecture(scaled_standard_mlp, VECTOR, 6, True),
    "layer_norm_mlp": Architecture(layer_norm_mlp, VECTOR, 6, True),
    "residual_mlp": Architecture(residual_mlp, VECTOR, has_factors=True),
    "nested_parallel": Architecture(nested_parallel, VECTOR, has_factors=True),
    "product": Architecture(product, VECTOR, has_factors=True),
    "concatenation": Architecture(concatenation, VECTOR, has_factors=True),
    "repeated": Architecture(repeated, VECTOR, has_factors=True),
    "numerical": Architecture(numerical, VECTOR, has_factors=True),
    "pooled_cnn": Architecture(pooled_cnn, IMAGE, 4, has_factors=True),
    "flat_cnn": Architecture(flat_cnn, IMAGE, 4, has_factors=True),
    "sequence_cnn": Architecture(sequence_cnn, SEQUENCE, 4, has_factors=True),
    "channels_first_cnn": Architecture(channels_first_cnn, (2, 3, 4), 4, has_factors=True),
    "local_cnn": Architecture(local_cnn, IMAGE, 3),
    "transposed_cnn": Architecture(transposed_cnn, IMAGE, 4),
    "pooling_cnn": Architecture(pooling_cnn, IMAGE, 4, has_factors=True),
    "preactivation_resnet": Architecture(preactivation_resnet, IMAGE, 4, has_factors=True),
    "attention": Architecture(attention, SEQUENCE, 4),
    "positional_attention": Architecture(positional_attention, SEQUENCE, 4),
    "positionwise": Architecture(positionwise, SEQUENCE, 4, has_factors=True),
}
