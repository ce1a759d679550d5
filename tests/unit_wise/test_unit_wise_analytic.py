"""Units of infinitely wide layers, and the damped unit-wise Fisher at infinite width."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

import ntkng
from ntkng import stax
from ntkng.fisher import DAMPED_FISHERS, FISHERS, UnitWise
from ntkng.kernels import UnitSampling
from ntkng.kernels.activation import derivative

RNG = np.random.default_rng(3)
X, X_TEST = RNG.normal(size=(6, 8)), RNG.normal(size=(3, 8))
FEW = UnitSampling(points=2**10, scramblings=4)


def second_moments(units):
    deltas = np.concatenate([units.train, units.test], axis=1)
    return units.weight * np.einsum("inc,imd->ncmd", deltas, deltas)


@pytest.mark.parametrize(
    ("activation", "bias", "parametrisation", "outputs"),
    [("relu", 0.3, "ntk", 1), ("erf", 0.2, "standard", 2), ("tanh", 0.0, "ntk", 1)],
)
def test_second_moments_are_the_backward_grams(activation, bias, parametrisation, outputs):
    network = ntkng.mlp(
        8, outputs, width=(50, 70, 90), activation=activation, sigma_b=bias, parametrisation=parametrisation
    )
    kernels = ntkng.analytic(network, X, X_TEST, units=UnitSampling(points=2**13, scramblings=4))
    joint = ntkng.analytic(network, np.concatenate([X, X_TEST]))
    for layer, wanted, width in zip(kernels.layers[:-1], joint.layers, (50, 70, 90), strict=False):
        assert layer.units.weight * len(layer.units.train) == pytest.approx(width)
        found = second_moments(layer.units)
        expected = np.einsum("nm,cd->ncmd", wanted.backward.train, np.eye(outputs))
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.03 * np.abs(expected).max())
    assert kernels.layers[-1].units is None


@pytest.mark.parametrize("outputs", [1, 2])
def test_one_sample_against_quadrature(outputs):
    """N = 1, two layers: `K_1 = (M / C) E[q^2 A / (q^2 A + s)]` with `q^2 = phi'(u)^2 |g|^2`, a smooth double integral."""
    width, kappa = 30, 0.05
    network = ntkng.mlp(8, outputs, width=width, depth=2, activation="erf")
    x = X[:1]
    kernels = ntkng.analytic(network, x, units=UnitSampling(points=2**14, scramblings=8))
    fisher = UnitWise(kappa)
    first, last = kernels.layers
    variance = float(first.inner.train[0, 0])
    shift = kappa * float(first.backward.train[0, 0]) * variance  # M N rho: delta^2 scales as 1 / M

    def integrand(square, u):
        slope = 2 / np.sqrt(np.pi) * np.exp(-(u**2))
        block = 2 * square * slope**2 * variance  # sigma_w^2 = 2
        return (
            block / (block + shift) * scipy.stats.chi2.pdf(square, outputs) * scipy.stats.norm.pdf(u, 0, variance**0.5)
        )

    expectation, _ = scipy.integrate.dblquad(integrand, -8, 8, 0, 60, epsabs=1e-7)
    a = float(last.inner.train[0, 0])
    expected = width / outputs * expectation + a / (a + kappa * a / outputs)
    estimate = fisher.alpha(kernels)
    assert estimate.value == pytest.approx(expected, rel=2e-3)
    assert abs(estimate.value - expected) < 4 * estimate.standard_error + 1e-6 * expected
    assert fisher.kernel(kernels).alpha == pytest.approx(estimate.value, rel=1e-12)


def test_wide_network_converges_to_the_expectation():
    """The mean over finite networks is the expectation: their units are a sample of it (erf, three layers, C = 2)."""
    network = ntkng.mlp(8, 2, width=(512, 512), activation="erf", sigma_b=0.1)
    kernels = ntkng.analytic(network, X, X_TEST, units=UnitSampling(points=2**12, scramblings=8))
    predicted = UnitWise().kernel(kernels)
    found = []
    with jax.enable_x64(True):
        for key in jax.random.split(jax.random.key(0), 6):
            found.append(UnitWise().kernel(ntkng.empirical(network, network.init(key), X, X_TEST, units=True)))
    for part, bound in (("train", 0.03), ("cross", 0.08)):  # sampling noise of 6 x 512 units
        mean = np.mean([np.asarray(getattr(kernel, part)) for kernel in found], axis=0)
        expected = np.kron(getattr(predicted, part), np.eye(2))
        assert np.linalg.norm(mean - expected) < bound * np.linalg.norm(expected), part
        wrong = (1 + 2 * bound) * expected
        assert np.linalg.norm(mean - wrong) > bound * np.linalg.norm(wrong), part


def test_error_bar_is_calibrated():
    """Estimates from few points lie within their own error bars of one from many."""
    network = ntkng.mlp(8, 1, width=64, activation="relu")
    best = UnitWise().alpha(ntkng.analytic(network, X, units=UnitSampling(points=2**14, scramblings=8)))
    scores = []
    for seed in range(12):
        sampling = UnitSampling(points=2**7, scramblings=8, seed=seed)
        estimate = UnitWise().alpha(ntkng.analytic(network, X, units=sampling))
        scores.append((estimate.value - best.value) / estimate.standard_error)
    assert 0.3 < np.std(scores) < 2.5
    assert abs(np.mean(scores)) < 1.5


@pytest.mark.parametrize(
    ("activation", "gamma", "outputs", "kappa"),
    [("relu", 0.5, 1, 1e-7), ("relu", 0.5, 3, 1e-7), ("erf", 1.0, 1, 1e-10)],
)
def test_alpha_of_vanishing_damping(activation, gamma, outputs, kappa):
    network = ntkng.mlp(8, outputs, width=(100, 200), activation=activation)
    kernels = ntkng.analytic(network, X, units=FEW)
    limit = UnitWise().undamped_alpha(kernels)
    assert limit == pytest.approx(gamma * 300 / outputs + 1, rel=0.01)
    alphas = [UnitWise(kappa).kernel(kernels).alpha for kappa in (1e-1, 1e-3, kappa)]
    assert alphas == sorted(alphas)
    assert alphas[-1] == pytest.approx(limit, rel=0.02)


def test_damping_is_relative_to_the_width():
    """`K / M` does not depend on the width, and `N rho` may not be replaced by `rho`."""
    one, other = (
        UnitWise().kernel(ntkng.analytic(ntkng.mlp(8, 1, width=(width, width)), X, units=FEW)) for width in (100, 1000)
    )
    last = 1 / (1 + 1e-2)
    np.testing.assert_allclose(other.alpha - last, 10 * (one.alpha - last), rtol=1e-3)
    kernels = ntkng.analytic(ntkng.mlp(8, 1, width=100), X, units=FEW)
    assert abs(UnitWise(1e-2 / len(X)).kernel(kernels).alpha / UnitWise(1e-2).kernel(kernels).alpha - 1) > 0.05


def test_closed_form_computes_the_units():
    network = ntkng.mlp(8, 1, width=128, activation="erf")
    problem = ntkng.Problem(network, X, X[:, 0], X_TEST)
    fisher = UnitWise(sampling=FEW)
    path = ntkng.closed_form(problem, fisher, steps=3)
    assert np.isfinite(path.test).all()
    assert path.stability.verdict == "converges"
    assert path.train_loss[-1] < 0.05 * path.train_loss[0]


def test_registry_leaves_the_undamped_ones_alone():
    assert UnitWise in DAMPED_FISHERS
    assert UnitWise not in FISHERS
    assert all(fisher().is_damped for fisher in DAMPED_FISHERS)


# -- the activation, from the network itself --------------------------------------------------------------------------


def test_derivative_of_a_composition():
    dense = stax.Dense(5)
    network = ntkng.Network(stax.serial(dense, stax.Erf(), stax.Sin(), dense, stax.Relu(), stax.Dense(1)), 3)
    with jax.enable_x64(True):
        values = np.linspace(-2, 2, 21)
        slopes = np.asarray(derivative(network, 0, values))
        expected = np.cos(scipy.special.erf(values)) * 2 / np.sqrt(np.pi) * np.exp(-(values**2))
        np.testing.assert_allclose(slopes, expected, rtol=1e-12)
        np.testing.assert_array_equal(derivative(network, 1, values[values != 0]), values[values != 0] > 0)


BLOCK = stax.serial(stax.Erf(), stax.Dense(16))
NOT_PERCEPTRONS = {
    "residual": stax.serial(
        stax.Dense(16), stax.FanOut(2), stax.parallel(stax.Identity(), BLOCK), stax.FanInSum(), stax.Dense(1)
    ),
    "normalisation": stax.serial(stax.Dense(16), stax.LayerNorm(), stax.Erf(), stax.Dense(1)),
    "input skip": stax.serial(
        stax.FanOut(2), stax.parallel(stax.Dense(16), stax.Dense(16)), stax.FanInSum(), stax.Erf(), stax.Dense(1)
    ),
    "activation at the end": stax.serial(stax.Dense(16), stax.Erf(), stax.Dense(1), stax.Erf()),
}


@pytest.mark.parametrize("name", NOT_PERCEPTRONS)
def test_other_graphs_are_refused(name):
    network = ntkng.Network(NOT_PERCEPTRONS[name], 8)
    with pytest.raises(
        ValueError,
        match="units of an infinitely wide network are only known|outputs after stax.Erf are not independent",
    ):
        ntkng.analytic(network, X, units=FEW)


def test_convolutions_are_refused():
    network = ntkng.Network(stax.serial(stax.Conv(4, (3,)), stax.Relu(), stax.Flatten(), stax.Dense(1)), (4, 2))
    with pytest.raises(ValueError, match="only known for multilayer perceptrons"):
        ntkng.analytic(network, X.reshape(6, 4, 2), units=FEW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": 1000}, "points must be a power of 2, got 1000; use 1024"),
        ({"scramblings": 1}, "scramblings must be >= 2"),
        ({"points": 0}, "points must be >= 1"),
    ],
)
def test_bad_sampling(changes, message):
    with pytest.raises(ValueError, match=message):
        UnitSampling(**changes)


def test_too_many_dimensions():
    network = ntkng.mlp(8, 3000, width=8)
    with pytest.raises(ValueError, match="Sobol points have at most 21201"):
        ntkng.analytic(network, RNG.normal(size=(10, 8)), units=FEW)


def test_alpha_estimate_is_for_samples():
    network = ntkng.mlp(8, 1, width=8)
    kernels = ntkng.empirical(network, network.init(jax.random.key(0)), X, units=True)
    with pytest.raises(ValueError, match="only analytic kernels are sampled"):
        UnitWise().alpha(kernels)
    assert dataclasses.replace(UnitWise(), damping=0.1).damping == 0.1
