"""Joined branches at infinite width: amplitudes of what they share, hand-derived; and every other sharing is refused by name."""

import warnings

import jax
import numpy as np
import pytest

import ntkng
from ntkng import stax

X = np.random.default_rng(0).normal(size=(3, 4))
Q = X @ X.T / 4
WEIGHT = 3.0


def fan(*branches, join=stax.FanInSum):
    return stax.serial(stax.FanOut(len(branches)), stax.parallel(*branches), join())


def network(*layers, shape=(4,)):
    return ntkng.Network(stax.serial(*layers), shape)


def relu(q):
    """`E relu relu` and `E step step`."""
    size = np.sqrt(np.outer(np.diag(q), np.diag(q)))
    angle = np.arccos(np.clip(q / size, -1, 1))
    return size * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def check(found, nngp, ntk):
    np.testing.assert_allclose(found.nngp.train, nngp, rtol=1e-7)
    np.testing.assert_allclose(found.theta.train, ntk, rtol=1e-7)


def test_skip_around_a_block_with_its_own_skip_adds_amplitudes():
    # u + (u + v) = 2 u + v, with v = W relu(u)
    block = fan(stax.Identity(), stax.serial(stax.Relu(), stax.Dense(8)))
    found = ntkng.analytic(network(stax.Dense(8), fan(stax.Identity(), block), stax.Dense(1)), X)
    first, step = relu(Q)
    check(found, 4 * Q + first, (4 * Q + first) + 4 * Q + first + step * Q)
    # three levels: u + (u + (u + v)), and a layer on the whole
    deep = network(stax.Dense(8), fan(stax.Identity(), fan(stax.Identity(), block)), stax.Relu(), stax.Dense(1))
    hidden = 9 * Q + first
    outer, outer_step = relu(hidden)
    check(ntkng.analytic(deep, X), outer, outer + outer_step * (9 * Q + first + step * Q))


@pytest.mark.parametrize("copies", [2, 3])
def test_a_layer_added_to_itself(copies):
    itself = fan(*[stax.Identity()] * copies)
    check(ntkng.analytic(network(stax.Dense(8), itself, stax.Dense(1)), X), copies**2 * Q, 2 * copies**2 * Q)
    check(ntkng.analytic(network(stax.Dense(1), itself), X), copies**2 * Q, copies**2 * Q)
    check(ntkng.analytic(network(itself, stax.Dense(1)), X), copies**2 * Q, copies**2 * Q)


def test_equal_linear_maps_of_one_layer_are_equal():
    pool = fan(stax.AvgPool((2,)), stax.AvgPool((2,)))
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    pooled = (x[:, 1:] + x[:, :-1]) / 2  # of a linear layer's inputs
    expected = 4 * np.einsum("nsk,msk->nm", pooled, pooled) / 8
    found = ntkng.analytic(network(stax.Dense(8), pool, stax.Flatten(), stax.Dense(1), shape=(3, 4)), x)
    check(found, expected, 2 * expected)


def test_one_branch_may_end_in_an_activation():
    join = fan(stax.Dense(8), stax.serial(stax.Dense(8), stax.Relu()))
    first, step = relu(Q)
    check(ntkng.analytic(network(join, stax.Dense(1)), X), Q + first, Q + first + Q + step * Q)


def image(*layers):
    return network(stax.Conv(4, (2, 2)), *layers, stax.GlobalAvgPool(), stax.Dense(1), shape=(4, 4, 1))


