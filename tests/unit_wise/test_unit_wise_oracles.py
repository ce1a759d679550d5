"""Unit-wise Fisher at finite width against full Jacobians, one dense block per unit, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import ntkng
from ntkng.fisher import DenseLayer, UnitWise, unit_blocks
from ntkng.fisher.small_solves import inverse_lower, solve_small
from ntkng.kernels import Gram, Units
from ntkng.kernels.empirical import from_records
from ntkng.simulate import apply_step

RNG = np.random.default_rng(1)
N, M, D = 6, 4, 5
X, X_TEST = RNG.normal(size=(N, D)), RNG.normal(size=(M, D))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def jacobians(network, parameters, x):
    """Per layer `[NC, units, inputs + bias]` by automatic differentiation of the whole network."""
    parts = network.split(parameters)
    result = []
    for weights, bias in jax.jacobian(lambda p: network.apply(network.join(p), jnp.asarray(x)))(parts):
        rows = np.moveaxis(np.asarray(weights), -1, 2)  # [N, C, units, inputs]
        if bias is not None:
            rows = np.concatenate([rows, np.asarray(bias).reshape(*rows.shape[:3], 1)], axis=3)
        result.append(rows.reshape(-1, *rows.shape[2:]))
    return result


def oracle(network, parameters, residual, kappa, relative):
    """K, K' and the parameter step from an explicit inverse of the block-diagonal matrix, built from Jacobians alone."""
    train, test = jacobians(network, parameters, X), jacobians(network, parameters, X_TEST)
    blocks = []
    for layer, jacobian in enumerate(train):
        rho = kappa * mean_block(jacobian, input_lengths(network, parameters, layer)) if relative else kappa
        for unit in np.moveaxis(jacobian, 1, 0):
            blocks.append(unit.T @ unit / N + rho * np.eye(unit.shape[1]))
    inverse = np.linalg.inv(scipy.linalg.block_diag(*blocks))
    flat, flat_test = (np.concatenate([j.reshape(len(j), -1) for j in js], axis=1) for js in (train, test))
    preconditioned = inverse @ flat.T / N
    return flat @ preconditioned, flat_test @ preconditioned, preconditioned @ residual.ravel()


def mean_block(jacobian, lengths):
    """`mean(delta^2) tr(A) / N^2`, with `J[(n, c), i, k] = delta[(n, c), i] a[n, k]` and `lengths = |a|^2`."""
    squares = (jacobian.reshape(N, -1, *jacobian.shape[1:]) ** 2).sum(axis=-1) / lengths[:, None, None]
    return squares.mean() * lengths.sum() / N**2


def input_lengths(network, parameters, layer):
    """`|a_{l-1}[n]|^2`, the squared length of the layer's scaled and augmented input."""
    h = np.asarray(network.linearise(parameters, jnp.asarray(X))[1][layer].inputs)
    arguments, bias = network.tags[layer].arguments, network.split(parameters)[layer][1]
    if arguments["parameterization"] == "standard":
        return (h**2).sum(axis=1) / arguments["s"][0] + (bias is not None)
    return arguments["W_std"] ** 2 * (h**2).mean(axis=1) + (0 if bias is None else arguments["b_std"] ** 2)


def flatten(network, parameters):
    rows = []
    for weights, bias in network.split(parameters):
        part = np.asarray(weights).T
        if bias is not None:
            part = np.concatenate([part, np.asarray(bias).reshape(-1, 1)], axis=1)
        rows.append(part.ravel())
    return np.concatenate(rows)


CASES = [
    ("tanh", 1, 0.0, "ntk", 1e-2, True),
    ("relu", 3, 0.2, "ntk", 1e-2, True),
    ("tanh", 2, 0.1, "standard", 1e-2, True),
    ("erf", 2, 0.2, "ntk", 1e-3, False),
]


@pytest.mark.parametrize(("activation", "outputs", "bias", "parametrisation", "kappa", "relative"), CASES)
def test_against_full_jacobians(activation, outputs, bias, parametrisation, kappa, relative):
    network = ntkng.mlp(
        D, outputs, width=(7, 9), activation=activation, sigma_b=bias, parametrisation=parametrisation
    )  # fmt: skip
    parameters = network.init(jax.random.key(2))
    residual = jnp.asarray(RNG.normal(size=(N, outputs)))
    fisher = UnitWise(kappa, relative=relative)
    train, cross, step = oracle(network, parameters, np.asarray(residual), kappa, relative)

    kernels = ntkng.empirical(network, parameters, X, X_TEST, units=True)
    found = fisher.kernel(kernels)
    np.testing.assert_allclose(found.train, train, rtol=0, atol=1e-10 * np.abs(train).max())
    np.testing.assert_allclose(found.cross, cross, rtol=0, atol=1e-10 * np.abs(cross).max())

    records = network.linearise(parameters, jnp.asarray(X))[1]
    moved = apply_step(network, fisher, parameters, records, residual, 0.7)
    found_step = (flatten(network, parameters) - flatten(network, moved)) / 0.7
    np.testing.assert_allclose(found_step, step, rtol=0, atol=1e-10 * np.abs(step).max())


