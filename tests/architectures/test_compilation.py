"""Programs of kernels compile in the same time at every size, and hold no convolution of one channel (see ntkng.angles.filters)."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax
from ntkng.angles.filters import Filter
from ntkng.kernels import tiles
from ntkng.kernels.analytic import _tile, layerwise
from ntkng.kernels.empirical import _empirical


def seconds_to_compile(function, *shapes):
    with jax.enable_x64(True):
        lowered = jax.jit(function).lower(*[jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes])
        start = time.process_time()
        lowered.compile()
        return time.process_time() - start


def test_symmetric_matrices_compile_at_once_at_every_size():
    # 250, 512 and 960 took 3 s, 16 s and minutes
    for size in (250, 512, 960):
        assert seconds_to_compile(tiles._mirror, (size, size)) < 2
    assert seconds_to_compile(tiles._mirror, (15, 15, 64, 64)) < 2


def pairs(kernel, size, stride, padding):
    """Mean over the shifts of one filter, by indices."""
    count = len(kernel)
    low = {"VALID": 0}.get(padding, max((-(-count // stride) - 1) * stride + size - count, 0) // 2)
    outputs = (count - size) // stride + 1 if padding == "VALID" else -(-count // stride)

    def entry(i, j):
        return kernel[i % count, j % count] if padding == "CIRCULAR" or (min(i, j) >= 0 and max(i, j) < count) else 0.0

    def mean(i, j):
        return sum(entry(i * stride + k - low, j * stride + k - low) for k in range(size)) / size

    return np.array([[mean(i, j) for j in range(outputs)] for i in range(outputs)])


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
def test_averages_over_shifts(padding):
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=(5, 5)), rng.normal(size=(4, 4))
    kernel = type("Kernel", (), {"shape1": (1, 5, 4, 1), "diagonal_spatial": False, "is_reversed": False})
    with jax.enable_x64(True):
        for (size, stride), (other, step) in [((2, 3), (3, 2)), ((4, 1), (1, 2))]:
            arguments = {
                "dimension_numbers": None,
                "filter_shape": (size, other),
                "strides": (stride, step),
                "padding": padding,
            }
            found = Filter(arguments, kernel).average(jnp.asarray(np.multiply.outer(rows, columns))[None], 1)
            # spatial axes come back in reversed order
            expected = np.multiply.outer(pairs(columns, other, step, padding), pairs(rows, size, stride, padding))
            np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-14)


def architecture(name):
    def conv(strides=(1, 1)):
        return stax.Conv(8, (3, 3), padding="SAME", strides=strides)

    if name == "flat":
        layers, shape = (conv(), stax.Relu(), conv(), stax.Relu(), stax.Flatten(), stax.Dense(1)), (8, 8, 1)
    elif name == "pooled":
        layers, shape = (conv(), stax.Relu(), conv((2, 2)), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(3)), (8, 8, 2)
    else:
        branches = stax.parallel(stax.Identity(), stax.serial(stax.Relu(), stax.Conv(8, (3,), padding="SAME")))
        block = stax.serial(stax.FanOut(2), branches, stax.FanInSum())
        tail = stax.Erf(), stax.AvgPool((2,), (2,)), stax.Flatten(), stax.Dense(2)
        layers, shape = (stax.Conv(8, (3,)), block, *tail), (20, 3)
    return ntkng.Network(stax.serial(*layers), shape)


def test_kernels_of_convolutions_hold_no_convolution():
    network = architecture("pooled")
    with jax.enable_x64(True):
        x = jax.ShapeDtypeStruct((5, *network.input_shape), jnp.float64)
        program = jax.jit(functools.partial(layerwise, network, x2=None, factors=True)).lower(x).compile()
    assert " convolution(" not in program.as_text()  # what is not used, neural-tangents' own, is gone by then


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flat", "pooled", "residual"])
def test_compilation_time_does_not_depend_on_the_number_of_samples(name):
    network = architecture(name)
    with jax.enable_x64(True):
        parameters = jax.eval_shape(network.init, jax.random.key(0))
    shapes, tree = jax.tree.flatten(
        jax.tree.map(lambda leaf: leaf.shape, parameters), is_leaf=lambda s: isinstance(s, tuple)
    )
    tile = functools.partial(_tile, (network, True))

    def empirical(x, x_test, *leaves):
        return _empirical(network, True, False, jax.tree.unflatten(tree, leaves), x, x_test)

    for samples in (5, 8, 10, 12, 14, 15, 16, 20, 21, 28, 30, 31, 32, 33, 36, 40):
        x, x_test = (samples, *network.input_shape), (4, *network.input_shape)
        times = {
            "train": seconds_to_compile(lambda x: jax.tree.map(tiles._mirror, tile(x, None, 0)), x),
            "cross": seconds_to_compile(lambda x_test, x: tile(x_test, x, None), x_test, x),
            "empirical": seconds_to_compile(empirical, x, x_test, *shapes),
        }
        assert max(times.values()) < 15, f"{name}, N = {samples}: {times}"
