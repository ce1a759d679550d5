"""The NNGP kernel alone and Gaussian-process regression, against a recursion and dense algebra written out in NumPy."""

import os

import numpy as np
import pytest
import scipy.stats

import ntkng
from ntkng import stax
from ntkng.kernels.covariance import variance

RNG = np.random.default_rng(0)
X, X_TEST = RNG.normal(size=(9, 4)), RNG.normal(size=(5, 4))


def recursion(a, b, depth, weight, bias):
    """ReLU's arc-cosine recursion (Cho and Saul 2009) for `depth` dense layers."""
    k, p, q = (weight * (u * v).sum(-1) / a.shape[1] + bias for u, v in ((a[:, None], b), (a, a), (b, b)))
    for _ in range(depth - 1):
        root = np.sqrt(np.outer(p, q))
        angle = np.arccos(np.clip(k / root, -1, 1))
        k = weight * root * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi) + bias
        p, q = weight * p / 2 + bias, weight * q / 2 + bias
    return k


@pytest.mark.parametrize(("depth", "rows"), [(1, None), (3, None), (21, 4)])
def test_the_kernel_is_the_recursion(depth, rows):
    network = ntkng.mlp(4, width=8, depth=depth, sigma_w=1.45**0.5, sigma_b=0.28**0.5)
    np.testing.assert_allclose(
        ntkng.nngp(network, X, X_TEST, rows=rows), recursion(X, X_TEST, depth, 1.45, 0.28), rtol=1e-12
    )
    own = ntkng.nngp(network, X, rows=rows)
    np.testing.assert_array_equal(own, own.T)
    np.testing.assert_allclose(own, recursion(X, X, depth, 1.45, 0.28), rtol=1e-7)  # arccos at 1 in the recursion
    np.testing.assert_allclose(np.diagonal(own), variance(network, X), rtol=1e-13)
    assert ntkng.nngp(network, X, dtype=np.float32).dtype == np.float32


def test_any_graph_has_the_kernel_of_analytic():
    layers = stax.serial(stax.Conv(3, (3,), padding="SAME"), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
    network, x = ntkng.Network(layers, (5, 2)), RNG.normal(size=(4, 5, 2))
    np.testing.assert_allclose(ntkng.nngp(network, x), ntkng.analytic(network, x).nngp.train, rtol=1e-12)
    np.testing.assert_allclose(np.diagonal(ntkng.nngp(network, x)), variance(network, x), rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_regression_is_dense_algebra(noise):
    network = ntkng.mlp(4, 2, width=8, sigma_b=0.3)
    problem = ntkng.Problem(network, X, RNG.normal(size=(9, 2)), X_TEST)
    posterior = ntkng.nngp_regression(problem, noise=noise)
    s, cross, own = (recursion(a, b, 3, 2.0, 0.09) for a, b in ((X, X), (X_TEST, X), (X_TEST, X_TEST)))
    s = s + noise * np.eye(9)
    np.testing.assert_allclose(posterior.mean, cross @ np.linalg.solve(s, problem.y), atol=1e-6)
    np.testing.assert_allclose(posterior.covariance, own - cross @ np.linalg.solve(s, cross.T), atol=1e-6)
    evidence = sum(scipy.stats.multivariate_normal(np.zeros(9), s).logpdf(y) for y in problem.y.T)
    assert float(posterior.log_marginal_likelihood) == pytest.approx(evidence, rel=1e-6)
    assert posterior.condition == pytest.approx(np.linalg.cond(s), rel=1e-4)
    variances = ntkng.nngp_regression(problem, noise=noise, full_covariance=False)
    np.testing.assert_allclose(variances.standard_deviation, posterior.standard_deviation, rtol=1e-8)
    np.testing.assert_allclose(variances.covariance, np.diagonal(posterior.covariance), rtol=1e-8)


def test_bad_input():
    network = ntkng.mlp(4, width=8)
    twice = ntkng.Problem(network, np.concatenate([X, X[:1]]), np.ones(10), allow_duplicates=True)
    with pytest.raises(ValueError, match="NNGP kernel plus noise has numerical rank 9"):
        ntkng.nngp_regression(twice)
    assert np.isfinite(ntkng.nngp_regression(twice, noise=0.1).log_marginal_likelihood)
    with pytest.raises(ValueError, match="noise must be"):
        ntkng.nngp_regression(twice, noise=-1.0)
    with pytest.raises(ValueError, match="squared loss, got 'logistic'"):
        ntkng.nngp_regression(ntkng.Problem(network, X, np.ones(9), loss="logistic"))
    with pytest.raises(ValueError, match=r"x2 must have shape \[N, 4\]"):
        ntkng.nngp(network, X, X_TEST[:, :2])
    with pytest.raises(ValueError, match="no test inputs"):
        _ = ntkng.nngp_regression(ntkng.Problem(network, X, np.ones(9))).standard_deviation


@pytest.mark.slow
@pytest.mark.skipif("NTKNG_MNIST" not in os.environ, reason="set NTKNG_MNIST to a folder with MNIST's files")
def test_published_accuracy_on_mnist():
    """Lee et al. 2018, table 1: 1,000 images, ReLU, depth 20, variances 1.45 and 0.28: 0.9279 on 10,000 test images."""
    folder = os.environ["NTKNG_MNIST"]
    train, test = (ntkng.data.load("mnist", folder, part=part) for part in ("train", "test"))
    mean = train.inputs[:1000].mean()
    targets = np.eye(10)[train.labels[:1000]] - 0.1
    network = ntkng.mlp(784, 10, width=8, depth=21, sigma_w=1.45**0.5, sigma_b=0.28**0.5)
    problem = ntkng.Problem(network, train.inputs[:1000] - mean, targets, test.inputs - mean)
    posterior = ntkng.nngp_regression(problem, noise=1e-10, full_covariance=False)
    accuracy = (np.asarray(posterior.mean).argmax(1) == test.labels).mean()
    assert abs(accuracy - 0.9279) < 3 * 0.0026