IDENTITY, RELU, DENSE = stax.Identity(), stax.Relu(), stax.Dense(4)
CONCAT = fan(DENSE, DENSE, join=stax.FanInConcat)
DEPENDENT = {
    "product": lambda: network(DENSE, fan(IDENTITY, IDENTITY, join=stax.FanInProd), stax.Dense(1)),
    "sum with its activation": lambda: network(DENSE, fan(IDENTITY, RELU), stax.Dense(1)),
    "sum with its norm": lambda: network(DENSE, fan(IDENTITY, stax.LayerNorm()), stax.Dense(1)),
    "product of activations": lambda: network(DENSE, fan(RELU, stax.Erf(), join=stax.FanInProd), stax.Dense(1)),
    "two activations": lambda: network(fan(*[stax.serial(DENSE, RELU)] * 2), stax.Dense(1)),
    "inputs and layer": lambda: network(fan(IDENTITY, DENSE), stax.Dense(1)),
    "inputs times layer": lambda: network(fan(IDENTITY, DENSE, join=stax.FanInProd), stax.Dense(1)),
    "product of concatenations": lambda: network(fan(CONCAT, CONCAT, join=stax.FanInProd), stax.Dense(1)),
    "different pools": lambda: image(fan(stax.AvgPool((2, 2)), stax.Index(stax.Slice[:, :2, :2]))),
    "concatenated positions": lambda: image(fan(IDENTITY, IDENTITY, join=lambda: stax.FanInConcat(1))),
    "activation after a concatenation": lambda: network(CONCAT, RELU, stax.Dense(1)),
    "another channel axis": lambda: network(DENSE, stax.Dense(3, channel_axis=1), stax.Flatten(), DENSE, shape=(2, 2)),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_other_sharing_is_refused_at_infinite_width_only(name):
    found = DEPENDENT[name]()
    x = np.ones((2, *found.input_shape))
    with pytest.raises(ValueError, match=r"^stax\.\w+ (joins|got|has no infinite-width kernel)"):
        ntkng.analytic(found, x)
    outputs = jax.eval_shape(lambda key: found.apply(found.init(key, np.float32), np.float32(x)), jax.random.key(0))
    assert outputs.shape == (2, found.outputs)


OUTPUTS = {
    "Flatten of 4 positions": lambda: network(DENSE, stax.Flatten(), shape=(4, 2)),
    "Flatten of 2 positions": lambda: network(DENSE, stax.AvgPool((2,), (2,)), stax.Flatten(), shape=(4, 2)),
    "FanInConcat": lambda: network(CONCAT),
    "FanInProd": lambda: network(fan(DENSE, DENSE, join=stax.FanInProd)),
    "Relu": lambda: network(DENSE, RELU),
    "LayerNorm": lambda: network(DENSE, stax.LayerNorm(), stax.Identity()),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_that_are_not_independent_are_refused_by_the_layer_that_makes_them_so(name):
    found = OUTPUTS[name]()
    x = np.random.default_rng(0).normal(size=(2, *found.input_shape))
    problem = ntkng.Problem(found, x, np.zeros((2, found.outputs)))
    with pytest.raises(ValueError, match=f"outputs after stax.{name}.*stax.Dense"):
        ntkng.closed_form(problem, ntkng.GradientDescent(), step_size=0.1, steps=1)
    with pytest.raises(ValueError, match="outputs after"):
        ntkng.ensemble(problem, ntkng.GradientDescent(), step_size=0.1, steps=1)


def test_a_flattened_network_is_simulated_at_finite_width():
    # linear in its two weights, which all positions share: exact linear regression
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3))
    problem = ntkng.Problem(network(stax.Dense(1), stax.Flatten(), shape=(3, 2)), x, y)
    features = x.reshape(12, 2) / np.sqrt(2)
    for kept in ntkng.simulate(problem, ntkng.GradientDescent(), step_size=0.5, steps=5, seeds=2).train:
        first, last = kept[0].reshape(-1), kept[-1].reshape(-1)
        weights = np.linalg.lstsq(features, first, rcond=None)[0]
        for _ in range(5):
            weights -= 0.5 * features.T @ (features @ weights - y.reshape(-1)) / 4
        np.testing.assert_allclose(last, features @ weights, rtol=1e-10)


def test_independent_outputs_and_correct_networks_are_silent():
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    flat = x.reshape(2, -1)
    whole = flat @ flat.T / flat.shape[1]
    residual = network(stax.Dense(8), fan(IDENTITY, stax.serial(RELU, stax.Dense(8))), stax.Dense(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ntkng.analytic(residual, X)
        one = ntkng.analytic(network(stax.Conv(2, (4,)), stax.Flatten(), shape=(4, 3)), x)
        np.testing.assert_allclose(one.nngp.train, whole, rtol=1e-12)
        alone = ntkng.Network(stax.Dense(2), 4)  # a single layer, with no combinator around it
        check(ntkng.analytic(alone, X), Q, Q)
        two = ntkng.analytic(network(fan(stax.Dense(2), stax.Dense(2, W_std=WEIGHT))), X)
        check(two, (1 + WEIGHT**2) * Q, (1 + WEIGHT**2) * Q)


@pytest.mark.slow
def test_amplitudes_agree_with_wide_networks():
    def wide(outputs):
        block = fan(IDENTITY, stax.serial(RELU, stax.Dense(1024)))
        return network(stax.Dense(1024), fan(IDENTITY, block), stax.Dense(outputs))

    first, step = relu(Q)
    nngp, ntk = 4 * Q + first, 8 * Q + 2 * first + step * Q
    with jax.enable_x64(True):
        many, one = wide(64), wide(1)
        outputs = np.concatenate([many.apply(many.init(jax.random.key(s)), X) for s in range(100)], axis=1)
        found = np.mean([ntkng.empirical(one, one.init(jax.random.key(s)), X).theta.train for s in range(16)], axis=0)
    assert abs(outputs @ outputs.T / outputs.shape[1] - nngp).max() < 0.05 * nngp.max()
    assert abs(found - ntk).max() < 0.05 * ntk.max()
