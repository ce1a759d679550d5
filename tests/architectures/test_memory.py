"""Memory of the finite-width Grams, from the compiled program's own account: bounded, and free of `N x P` arrays."""

import jax
import jax.numpy as jnp
import pytest

from ntkng import stax
from ntkng.kernels.analytic import largest_array
from ntkng.kernels.empirical import _empirical
from ntkng.layers import affine_gram, generic
from ntkng.network import Network

SAMPLES, WIDTHS = 64, (256, 1024)


def convolutional(width):
    layers = [layer for _ in range(2) for layer in (stax.Conv(width, (3, 3), padding="SAME"), stax.Relu())]
    return stax.serial(*layers, stax.GlobalAvgPool(), stax.Dense(2)), (4, 4, 1)


def local(width):
    layer = stax.ConvLocal(width, (2, 2), padding="SAME")
    return stax.serial(layer, stax.Relu(), layer, stax.GlobalAvgPool(), stax.Dense(2)), (3, 3, 1)


def dense(width):
    return stax.serial(stax.Dense(width), stax.Relu(), stax.Dense(width), stax.Relu(), stax.Dense(2)), (8,)


def measure(build, width):
    """Parameters, bytes of intermediate results, size of the largest intermediate array, and of the recorded signals."""
    layer, shape = build(width)
    net = Network(layer, shape)
    x = jax.ShapeDtypeStruct((SAMPLES, *shape), jnp.float64)
    parameters = jax.eval_shape(net.init, jax.random.key(0))
    size = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    lowered = _empirical.lower(net, False, False, parameters, x, None)
    jaxpr = jax.make_jaxpr(lambda p, x: _empirical(net, False, False, p, x, None))(parameters, x)
    signals = SAMPLES * width * max(net.positions) * (1 + net.outputs)
    return size, lowered.compile().memory_analysis().temp_size_in_bytes, largest_array(jaxpr.jaxpr), signals


@pytest.mark.parametrize("build", [dense, convolutional, local], ids=lambda f: f.__name__)
def test_gram_memory_does_not_grow_with_the_parameters(build, monkeypatch):
    """From 256 to 1024 units a layer has 16 times as many parameters; what is stored grows with the units, 4 times."""
    monkeypatch.setattr(affine_gram, "BLOCK_BYTES", 2**22)
    with jax.enable_x64(True):
        (few, small, _, _), (many, large, largest, signals) = (measure(build, width) for width in WIDTHS)
    assert many > 12 * few
    fixed = 2 * affine_gram.BLOCK_BYTES
    copies = 8 * many if build is local else 0  # the forward pass of weights that are not shared transposes them
    assert large < 4.5 * small + fixed + copies
    # the full Jacobian would have N C P entries; no array comes near, all together do not
    patches = 9  # a patch holds up to 3 x 3 positions
    assert largest < 2 * max(patches * signals, fixed // 8) < SAMPLES * many / 4
    assert large < SAMPLES * many * 8 / 4


def test_generic_gram_holds_a_chunk_of_parameter_gradients(monkeypatch):
    """Layers without a contraction of their own: the bound on the chunk holds, whatever N is."""
    monkeypatch.setattr(generic, "CHUNK_BYTES", 2**22)
    layer = stax.serial(
        stax.Conv(64, (2, 2), padding="SAME"), stax.ConvTranspose(64, (2, 2), padding="SAME"), stax.Flatten(), stax.Dense(1)
    )  # fmt: skip
    net = Network(layer, (4, 4, 1))
    with jax.enable_x64(True):
        parameters = jax.eval_shape(net.init, jax.random.key(0))
        x = jax.ShapeDtypeStruct((512, 4, 4, 1), jnp.float64)
        compiled = _empirical.lower(net, False, False, parameters, x, None).compile()
        used = compiled.memory_analysis().temp_size_in_bytes
    weights = 4 * 64 * 64 * 8  # bytes of one gradient of the layer
    signals = 512 * 4 * 4 * 64 * 8
    assert used < 512 * weights / 2, "the Jacobian is stored"
    assert used < 8 * signals + 2 * 2**22
