"""Infinite-width layer kernels: against neural-tangents, an independent recursion, and wide random networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng

RNG = np.random.default_rng(3)
X, X_TEST = RNG.normal(size=(7, 5)), RNG.normal(size=(4, 5))


def networks():
    for activation in ("relu", "erf", "gelu", "tanh"):
        for sigma_b in (0.0, 0.3):
            yield ntkng.mlp(5, 2, width=64, depth=4, activation=activation, sigma_w=1.4, sigma_b=sigma_b)
    yield ntkng.mlp(5, 2, width=64, depth=3, parametrisation="standard", sigma_b=0.3)


@pytest.mark.parametrize("network", list(networks()), ids=lambda n: f"{n.depth} layers")
def test_sum_of_layers_is_the_ntk(network):
    """To 1e-10 wherever neural-tangents itself is that accurate: its ReLU diagonal is off by 1e-8 (see `ntkng.angles`)."""
    kernels = ntkng.analytic(network, X, X_TEST)
    with jax.enable_x64(True):
        train = np.asarray(network.layer.kernel_fn(jnp.asarray(X), None, "ntk"))
        cross = np.asarray(network.layer.kernel_fn(jnp.asarray(X_TEST), jnp.asarray(X), "ntk"))
    above = np.triu_indices(len(X), 1)  # kernels by quadrature (tanh) are not symmetric there; ntkng mirrors this half
    scale = np.abs(train).max()
    assert np.abs(kernels.theta.train - train)[above].max() < 1e-10 * scale
    assert np.abs(np.diag(kernels.theta.train - train)).max() < 1e-7 * scale
    assert np.abs(kernels.theta.train - kernels.theta.train.T).max() == 0
    assert np.abs(kernels.theta.cross - cross).max() < 1e-10 * scale


def relu_recursion(x1, x2, depth, sigma_w, sigma_b):
    """Arc-cosine recursion written out: `A_{l-1}`, `B_l` of a ReLU network (Cho and Saul 2009)."""
    size = x1.shape[1]
    covariance = sigma_w**2 * x1 @ x2.T / size + sigma_b**2
    left, right = (sigma_w**2 * (x**2).sum(1) / size + sigma_b**2 for x in (x1, x2))
    inner, slopes = [covariance], []
    for _ in range(depth - 1):
        norms = np.sqrt(np.outer(left, right))
        cosine = np.clip(covariance / norms, -1, 1)
        if x1 is x2:
            np.fill_diagonal(cosine, 1)
        angle = np.arccos(cosine)
        expected = norms * (np.sqrt(1 - cosine**2) + (np.pi - angle) * cosine) / (2 * np.pi)
        slopes.append((np.pi - angle) / (2 * np.pi))
        covariance = sigma_w**2 * expected + sigma_b**2
        left, right = (sigma_w**2 * v / 2 + sigma_b**2 for v in (left, right))
        inner.append(covariance)
    backward = [np.ones_like(covariance)]
    for slope in reversed(slopes):
        backward.append(sigma_w**2 * backward[-1] * slope)
    return inner, backward[::-1]


@pytest.mark.parametrize("depth", [2, 3, 6])
@pytest.mark.parametrize("rows", [None, 3, 7, 100])
def test_layer_kernels_against_the_recursion(depth, rows):
    network = ntkng.mlp(5, width=8, depth=depth, sigma_w=1.4, sigma_b=0.3)
    kernels = ntkng.analytic(network, X, X_TEST, rows=rows)
    for x1, part in ((X, "train"), (X_TEST, "cross")):
        inner, backward = relu_recursion(x1, X, depth, 1.4, 0.3)
        for layer, a, b in zip(kernels.layers, inner, backward, strict=True):
            assert np.abs(getattr(layer.inner, part) - a).max() < 1e-13
            assert np.abs(getattr(layer.backward, part) - b).max() < 1e-13
            assert np.abs(getattr(layer.theta, part) - a * b).max() < 1e-13
        assert np.abs(getattr(kernels.nngp, part) - inner[-1]).max() < 1e-13


def z_scores(network, seeds, quantities):
    """Mean over random networks minus the infinite-width value, in standard errors, worst entry of each quantity."""
    kernels = ntkng.analytic(network, X)
    samples = {name: [] for name in quantities}
    with jax.enable_x64(True):
        for key in jax.random.split(jax.random.key(7), seeds):
            finite = ntkng.empirical(network, network.init(key), X)
            for name in quantities:
                for index, layer in enumerate(finite.layers):
                    samples[name].append((index, np.asarray(getattr(layer, name).train)))
    worst = {}
    for name in quantities:
        for index, layer in enumerate(kernels.layers):
            stack = np.stack([value for i, value in samples[name] if i == index])
            expected = np.asarray(getattr(layer, name).train)
            error = stack.std(axis=0, ddof=1) / np.sqrt(seeds)
            moving = error > 1e-12  # A_0 and B_L are not random
            assert np.abs(stack.mean(axis=0) - expected)[~moving].max(initial=0) < 1e-12
            z = np.abs(stack.mean(axis=0) - expected)[moving] / error[moving]
            worst[name, index] = z.max(initial=0)
    return worst


def test_layer_kernels_against_random_networks():
    """Each `Theta_l`, `A_l`, `B_l` is the mean over wide networks, within Monte-Carlo error.

    Below 200 distinct entries are tested, so |z| < 4.5 has a false-alarm rate below 3e-3 (t with 199 degrees of
    freedom); finite-width bias is O(1/M), below the error of 200 networks at M = 256.
    """
    network = ntkng.mlp(5, 1, width=256, activation="erf", sigma_w=1.4, sigma_b=0.3)
    worst = z_scores(network, 200, ("theta", "inner", "backward"))
    assert max(worst.values()) < 4.5, worst


def test_monte_carlo_has_power():
    """The same statistic sees `sigma_w` for `sigma_w^2` in one layer."""
    network = ntkng.mlp(5, 1, width=256, activation="erf", sigma_w=1.4)
    wrong = ntkng.mlp(5, 1, width=256, activation="erf", sigma_w=1.4**0.5)
    kernels = ntkng.analytic(wrong, X)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(7), 20)
        values = np.stack([ntkng.empirical(network, network.init(k), X).layers[1].theta.train for k in keys])
    z = (values.mean(0) - kernels.layers[1].theta.train) / (values.std(0, ddof=1) / np.sqrt(20))
    assert np.abs(z).max() > 10
