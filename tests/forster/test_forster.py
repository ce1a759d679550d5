"""Forster's transform: the position it reaches, when there is none, and what K-FAC makes of it."""

import jax
import numpy as np
import pytest
import scipy.linalg

import ntkng
from ntkng.data import on_sphere
from ntkng.forster import forster

RNG_SHAPES = [(30, 7), (100, 20), (25, 24), (12, 12), (60, 1)]


def imbalance(z):
    return np.abs(z.T @ z - len(z) / z.shape[1] * np.eye(z.shape[1])).max()


@pytest.mark.parametrize(("samples", "dimension"), RNG_SHAPES)
def test_radial_isotropic_position(samples, dimension):
    x = np.random.default_rng(samples).normal(size=(samples, dimension)) * np.geomspace(1, 1e3, dimension)
    transform = forster(x)
    z = transform(x)
    assert transform.dimension == dimension
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-14)
    assert imbalance(z) < 1e-10
    assert transform.imbalance == pytest.approx(imbalance(z), rel=1e-6, abs=1e-14)
    np.testing.assert_allclose(np.diag(z @ np.linalg.pinv(z)), dimension / samples, atol=1e-11)


def test_it_is_the_minimiser_of_the_convex_potential():
    """Against Tyler's fixed point, an independent algorithm for the same matrix."""
    x = np.random.default_rng(0).normal(size=(40, 5)) @ np.diag([1, 2, 3, 4, 5.0])
    shape = np.eye(5)
    for _ in range(3000):
        weights = 1 / np.einsum("nd,de,ne->n", x, np.linalg.inv(shape), x)
        shape = 5 / 40 * (x * weights[:, None]).T @ x
        shape /= np.trace(shape)
    matrix = forster(x).matrix
    found = np.linalg.inv(matrix.T @ matrix)
    np.testing.assert_allclose(found / np.trace(found), shape, atol=1e-12)


def test_any_rank_and_test_inputs():
    """Inputs on a subspace: it is found, test inputs take the same map, and what they have outside is dropped."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(12, 5)))[0]
    x = rng.normal(size=(40, 5)) @ basis.T
    transform = forster(x)
    assert transform.matrix.shape == (5, 12)
    assert imbalance(transform(x)) < 1e-10
    inside, outside = rng.normal(size=(3, 5)) @ basis.T, rng.normal(size=(3, 12))
    outside -= outside @ basis @ basis.T
    np.testing.assert_allclose(transform(inside + outside), transform(inside), atol=1e-12)
    np.testing.assert_allclose(transform(5 * inside), transform(inside), atol=1e-14)
    np.testing.assert_allclose(transform(x[:4]), transform(x)[:4], atol=0)
    assert forster(x, rank_tolerance=0.5).dimension < 5


@pytest.mark.parametrize("inside", [9, 12, 16])
def test_too_many_points_in_a_subspace(inside):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, 5))
    x[:inside, 2:] = 0  # a plane may hold fewer than 20 * 2/5 = 8 of them
    x = x @ rng.normal(size=(5, 5))
    with pytest.raises(ValueError, match=rf"{inside} of the 20 inputs lie in a subspace of dimension d' = 2 .* 8;"):
        forster(x)


def test_the_borderline():
    """Exactly `N d'/d` points in a subspace: no position, unless the others lie in a complementary one."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 5))
    x[:8, 2:] = 0
    with pytest.raises(ValueError, match="8 of the 20 inputs"):
        forster(x)
    x[8:, :2] = 0
    assert imbalance(forster(x)(x)) < 1e-10
    x = rng.normal(size=(20, 5))
    x[:7, 2:] = 0
    assert imbalance(forster(x)(x)) < 1e-10


def test_bad_input():
    x = np.random.default_rng(4).normal(size=(10, 3))
    with pytest.raises(ValueError, match="training input 2 is 0"):
        forster(np.where(np.arange(10)[:, None] == 2, 0, x))
    with pytest.raises(ValueError, match="2 dimensions"):
        forster(x[0])
    with pytest.raises(ValueError, match="NaN"):
        forster(np.where(x > 1, np.nan, x))
    transform = forster(np.concatenate([x, np.zeros((10, 1))], axis=1))
    with pytest.raises(ValueError, match="expected|4 columns"):
        transform(x)
    with pytest.raises(ValueError, match="no direction"):
        transform(np.eye(4)[3:])
    with pytest.raises(ValueError, match="tolerance"):
        forster(x, tolerance=0)


