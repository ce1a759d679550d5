"""Every Fisher approximation, in function space and in parameter space, against full matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Dense, flatten, layer_jacobians, mlp_factors

import ntkng
from ntkng.layers import pullback

PHI = {"relu": jax.nn.relu, "erf": jax.scipy.special.erf}
SIGMA_W, SIGMA_B = 1.3, 0.4
SAMPLES, TESTS, INPUTS = 3, 2, 5
WIDTHS = {"relu": 60, "erf": 14}  # a narrow relu network has dead units, and so singular factors
TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def build(outputs, depth, activation, bias):
    rng = np.random.default_rng(depth)
    network = ntkng.mlp(
        INPUTS, outputs, width=WIDTHS[activation], depth=depth, activation=activation,
        sigma_w=SIGMA_W, sigma_b=SIGMA_B * bias,
    )  # fmt: skip
    parameters = network.init(jax.random.key(depth))
    x, x_test = rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(TESTS, INPUTS))
    y = rng.normal(size=(SAMPLES, outputs))
    factors, f = mlp_factors(network, parameters, x, PHI[activation], SIGMA_W, SIGMA_B)
    dense = Dense(
        SAMPLES, outputs, (f - y).ravel(),
        layer_jacobians(network, parameters, x), layer_jacobians(network, parameters, x_test), factors,
    )  # fmt: skip
    return network, parameters, x, x_test, y, dense


def pattern_of(fisher, depth):
    index = np.arange(depth)
    if fisher.name == "CustomPattern":
        return np.asarray(fisher.blocks)
    return {
        "Exact": np.ones((depth, depth)),
        "BlockDiagonal": np.eye(depth),
        "BlockTriDiagonal": (np.abs(index[:, None] - index) <= 1).astype(float),
    }[fisher.name]


def solve(fisher, dense):
    damping = float(fisher.damping)
    if fisher.name == "KFAC":
        return dense.solve_kfac(damping, fisher.split, fisher.last_layer == "paper")
    if fisher.name == "GradientDescent":
        return dense._results(dense.jacobian.T / dense.samples / (1 + damping))
    return dense.solve(pattern_of(fisher, len(dense.jacobians)), damping)


def fishers(depth):
    yield from (
        cls(damping) for cls in (ntkng.Exact, ntkng.BlockDiagonal, ntkng.BlockTriDiagonal) for damping in (0.0, 0.03)
    )
    yield ntkng.GradientDescent()
    yield from (ntkng.KFAC(damping, last_layer=last) for damping in (0.0, 0.03) for last in ("fisher", "paper"))
    yield ntkng.KFAC(0.03, split="equal")
    ends = np.eye(depth)
    ends[0, -1] = ends[-1, 0] = 1
    yield ntkng.CustomPattern(0.03, tuple(map(tuple, ends)))


def error(value, truth):
    return np.abs(np.asarray(value) - truth).max() / np.abs(truth).max()


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("outputs", [1, 3])
def test_kernels_and_steps(outputs, depth, activation, bias):
    network, parameters, x, x_test, y, dense = build(outputs, depth, activation, bias)
    for (a, delta), jacobian in zip(dense.factors, dense.jacobians, strict=True):
        rows = np.repeat(a, outputs, axis=0)  # the oracle's own two halves agree
        assert error(np.einsum("ri,rk->rik", delta, rows).reshape(len(delta), -1), jacobian) < 1e-12
    kernels = ntkng.empirical(network, parameters, x, x_test)
    for layer, jacobian, jacobian_test in zip(kernels.layers, dense.jacobians, dense.jacobians_test, strict=True):
        assert error(layer.theta.train, jacobian @ jacobian.T) < 1e-12
        assert error(layer.theta.cross, jacobian_test @ jacobian.T) < 1e-12
    outputs_, records = network.linearise(parameters, jnp.asarray(x))
    for fisher in fishers(depth):
        singular_pattern = fisher.name == "BlockTriDiagonal" and depth % 3 == 2 and not fisher.is_damped
        if singular_pattern and depth > 2:
            continue  # the limit of vanishing damping is not the pseudo-inverse: tests/spine/test_patterns.py
        kernel, cross, step = solve(fisher, dense)
        found = fisher.kernel(kernels)
        assert error(found.train, kernel) < TOLERANCE, fisher
        assert error(found.cross, cross) < TOLERANCE, fisher
        cotangents = fisher.cotangents(kernels, records, outputs_ - y)
        moved = [flatten(pullback(record, d)) for record, d in zip(records, cotangents, strict=True)]
        assert error(np.concatenate(moved), step) < TOLERANCE, fisher


@pytest.mark.parametrize("outputs", [1, 2])
def test_shipped_dense_matrices_and_full_matrices(outputs):
    """`Fisher.dense`, which users' conformance checks rely on, and the oracle's own full `P x P` matrices."""
    _, _, _, _, _, dense = build(outputs, 3, "erf", True)
    layers = [
        ntkng.fisher.DenseLayer(jacobian, *factors, is_output=index == 2)
        for index, (jacobian, factors) in enumerate(zip(dense.jacobians, dense.factors, strict=True))
    ]
    for fisher in fishers(3):
        matrix = fisher.dense(layers, SAMPLES)
        inverse = np.linalg.pinv(matrix, rcond=1e-11, hermitian=True)
        expected = solve(fisher, dense)
        found = dense._results(inverse @ dense.jacobian.T / SAMPLES)
        assert max(map(error, found, expected)) < 1e-8, fisher
        if fisher.name not in ("KFAC", "GradientDescent"):
            full = dense.solve_full(pattern_of(fisher, 3), float(fisher.damping))
            assert max(map(error, full, expected)) < 1e-8, fisher


def test_wrong_theory_is_seen():
    """The comparison has power: `rho` for `N rho`, a missing `1/N` and a dropped layer are all far outside the tolerance."""
    network, parameters, x, x_test, y, dense = build(1, 3, "relu", True)
    kernels = ntkng.empirical(network, parameters, x, x_test)
    damped = ntkng.BlockDiagonal(0.03)
    truth = solve(damped, dense)[0]
    wrong_damping = ntkng.BlockDiagonal(0.03 / SAMPLES).kernel(kernels)
    assert error(wrong_damping.train, truth) > 1e-3
    plain = ntkng.GradientDescent()
    truth = solve(plain, dense)[0]
    assert error(SAMPLES * np.asarray(plain.kernel(kernels).train), truth) > 1
    dropped = ntkng.Kernels(kernels.layers[1:], None, None, kernels.samples, kernels.outputs, "empirical")
    assert error(ntkng.BlockDiagonal().kernel(dropped).train, 3 * np.eye(SAMPLES)) > 0.3
