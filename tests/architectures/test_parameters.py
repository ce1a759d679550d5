"""Parameters have the user's own pytree structure: they go out to plain neural-tangents, and come back."""

import jax
import numpy as np
import pytest
from architectures.registry import ARCHITECTURES, network

import ntkng
from ntkng import stax
from ntkng._neural_tangents import stax as plain
from ntkng.fisher import BlockDiagonal


def plain_network(name):
    return ARCHITECTURES[name].build(plain, ARCHITECTURES[name].width, 2)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_structure_is_that_of_neural_tangents(name):
    """Same tree, same shapes; `split` and `join` are inverse."""
    net, shape = network(name), (1, *network(name).input_shape)
    ours = jax.eval_shape(lambda key: net.init(key, "float32"), jax.random.key(0))
    rejoined = net.join(net.split(ours))
    assert jax.tree.structure(rejoined) == jax.tree.structure(ours)
    assert all(a is b for a, b in zip(jax.tree.leaves(rejoined), jax.tree.leaves(ours), strict=True))
    if name == "repeated":
        return  # the copies have their own parameters here, neural-tangents stacks them and scans
    theirs = jax.eval_shape(lambda key: plain_network(name)[0](key, shape)[1], jax.random.key(0))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert [leaf.shape for leaf in jax.tree.leaves(ours)] == [leaf.shape for leaf in jax.tree.leaves(theirs)]


@pytest.mark.parametrize("name", ["nested_parallel", "channels_first_cnn"])
def test_parameters_from_outside(name):
    net, (init_fn, apply_fn, _) = network(name), plain_network(name)
    parameters = init_fn(jax.random.key(1), (1, *net.input_shape))[1]
    x = np.random.default_rng(0).normal(size=(3, *net.input_shape)).astype(np.float32)
    expected = apply_fn(parameters, x)
    np.testing.assert_allclose(net.apply(parameters, x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_trained_networks_can_be_used_outside():
    """What `simulate` trained gives the same functions in plain neural-tangents, and can be trained on from there."""
    net, (_, apply_fn, _) = network("residual_mlp"), plain_network("residual_mlp")
    rng = np.random.default_rng(1)
    x, x_test = rng.normal(size=(4, *net.input_shape)), rng.normal(size=(3, *net.input_shape))
    problem = ntkng.Problem(net, x, rng.normal(size=(4, 2)), x_test)
    options = {"step_size": 0.2, "steps": 2}
    run = ntkng.simulate(problem, BlockDiagonal(0.1), 0, seeds=2, keep_parameters=True, **options)
    for seed in range(2):
        trained = jax.tree.map(lambda leaf, seed=seed: leaf[seed], run.parameters)
        assert jax.tree.structure(trained) == jax.tree.structure(net.init(jax.random.key(0), "float32"))
        with jax.enable_x64(True):
            found = np.asarray(apply_fn(trained, x_test))
        np.testing.assert_allclose(found, np.asarray(run.test)[seed, -1], rtol=0, atol=1e-12)
        further = ntkng.simulate(problem, BlockDiagonal(0.1), parameters=trained, **options)
        np.testing.assert_allclose(further.train[0, 0], np.asarray(run.train)[seed, -1], rtol=0, atol=1e-12)
        assert further.parameters is None


def test_containers_of_combinators():
    """Nested serial and parallel layers nest tuples and lists as neural-tangents does; nothing is flattened."""

    def build(s):
        return s.serial(s.Dense(3), s.FanOut(2), s.parallel(s.serial(s.Relu(), s.Dense(3)), s.Identity()), s.FanInSum())

    ours = ntkng.Network(build(stax), 2).init(jax.random.key(0), "float32")
    theirs = build(plain)[0](jax.random.key(0), (1, 2))[1]
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(one, other)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