# -- K-FAC -----------------------------------------------------------------------------------------------------------

SAMPLES, DIMENSION, DEPTH = 24, 7, 4


@pytest.fixture(scope="module")
def inputs():
    x = np.random.default_rng(5).normal(size=(SAMPLES, DIMENSION)) * np.linspace(1, 3, DIMENSION)
    return {"Forster": on_sphere(forster(x)(x)), "sphere": on_sphere(x)}


def network(outputs=1):
    return ntkng.mlp(DIMENSION, outputs, width=SAMPLES * outputs + 20, depth=DEPTH, activation="erf")


@pytest.mark.parametrize("last_layer", ["fisher", "paper"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_alpha_of_kfac(inputs, outputs, last_layer):
    """`N (L - 2) + d + 1` (or `N L - N + d`), at infinite and at finite width, and the library says so."""
    fisher = ntkng.KFAC(singular="pseudo-inverse", last_layer=last_layer)
    expected = SAMPLES * (DEPTH - 2) + DIMENSION + (1 if last_layer == "fisher" else SAMPLES)
    net, x = network(outputs), inputs["Forster"]
    with jax.enable_x64(True):
        parameters = net.init(jax.random.key(0))
    for kernels in (ntkng.analytic(net, x), ntkng.empirical(net, parameters, x)):
        found = fisher.kernel(kernels)
        assert found.alpha == pytest.approx(expected, rel=1e-8)
        assert found.off_isotropy < 1e-8
        assert fisher.predicted_alpha(kernels) == pytest.approx(expected, rel=1e-10)
        assert fisher.optimal_step(kernels) == pytest.approx(1 / expected, rel=1e-10)


def test_without_the_transform(inputs):
    fisher, kernels = ntkng.KFAC(singular="pseudo-inverse"), ntkng.analytic(network(), inputs["sphere"])
    assert fisher.kernel(kernels).off_isotropy > 1e-2
    assert fisher.predicted_alpha(kernels) is None
    with pytest.raises(ValueError, match="input Gram A .* rank 7"):
        ntkng.KFAC().kernel(kernels)


def test_enough_dimensions_need_no_transform():
    """With nonsingular factors the pseudo-inverse is the inverse, and `alpha` is `N (L - 1) + 1`."""
    x = np.random.default_rng(6).normal(size=(5, DIMENSION))
    kernels = ntkng.analytic(network(), x)
    fisher = ntkng.KFAC(singular="pseudo-inverse")
    assert fisher.predicted_alpha(kernels) == pytest.approx(ntkng.KFAC().predicted_alpha(kernels))


def test_dense_oracle(inputs):
    """The first layer by its own definition: `N diag(H) o P_B` with full `K x K` and `M x M` pseudo-inverses."""
    net, x = network(), inputs["Forster"]
    with jax.enable_x64(True):
        parameters = net.init(jax.random.key(1))
        _, records = net.linearise(parameters, jax.numpy.asarray(x))
    blocks = []
    for record in records:
        a = np.sqrt(2) * np.asarray(record.inputs) / np.sqrt(record.inputs.shape[1])
        delta = np.asarray(record.deltas)[:, 0]
        inner, backward = (np.linalg.pinv(f.T @ f / SAMPLES, rcond=1e-11, hermitian=True) for f in (a, delta))
        blocks.append((a @ inner @ a.T) * (delta @ backward @ delta.T) / SAMPLES)
    kernel = np.asarray(ntkng.KFAC(singular="pseudo-inverse").kernel(ntkng.empirical(net, parameters, x)).train)
    assert np.abs(kernel - sum(blocks)).max() < 1e-8 * np.abs(kernel).max()
    hat = x @ scipy.linalg.pinv(x)
    np.testing.assert_allclose(blocks[0], SAMPLES * np.diag(np.diag(hat)), atol=1e-8)