@pytest.mark.parametrize("relative", [True, False])
def test_dense_curvature(relative):
    """`Fisher.dense` is the matrix whose inverse gives the kernel."""
    network = ntkng.mlp(D, 2, width=(6, 8), activation="erf", sigma_b=0.1)
    parameters = network.init(jax.random.key(0))
    records = network.linearise(parameters, jnp.asarray(X))[1]
    layers = []
    for index, record in enumerate(records):
        features = np.asarray(record.inputs) * 2**0.5 / record.inputs.shape[1] ** 0.5
        features = np.concatenate([features, np.full((N, 1), 0.1)], axis=1)
        deltas = np.asarray(record.deltas).reshape(2 * N, -1)
        layers.append(DenseLayer.from_factors(features, deltas, is_output=index == 2))
    fisher = UnitWise(3e-2, relative=relative)
    jacobian = np.concatenate([layer.jacobian for layer in layers], axis=1)
    expected = jacobian @ np.linalg.solve(fisher.dense(layers, N), jacobian.T) / N
    found = fisher.kernel(ntkng.empirical(network, parameters, X, units=True)).train
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_memory_bound_changes_nothing(monkeypatch):
    network = ntkng.mlp(D, 2, width=13, activation="relu")
    kernels = ntkng.empirical(network, network.init(jax.random.key(0)), X, X_TEST, units=True)
    records = network.linearise(network.init(jax.random.key(0)), jnp.asarray(X))[1]
    residual = jnp.ones((N, 2))

    def everything():
        found = UnitWise().kernel(kernels)
        return found.train, found.cross, *UnitWise().cotangents(from_records(network, records), records, residual)

    whole = everything()
    monkeypatch.setattr(unit_blocks, "BLOCK_BYTES", 4000)  # a few units at a time, with a remainder
    for one, other in zip(whole, everything(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_batches_stay_inside_the_bound():
    units, inner = Units(jnp.ones((4096, 500, 2))), Gram(jnp.eye(500), jnp.ones((100, 500)))
    batch = unit_blocks._batch(inner, units, False)
    assert 1 <= batch < 4096
    assert batch * 8 * (3 * 500**2 + 2 * 600 * 500) <= unit_blocks.BLOCK_BYTES


def test_inactive_units_and_samples():
    """A unit that is active nowhere contributes nothing, one that is active on some samples only moves these."""
    inner = jnp.asarray(np.cov(RNG.normal(size=(3, 20))))
    deltas = np.zeros((3, 2, 4))
    deltas[1, :, 1], deltas[:, 0, 2] = 1.0, [1.0, 0.0, 2.0]
    cotangents = np.asarray(unit_blocks.cotangents(inner, jnp.asarray(deltas), jnp.asarray(0.1), jnp.ones((3, 2))))
    assert np.isfinite(cotangents).all()
    assert (cotangents[:, [0, 3]] == 0).all()
    assert (cotangents[[0, 2], 1] == 0).all()
    assert cotangents[1, 1] != 0
    assert cotangents[1, 2] == 0


@pytest.mark.parametrize("size", [1, 2, 8, 9, 17, 33, 40])
def test_small_solves(size):
    root = RNG.normal(size=(5, size, size + 3))
    systems, right = jnp.asarray(root @ root.transpose(0, 2, 1)), jnp.asarray(RNG.normal(size=(5, size, 3)))
    found = jax.vmap(solve_small)(systems, right)
    np.testing.assert_allclose(systems @ found, right, rtol=0, atol=1e-9)
    factor = np.linalg.cholesky(np.asarray(systems[0]))
    np.testing.assert_allclose(inverse_lower(jnp.asarray(factor)), np.linalg.inv(factor), rtol=1e-9, atol=1e-9)


def test_float32_follows_float64():
    network = ntkng.mlp(D, 1, width=64, activation="tanh")
    parameters = network.init(jax.random.key(0))
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), parameters)
    one = UnitWise().kernel(ntkng.empirical(network, parameters, X, X_TEST, units=True))
    other = UnitWise().kernel(ntkng.empirical(network, single, X, X_TEST, units=True))
    assert other.train.dtype == np.float32
    np.testing.assert_allclose(other.train, one.train, rtol=0, atol=2e-4 * float(one.train.max()))


def test_traced_damping_has_a_derivative():
    network = ntkng.mlp(D, 1, width=8, activation="tanh")
    kernels = ntkng.empirical(network, network.init(jax.random.key(0)), X, units=True)

    def trace(kappa):
        return jnp.trace(UnitWise(kappa).kernel(kernels).train)

    slope = jax.grad(trace)(0.05)
    np.testing.assert_allclose(slope, (trace(0.05 + 1e-5) - trace(0.05 - 1e-5)) / 2e-5, rtol=1e-5)


@pytest.mark.parametrize("damping", [0, 0.0, -1.0, float("nan")])
def test_damping_is_required(damping):
    with pytest.raises(ValueError, match="damping"):
        UnitWise(damping)


def test_missing_units():
    network = ntkng.mlp(D, 1, width=8)
    for kernels in (ntkng.analytic(network, X), ntkng.empirical(network, network.init(jax.random.key(0)), X)):
        with pytest.raises(ValueError, match=r"no units of layer 1: Dense.*units=UnitSampling"):
            UnitWise().kernel(kernels)
