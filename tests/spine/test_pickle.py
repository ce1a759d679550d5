"""Networks and problems travel to other processes; networks by the same calls are equal and share compiled programs."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax

X = np.random.default_rng(0).normal(size=(3, 4))


def cubic(x):
    return x**3


def convolution():
    return ntkng.Network(
        stax.serial(stax.Conv(4, (2, 2), padding="SAME"), stax.Relu(), stax.Flatten(), stax.Dense(2, b_std=0.1)),
        (2, 2, 1),
    )


NETWORKS = {
    "relu": lambda: ntkng.mlp(4, width=8),
    "tanh": lambda: ntkng.mlp(4, width=8, activation="tanh"),
    "own function": lambda: ntkng.mlp(4, width=8, activation=stax.ElementwiseNumerical(cubic, deg=10)),
    "function of JAX": lambda: ntkng.mlp(4, width=8, activation=stax.ElementwiseNumerical(jax.nn.softplus, 10)),
    "convolution": convolution,
    "branches": lambda: ntkng.Network(
        stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(4), stax.Identity()), stax.FanInSum(), stax.Dense(1)), 4
    ),
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    net, twin = NETWORKS[name](), NETWORKS[name]()
    other = pickle.loads(pickle.dumps(net))
    assert other is not net
    assert net == twin == other
    assert len({net, twin, other}) == 1
    assert copy.deepcopy(net) is net
    x = jnp.ones((2, *net.input_shape))
    parameters = net.init(0)
    assert np.array_equal(net.apply(parameters, x), other.apply(parameters, x))


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_networks_that_differ():
    base = ntkng.mlp(4, width=8)
    for changes in (
        {"width": 9},
        {"depth": 2},
        {"sigma_w": 1.0},
        {"sigma_b": 0.1},
        {"activation": "erf"},
        {"outputs": 2},
    ):
        assert ntkng.mlp(4, **{"width": 8, **changes}) != base
    assert ntkng.mlp(4, width=8, sigma_w=np.float64(2**0.5)) == base
    own = [ntkng.mlp(4, width=8, activation=stax.ElementwiseNumerical(lambda x: x**3, 10)) for _ in range(2)]
    assert own[0] != own[1]
    assert repr(own[0].layer).startswith("stax.serial(Dense(8, W_std=1.41")


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_functions_without_a_name():
    net = ntkng.mlp(4, width=8, activation=stax.ElementwiseNumerical(lambda x: x**3, 4))
    with pytest.raises(
        TypeError, match="ElementwiseNumerical.*cannot be pickled: its function <lambda> has no name.*top of a module"
    ):
        pickle.dumps(net)
    assert copy.deepcopy(net) is net
    by_hand = stax.Layer(*net.layer)
    with pytest.raises(TypeError, match="put together by hand cannot be pickled"):
        pickle.dumps(by_hand)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_cloudpickle_takes_any_function():
    cloudpickle = pytest.importorskip("cloudpickle")
    net = ntkng.mlp(4, width=8, activation=stax.ElementwiseNumerical(lambda x: x**3, 4))
    assert pickle.loads(cloudpickle.dumps(net)).depth == 3


def train(problem):
    return np.asarray(ntkng.simulate(problem, ntkng.Exact(), 0, step_size=0.5, steps=1).train)


def test_problems_and_shared_programs():
    problem = ntkng.Problem(ntkng.mlp(4, width=8, depth=2), X, X[:, 0], X[:2] + 1, X[:2, 0])
    right = train(problem)
    from ntkng.simulate import _train

    programs = _train._cache_size()
    for other in (pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem)):
        assert np.array_equal(other.x, problem.x)
        assert other.x is not problem.x
        assert np.array_equal(train(other), right)
    assert _train._cache_size() == programs


@pytest.mark.slow
def test_spawned_processes():
    problem = ntkng.Problem(ntkng.mlp(4, width=8, depth=2), X, X[:, 0])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        run = pool.submit(ntkng.simulate, problem, ntkng.Exact(), 0, step_size=0.5, steps=1).result()
    assert np.array_equal(run.train, train(problem))
