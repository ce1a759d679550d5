"""Every Fisher approximation on every architecture, in function space and in parameter space, against full matrices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from architectures.full_matrices import OUTPUTS, SAMPLES, TESTS, flatten, full_matrices
from architectures.registry import ARCHITECTURES, network

from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, DenseLayer, Exact, GradientDescent
from ntkng.kernels.empirical import from_records
from ntkng.layers import pullback
from ntkng.layers.affine import view

TOLERANCE = 1e-9
DAMPED = {"Exact": Exact(0.1), "BlockDiagonal": BlockDiagonal(0.1), "BlockTriDiagonal": BlockTriDiagonal(0.1)}
UNDAMPED = {"Exact": Exact(), "BlockDiagonal": BlockDiagonal(), "BlockTriDiagonal": BlockTriDiagonal()}
FAST_FACTORED = ("relu_mlp", "channels_first_cnn", "positionwise")
FACTORED = [
    pytest.param(name, marks=() if name in FAST_FACTORED else pytest.mark.slow)
    for name, architecture in ARCHITECTURES.items()
    if architecture.has_factors
]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def case(name):
    """Network, what the library computes of it, and the full matrices; computed once for all tests of an architecture."""
    rng, architecture = np.random.default_rng(1), ARCHITECTURES[name]
    net = network(name, outputs=OUTPUTS)
    parameters = net.init(jax.random.key(3))
    x, x_test = (rng.normal(size=(size, *net.input_shape)) for size in (SAMPLES, TESTS))
    y = rng.normal(size=(SAMPLES, OUTPUTS))

    @jax.jit
    def linearise(parameters, joint):
        records = net.linearise(parameters, joint)[1]
        train, test = (
            tuple(part(record, which) for record in records) for which in (slice(SAMPLES), slice(SAMPLES, None))
        )
        return train, test, from_records(net, train, test, factors=architecture.has_factors)

    records, test_records, kernels = linearise(parameters, jnp.concatenate([x, x_test]))
    return net, records, test_records, kernels, full_matrices(net, parameters, x, x_test, y)


def part(record, which):
    """The record of some of the samples."""
    return dataclasses.replace(record, inputs=record.inputs[which], deltas=record.deltas[which])


def pattern(fisher, depth):
    index = np.arange(depth)
    distance = np.abs(index[:, None] - index)
    return (distance <= {"Exact": depth, "BlockDiagonal": 0, "BlockTriDiagonal": 1}[fisher.name]).astype(float)


def step_of(fisher, name):
    net, records, _, kernels, full = case(name)
    cotangents = fisher.cotangents(kernels, records, jnp.asarray(full.residual))
    return np.concatenate([flatten(pullback(record, d)) for record, d in zip(records, cotangents, strict=True)])


def agree(found, expected, tolerance=TOLERANCE):
    assert np.abs(np.asarray(found) - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layer_kernels(name):
    net, _, _, kernels, full = case(name)
    assert len(kernels.layers) == net.depth == len(full.train)
    for layer, train, test in zip(kernels.layers, full.train, full.test, strict=True):
        agree(layer.theta.train, train @ train.T, 1e-12)
        agree(layer.theta.cross, test @ train.T, 1e-12)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradient_descent(name):
    *_, full = case(name)
    expected = np.concatenate(full.train, axis=1).T @ full.residual.ravel() / SAMPLES
    agree(step_of(GradientDescent(), name), expected)


@pytest.mark.parametrize("fisher", DAMPED.values(), ids=DAMPED)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_damped(name, fisher):
    _, _, _, kernels, full = case(name)
    inverse = full.inverse(pattern(fisher, len(full.train)), fisher.damping)
    check(fisher, name, kernels, full.results(inverse))


@pytest.mark.parametrize("fisher", UNDAMPED.values(), ids=UNDAMPED)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_undamped(name, fisher):
    _, _, _, kernels, full = case(name)
    alpha = fisher.predicted_alpha(kernels)
    found = fisher.kernel(kernels)
    assert found.alpha == pytest.approx(alpha, abs=1e-8)
    assert found.off_isotropy < 1e-8
    depth = len(full.train)
    if fisher.name == "BlockTriDiagonal" and depth % 3 == 2:
        return  # the pattern is singular: a limit of damped ones, not a pseudo-inverse
    check(fisher, name, kernels, full.results(full.inverse(pattern(fisher, depth), 0)), kernel_tolerance=1e-8)


def check(fisher, name, kernels, expected, kernel_tolerance=TOLERANCE):
    train, cross, step = expected
    found = fisher.kernel(kernels)
    agree(found.train, train, kernel_tolerance)
    agree(found.cross, cross, kernel_tolerance)
    agree(step_of(fisher, name), step)


# -- K-FAC -----------------------------------------------------------------------------------------------------------


@functools.cache
def factor_layers(name):
    """Features and backward signals of every layer, checked against the layer's own map and its full Jacobian."""
    net, records, test_records, _, full = case(name)
    layers = []
    for part, jacobians in ((records, full.train), (test_records, full.test)):
        made = []
        for index, (record, jacobian) in enumerate(zip(part, jacobians, strict=True)):
            seen = view(record)
            features = np.asarray(seen.rows()).reshape(record.samples, seen.positions, -1)
            deltas = np.asarray(seen.deltas).reshape(-1, seen.positions, seen.deltas.shape[-1])
            dense = DenseLayer.from_factors(features, deltas, index == net.output_layer)
            agree(reorder(dense.jacobian, record, features.shape[-1]), jacobian, 1e-12)
            made.append(dense)
        layers.append(made)
    return layers


def reorder(jacobian, record, length):
    """Columns in the order (unit, input, bias) as weights, then bias, in the layout of the layer's own arrays."""
    weights, bias = record.parameters
    by_input = jacobian.reshape(len(jacobian), -1, length).transpose(0, 2, 1)
    count = length - (bias is not None)
    parts = [by_input[:, :count].reshape(len(jacobian), -1)]
    if record.tag.kind == "Conv" and record.tag.arguments["dimension_numbers"] is not None:
        rhs = record.tag.arguments["dimension_numbers"][1]
        assert rhs.endswith("IO"), "the test assumes weights in the order of the patches"
    if bias is not None:
        parts.append(by_input[:, count])
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("name", FACTORED)
def test_kfac(name, sharing):
    fisher = KFAC(0.1, sharing=sharing)
    _, _, _, kernels, full = case(name)
    train, test = factor_layers(name)
    if sharing == "reduce" and all(layer.positions == 1 for layer in kernels.layers):
        assert np.array_equal(fisher.kernel(kernels).train, KFAC(0.1).kernel(kernels).train)
        return
    joined = [np.concatenate([layer.jacobian for layer in layers], axis=1) for layers in (train, test)]
    preconditioned = np.linalg.solve(fisher.dense(train, SAMPLES), joined[0].T) / SAMPLES
    found = fisher.kernel(kernels)
    agree(found.train, joined[0] @ preconditioned)
    agree(found.cross, joined[1] @ preconditioned)
    step = preconditioned @ full.residual.ravel()
    # the same order of parameters for both
    _, records, *_ = case(name)
    sizes = np.cumsum([layer.jacobian.shape[1] for layer in train])[:-1]
    parts = [
        reorder(part[None], record, layer.features.shape[-1])[0]
        for part, record, layer in zip(np.split(step, sizes), records, train, strict=True)
    ]
    agree(step_of(fisher, name), np.concatenate(parts))
