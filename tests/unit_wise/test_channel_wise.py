"""Unit-wise Fisher of convolutions: one dense block per channel, in NumPy, from full Jacobians of the whole network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import ntkng
from ntkng import stax
from ntkng.fisher import DenseLayer, UnitWise, channel_blocks
from ntkng.layers import affine
from ntkng.simulate import apply_step

N, N_TEST, C = 4, 3, 2
RNG = np.random.default_rng(2)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def pooled():
    return stax.serial(
        stax.Conv(5, (3, 2), padding="SAME", b_std=0.3, W_std=1.4), stax.Relu(),
        stax.Conv(4, (2, 2), strides=(2, 1), padding="VALID"), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(C, b_std=0.1),
    ), (4, 3, 2)  # fmt: skip


def channels_first():
    return stax.serial(
        stax.Conv(4, (2, 3), (1, 2), padding="SAME", b_std=0.2, dimension_numbers=("NCHW", "WHIO", "NHWC")), stax.Erf(),
        stax.Flatten(), stax.Dense(C),
    ), (2, 3, 4)  # fmt: skip


def positionwise():
    return stax.serial(
        stax.Dense(5, b_std=0.3), stax.Erf(), stax.Dense(4), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(C)
    ), (5, 2)  # fmt: skip


CASES = (pooled, pytest.param(channels_first, marks=pytest.mark.slow), positionwise)


@functools.cache
def case(build):
    layer, shape = build()
    net = ntkng.Network(layer, shape)
    rng = np.random.default_rng(3)
    x, x_test = (rng.normal(size=(size, *shape)) for size in (N, N_TEST))
    return net, net.init(jax.random.key(1)), x, x_test


def jacobians(net, parameters, x):
    """Per layer `[N C, channels, weights of the channel and its bias]`."""
    found = []
    differentiate = jax.jit(jax.jacobian(lambda p, x: net.apply(net.join(p), x)))
    for weights, bias in differentiate(net.split(parameters), jnp.asarray(x)):
        size = len(x) * net.outputs
        rows = np.moveaxis(np.asarray(weights), -1, 2).reshape(size, weights.shape[-1], -1)
        if bias is not None:
            rows = np.concatenate([rows, np.asarray(bias).reshape(size, -1, 1)], axis=2)
        found.append(rows)
    return found


@functools.partial(jax.jit, static_argnums=0)
def _linearise(net, parameters, x):
    return net.linearise(parameters, x)[1]


def linearise(net, parameters, x):
    return _linearise(net, parameters, jnp.asarray(x))


def scales(net, parameters, x):
    """`mean(delta^2) tr(A) / N^2` per layer."""
    found = []
    for record in linearise(net, parameters, x):
        rows = np.asarray(affine.view(record).rows())  # checked against full Jacobians in tests/architectures
        found.append(np.mean(np.asarray(record.deltas) ** 2) * np.sum(rows**2) / len(x) ** 2)
    return found


@pytest.mark.parametrize("build", CASES, ids=["pooled", "channels_first", "positionwise"])
def test_against_full_jacobians(build):
    net, parameters, x, x_test = case(build)
    relative, kappa = build is not positionwise, 3e-2
    fisher = UnitWise(kappa, relative=relative)
    residual = RNG.normal(size=(N, net.outputs))
    train, test = jacobians(net, parameters, x), jacobians(net, parameters, x_test)
    dampings = [kappa * (scale if relative else 1) for scale in scales(net, parameters, x)]
    blocks = [
        unit.T @ unit / N + rho * np.eye(unit.shape[1])
        for layer, rho in zip(train, dampings, strict=True)
        for unit in np.moveaxis(layer, 1, 0)
    ]
    flat, flat_test = (
        np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1) for parts in (train, test)
    )
    preconditioned = np.linalg.solve(scipy.linalg.block_diag(*blocks), flat.T) / N

    found = fisher.kernel(ntkng.empirical(net, parameters, x, x_test, units=True))
    agree(found.train, flat @ preconditioned)
    agree(found.cross, flat_test @ preconditioned)

    records = linearise(net, parameters, x)
    moved = apply_step(net, fisher, parameters, records, jnp.asarray(residual), 0.7)
    agree((flatten(net, parameters) - flatten(net, moved)) / 0.7, preconditioned @ residual.ravel())


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def flatten(net, parameters):
    """In the order (layer, channel, weights, bias)."""
    parts = []
    for weights, bias in net.split(parameters):
        rows = np.moveaxis(np.asarray(weights), -1, 0).reshape(weights.shape[-1], -1)
        rows = rows if bias is None else np.concatenate([rows, np.asarray(bias).reshape(-1, 1)], axis=1)
        parts.append(rows.ravel())
    return np.concatenate(parts)


def test_dense_curvature():
    """`Fisher.dense` is the matrix whose inverse gives the kernel, with positions too."""
    net, parameters, x, _ = case(pooled)
    layers = []
    for index, record in enumerate(linearise(net, parameters, x)):
        seen = affine.view(record)
        features = np.asarray(seen.rows()).reshape(N, seen.positions, -1)
        deltas = np.asarray(seen.deltas).reshape(N * C, seen.positions, -1)
        layers.append(DenseLayer.from_factors(features, deltas, is_output=index == net.output_layer))
    jacobian = np.concatenate([layer.jacobian for layer in layers], axis=1)
    expected = jacobian @ np.linalg.solve(UnitWise(0.1).dense(layers, N), jacobian.T) / N
    agree(UnitWise(0.1).kernel(ntkng.empirical(net, parameters, x, None, units=True)).train, expected)


def test_memory_bound_changes_nothing(monkeypatch):
    net, parameters, x, x_test = case(pooled)
    kernels = ntkng.empirical(net, parameters, x, x_test, units=True)
    whole = UnitWise().kernel(kernels)
    monkeypatch.setattr(channel_blocks, "BLOCK_BYTES", 20_000)  # a few channels at a time, with a remainder
    again = UnitWise().kernel(kernels)
    np.testing.assert_allclose(again.train, whole.train, rtol=0, atol=1e-12)
    np.testing.assert_allclose(again.cross, whole.cross, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_training_follows_the_linearisation():
    """Small steps of the network move its function by `-eta K r`, on test inputs by `-eta K' r`."""
    net, parameters, x, x_test = case(pooled)
    problem = ntkng.Problem(net, x, RNG.normal(size=(N, C)), x_test)
    kernel = UnitWise().kernel(ntkng.empirical(net, parameters, x, x_test, units=True))
    run = ntkng.simulate(problem, UnitWise(), step_size=1e-6, steps=1, parameters=parameters)
    residual = run.residual[0, 0].ravel()
    for matrix, path in ((kernel.train, run.train), (kernel.cross, run.test)):
        change, expected = np.diff(np.asarray(path)[0], axis=0).ravel(), -1e-6 * np.asarray(matrix) @ residual
        assert np.linalg.norm(change - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("kind", ["ConvLocal", "ConvTranspose"])
def test_layers_without_channels_are_refused(kind):
    layer = stax.serial(getattr(stax, kind)(4, (2,)), stax.Relu(), stax.Flatten(), stax.Dense(1))
    net = ntkng.Network(layer, (6, 2))
    x = RNG.normal(size=(4, 6, 2))
    parameters = net.init(jax.random.key(0))
    with pytest.raises(ValueError, match=rf"Dense and Conv layers, which layer 1: {kind} is not.*BlockDiagonal"):
        UnitWise().kernel(ntkng.empirical(net, parameters, x, units=True))
    with pytest.raises(ValueError, match=f"1: {kind} is not"):
        ntkng.simulate(ntkng.Problem(net, x, np.ones(4)), UnitWise(), step_size=0.1, steps=1)
    with pytest.raises(ValueError, match=f"K-FAC needs Kronecker factors.*1: {kind}; use BlockDiagonal"):
        ntkng.KFAC(0.1).kernel(ntkng.empirical(net, parameters, x, factors=True))


def test_missing_units_and_infinite_width():
    net, parameters, x, _ = case(pooled)
    with pytest.raises(ValueError, match=r"no units of layer 1: Conv.*empirical\(..., units=True\)"):
        UnitWise().kernel(ntkng.empirical(net, parameters, x))
    with pytest.raises(ValueError, match="multilayer perceptron"):
        ntkng.analytic(net, x, units=UnitWise().unit_sampling())
