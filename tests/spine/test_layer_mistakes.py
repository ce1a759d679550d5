"""Mistakes in layers end, where the network is constructed, in errors that name the layer and the fix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax

DENSE = stax.Dense(4)


def fan(*branches, join):
    return stax.serial(stax.FanOut(len(branches)), stax.parallel(*branches), join)


MISTAKES = {
    "no channel axis": (lambda: stax.Conv(8, (3, 3)), (28, 28), r"stax.Conv.*\[N, 28, 28\].*channel axis"),
    "channels too many": (lambda: stax.Conv(8, (3,)), (9, 9, 1), r"stax.Conv.*\[N, 1 spatial axes, channels\]"),
    "pooling a vector": (lambda: stax.serial(DENSE, stax.AvgPool((2, 2))), (4,), r"stax.AvgPool.*\[N, 4\]"),
    "large filter": (lambda: stax.serial(stax.Conv(8, (9, 9)), stax.Flatten()), (6, 6, 1), r"stax.Conv has no.*\[N, 6, 6, 1\]"),
    "large window": (lambda: stax.serial(stax.Conv(8, (3, 3)), stax.SumPool((9, 9))), (6, 6, 1), "stax.SumPool has no output"),
    "along samples": (lambda: fan(DENSE, DENSE, join=stax.FanInConcat(0)), (4,), r"FanInConcat\(axis=0\).*samples"),
    "axis that is not there": (lambda: fan(DENSE, DENSE, join=stax.FanInConcat(2)), (4,), r"FanInConcat\(axis=2\).*-1"),
    "widths that broadcast": (lambda: fan(DENSE, stax.Dense(1), join=stax.FanInSum()), (4,), "stax.FanInSum.*one shape"),
    "sum of ranks": (
        lambda: fan(DENSE, stax.serial(DENSE, stax.Flatten()), join=stax.FanInSum()), (3, 4), "stax.FanInSum.*number of axes"
    ),
    "no branches": (lambda: stax.serial(DENSE, stax.FanInSum()), (4,), "stax.FanInSum expects branches.*FanOut"),
    "branches not joined": (lambda: stax.serial(stax.FanOut(2), DENSE), (4,), "stax.Dense expects one input, got 2"),
    "no fan out": (lambda: stax.parallel(DENSE, DENSE), (4,), r"stax.parallel of 2 layers.*FanOut\(2\)"),
    "branches left over": (lambda: stax.serial(stax.FanOut(3), stax.parallel(DENSE, DENSE)), (4,), "expects 2 inputs, got 3"),
    "two heads": (lambda: stax.serial(stax.FanOut(2), stax.parallel(DENSE, DENSE)), (4,), r"2 branches.*stax.Dense\(C\)"),
    "three heads": (lambda: stax.serial(stax.FanOut(3), stax.parallel(DENSE, DENSE, DENSE)), (4,), "3 branches"),
    "norm over samples": (lambda: stax.serial(DENSE, stax.LayerNorm((0, 1))), (4,), "LayerNorm works along the samples"),
    "norm over everything": (lambda: stax.serial(DENSE, stax.LayerNorm(None)), (4,), "LayerNorm works along the samples"),
    "samples contracted": (
        lambda: stax.serial(DENSE, stax.DotGeneral(lhs=np.eye(3), dimension_numbers=(((1,), (0,)), ((), ())))), (4,),
        "DotGeneral works along the samples",
    ),
    "samples dropped": (lambda: stax.serial(DENSE, stax.Index(stax.Slice[::2])), (4,), "2 outputs of 3 samples"),
    "another batch axis": (lambda: stax.serial(DENSE, stax.GlobalAvgPool(batch_axis=1)), (3, 4), "another batch axis"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_shapes(name):
    layer, shape, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        ntkng.Network(layer(), shape)


def test_sizes_that_no_layer_has():
    for layer, message in (
        (lambda: stax.Dense(0), "out_dim of stax.Dense must be >= 1, got 0"),
        (lambda: stax.Conv(-1, (3, 3)), "out_chan of stax.Conv"),
        (lambda: stax.Conv(8, (3, 0)), "filter_shape of stax.Conv"),
        (lambda: stax.AvgPool((2, 2), (0, 1)), "strides of stax.AvgPool"),
        (lambda: stax.FanOut(0), "num of stax.FanOut"),
        (lambda: stax.repeat(DENSE, 0), "n of stax.repeat"),
        (lambda: stax.Dense(4, W_std=float("nan")), "W_std of stax.Dense"),
        (lambda: stax.Dense(4, b_std=-1.0), "b_std of stax.Dense"),
    ):
        with pytest.raises(ValueError, match=message):
            layer()
    with pytest.raises(TypeError, match="filter_shape of stax.Conv must be a tuple"):
        stax.Conv(8, 3)
    with pytest.raises(TypeError, match="out_dim of stax.Dense must be an integer"):
        stax.Dense(4.0)


def test_missing_layers_name_what_to_use_instead():
    hints = {
        "MaxPool": r"AvgPool\(", "Softmax": "loss='softmax'", "BatchNorm": r"LayerNorm\(", "Tanh": "jax.numpy.tanh",
        "Sigmoid": r"Sigmoid_like\(", "LSTM": "Conv along time", "Embedding": "one-hot", "GroupNorm": "LayerNorm",
        "Swish": "jax.nn.swish", "softplus": "jax.nn.softplus", "log_softmax": "loss='softmax'", "Relus": "did you mean stax.Relu",
    }  # fmt: skip
    for name, hint in hints.items():
        with pytest.raises(AttributeError, match=hint):
            getattr(stax, name)
        assert not hasattr(stax, name)
    with pytest.raises(AttributeError) as found:
        stax.Zzz  # noqa: B018
    assert "Dense" in str(found.value)
    assert "FanInSum" in str(found.value)
    assert not any(
        name in str(found.value) for name in ("Any", "Callable", "NamedTuple", "Layer,", "Dropout", "UNSUPPORTED")
    )


def test_flatten_beside_other_branches():
    with pytest.raises(ValueError, match="stax.parallel got branches with different channel axes"):
        stax.parallel(DENSE, stax.Flatten())


def test_construction_and_kernels_under_strict_settings():
    x = np.random.default_rng(0).normal(size=(2, 3))
    with jax.checking_leaks(), jax.legacy_prng_key("error"):
        ntkng.Network(stax.serial(stax.Conv(2, (2,)), stax.Flatten(), stax.Dense(2)), (3, 1))
        layers = stax.serial(stax.Dense(2), stax.Relu(), stax.Dense(2))
        ntkng.analytic(ntkng.Network(layers, 3), x)
        assert layers.kernel_fn(jnp.float32(x), None, "ntk").shape == (2, 2)
