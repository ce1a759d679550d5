"""Mean and covariance over initialisations against brute-force propagation of Gaussians."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.linalg

import ntkng
from ntkng.fisher import DAMPED_FISHERS, FISHERS, KFAC, BlockDiagonal, Exact, GradientDescent
from ntkng.kernels import UnitSampling

RNG = np.random.default_rng(5)
N, M, D, C = 5, 4, 7, 2
NETWORK = ntkng.mlp(D, C, width=64, activation="erf", sigma_b=0.2)
PROBLEM = ntkng.Problem(
    NETWORK, RNG.normal(size=(N, D)), RNG.normal(size=(N, C)), RNG.normal(size=(M, D)), RNG.normal(size=(M, C))
)
SAMPLING = UnitSampling(points=2**8, scramblings=2)
CASES = [fisher() for fisher in FISHERS + DAMPED_FISHERS] + [Exact(1e-2), KFAC(1e-2)]


@pytest.fixture(scope="module")
def kernels():
    return ntkng.analytic(NETWORK, PROBLEM.x, PROBLEM.x_test, units=SAMPLING, test_covariance=True)


def brute_force(fisher, kernels, eta, times, flow):
    """Propagate the joint Gaussian of `(f(x), f(x'))`, an ordinary random vector, by its affine map; no spectrum, no formula."""
    kernel = fisher.kernel(kernels)
    size, size_test = N, M
    generator = np.zeros((size + size_test, size + size_test))
    generator[:size, :size], generator[size:, :size] = kernel.train, kernel.cross
    covariance = np.block([[kernels.nngp.train, kernels.nngp.cross.T], [kernels.nngp.cross, kernels.nngp_test]])
    fixed = np.concatenate([PROBLEM.y, np.zeros((M, C))])  # r = f - y on the training inputs, f on the test inputs
    laws = []
    for time in times:
        step = scipy.linalg.expm(-generator * time) if flow else np.eye(len(generator))
        if not flow:
            for _ in range(int(time)):
                step = step @ (np.eye(len(generator)) - eta * generator)
        laws.append((fixed - step @ fixed, step @ covariance @ step.T))
    return laws


@pytest.mark.parametrize("flow", [False, True], ids=["steps", "flow"])
@pytest.mark.parametrize("fisher", CASES, ids=repr)
def test_against_propagation(fisher, flow, kernels):
    eta = 0.6 * fisher.optimal_step(kernels)
    times = [0.0, 0.3 * eta, 2.5 * eta] if flow else [0, 1, 2, 7]
    found = ntkng.ensemble(PROBLEM, fisher, kernels, step_size=eta, steps=times, flow=flow)
    for index, (mean, covariance) in enumerate(brute_force(fisher, kernels, eta, times, flow)):
        scale = np.abs(covariance).max()
        np.testing.assert_allclose(found.mean_train[index], mean[:N], rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.mean_test[index], mean[N:], rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.covariance_train[index], covariance[:N, :N], rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(found.covariance_test[index], covariance[N:, N:], rtol=0, atol=1e-10 * scale)


def test_start_and_end(kernels):
    """At time 0 the NNGP; at late times no variance on the training inputs, and the known limit of gradient flow."""
    flow = ntkng.ensemble(PROBLEM, GradientDescent(), kernels, steps=[0.0, 1e9], flow=True)
    np.testing.assert_allclose(flow.covariance_train[0], kernels.nngp.train, atol=1e-12)
    np.testing.assert_allclose(flow.covariance_test[0], kernels.nngp_test, atol=1e-12)
    np.testing.assert_allclose(flow.mean_train[1], PROBLEM.y, atol=1e-8)
    np.testing.assert_allclose(flow.covariance_train[1], 0, atol=1e-8)
    map_ = kernels.theta.cross @ np.linalg.inv(kernels.theta.train)
    np.testing.assert_allclose(flow.mean_test[1], map_ @ PROBLEM.y, atol=1e-7)
    cross = map_ @ kernels.nngp.cross.T
    expected = kernels.nngp_test - cross - cross.T + map_ @ kernels.nngp.train @ map_.T
    np.testing.assert_allclose(flow.covariance_test[1], expected, atol=1e-7)


@pytest.mark.parametrize("wrong", [1.05, 0.95])
def test_sampled_closed_forms(kernels, wrong):
    """The sample mean and covariance of closed forms from random `f_0`; 5 % of `alpha` is noticed."""
    fisher, eta, draws = BlockDiagonal(), 1 / 6, 40000
    joint = np.block([[kernels.nngp.train, kernels.nngp.cross.T], [kernels.nngp.cross, kernels.nngp_test]])
    start = np.einsum("nm,smc->snc", np.linalg.cholesky(joint), RNG.normal(size=(draws, N + M, C)))
    initial = start[:, :N], start[:, N:]
    paths = ntkng.closed_form(PROBLEM, fisher, kernels, step_size=eta, steps=[4], initial=initial)
    z, error = deviations(ntkng.ensemble(PROBLEM, fisher, kernels, step_size=eta, steps=[4]), paths)
    assert z < 4.5
    assert error < 4 / np.sqrt(draws * C)
    z, error = deviations(ntkng.ensemble(PROBLEM, fisher, kernels, step_size=wrong * eta, steps=[4]), paths)
    assert z > 4.5
    assert error > 4 / np.sqrt(draws * C)


def deviations(law, paths):
    """Largest z-score of the means, and relative error of the covariance, on the training inputs."""
    sample = paths.train[:, 0]
    scores = (sample.mean(axis=0) - law.mean("train")[0]) / law.standard_deviation("train")[0][:, None]
    centred = np.moveaxis(sample - law.mean("train")[0], 2, 1).reshape(-1, N)
    covariance = centred.T @ centred / len(centred)
    expected = law.covariance("train")[0]
    return np.abs(scores).max() * np.sqrt(len(sample)), np.linalg.norm(covariance - expected) / np.linalg.norm(expected)


def test_bands_and_expected_loss(kernels):
    law = ntkng.ensemble(PROBLEM, Exact(), kernels, step_size=0.5, steps=[0, 1, 3])
    assert law.standard_deviation("test").shape == (3, M)
    low, high = law.band(0.9)
    np.testing.assert_allclose((low + high) / 2, law.mean_test)
    np.testing.assert_allclose((high - low)[..., 0] / law.standard_deviation(), 2 * 1.6448536269514722)
    draws = np.einsum(
        "nm,smc->snc", np.linalg.cholesky(law.covariance_test[2]), np.random.default_rng(0).normal(size=(20000, M, C))
    )
    losses = ((law.mean_test[2] + draws - PROBLEM.y_test) ** 2).sum(axis=(1, 2)) / (2 * M)
    assert abs(losses.mean() - law.expected_loss()[2]) < 4 * losses.std() / np.sqrt(20000)
    np.testing.assert_allclose(
        law.expected_loss("train")[0], (np.sum(PROBLEM.y**2) + C * np.trace(kernels.nngp.train)) / 2 / N
    )


def test_defaults_and_types():
    """Kernels are computed, the step is the optimal one, arrays are float64 outside of x64, and the result is a pytree."""
    law = ntkng.ensemble(PROBLEM, KFAC(), steps=1)
    assert law.step_size == pytest.approx(1 / (2 * N + 1))
    assert law.stability.verdict == "converges"
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(law))
    np.testing.assert_allclose(law.mean_train[1], PROBLEM.y, atol=1e-10)
    alone = ntkng.Problem(NETWORK, PROBLEM.x, PROBLEM.y)
    assert ntkng.ensemble(alone, Exact(), steps=1).mean_test is None


def test_errors(kernels):
    empirical = ntkng.empirical(NETWORK, NETWORK.init(jax.random.key(0)), PROBLEM.x, PROBLEM.x_test)
    without = dataclasses.replace(kernels, nngp_test=None)
    binary = ntkng.Problem(ntkng.mlp(D, 1), PROBLEM.x, np.ones(N), loss="logistic")
    alone = ntkng.ensemble(ntkng.Problem(NETWORK, PROBLEM.x, PROBLEM.y), Exact(), steps=1)
    for call, message in [
        (lambda: ntkng.ensemble(PROBLEM, Exact(), empirical), "NNGP kernel, which only analytic"),
        (lambda: ntkng.ensemble(PROBLEM, Exact(), without), "test_covariance=True"),
        (lambda: ntkng.ensemble(binary, Exact()), "squared loss, got 'logistic'"),
        (lambda: ntkng.ensemble(PROBLEM, Exact(), kernels, step_size=-1), "step_size"),
        (lambda: ntkng.ensemble(PROBLEM, Exact(), kernels, steps=[0.5]), "step numbers must be whole"),
        (lambda: alone.mean("test"), "no test inputs; give the Problem x_test"),
        (lambda: alone.expected_loss(), "no test targets"),
        (lambda: alone.band(1.0, "train"), "confidence must be between 0 and 1"),
        (lambda: alone.mean("validation"), "on must be 'train' or 'test'"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
