"""The engine under the strictest settings of JAX: no promotion of ranks or types, no legacy keys, no NaN on the way.

`make test-strict` runs the engine's other tests under them.
"""

import contextlib

import jax
import numpy as np
import pytest

import ntkng
from ntkng import stax
from ntkng.displacement import displacement
from ntkng.kernels import UnitSampling

pytestmark = pytest.mark.slow  # many programs, each once
RNG = np.random.default_rng(0)
X, TEST, Y = RNG.normal(size=(4, 5)), RNG.normal(size=(2, 5)), RNG.normal(size=(4, 2))
CLASSES = np.eye(2)[[0, 1, 1, 0]]
NETWORK = ntkng.mlp(5, 2, width=16, depth=3, sigma_b=0.3)
PROBLEM, SOFTMAX = ntkng.Problem(NETWORK, X, Y, TEST), ntkng.Problem(NETWORK, X, CLASSES, TEST, loss="softmax")


@pytest.fixture(autouse=True)
def _strict():
    with contextlib.ExitStack() as settings:
        for setting in (
            jax.numpy_rank_promotion("raise"),
            jax.numpy_dtype_promotion("strict"),
            jax.debug_nans(True),
            jax.legacy_prng_key("error"),
        ):
            settings.enter_context(setting)
        yield


@pytest.fixture(scope="module")
def kernels():
    return ntkng.analytic(NETWORK, X, TEST, test_covariance=True)


FISHERS = [ntkng.Exact(), ntkng.KFAC(0.1), ntkng.BlockTriDiagonal()]


@pytest.mark.parametrize("fisher", FISHERS, ids=lambda fisher: fisher.name)
def test_function_space(kernels, fisher):
    """Two networks' starting functions at once, which is where ranks differ."""
    initial = np.zeros((2, 4, 2)), np.zeros((2, 2, 2))
    path = ntkng.closed_form(PROBLEM, fisher, kernels, step_size=0.1, steps=2, initial=initial)
    assert np.shape(path.test) == (2, 3, 2, 2)
    step = ntkng.iterate(PROBLEM, fisher, kernels, step_size=0.1, steps=1, initial=initial)
    np.testing.assert_allclose(step.train, path.train[:, :2], rtol=1e-9, atol=1e-9)
    ntkng.iterate(SOFTMAX, fisher, kernels, step_size=0.1, batches=[[0, 1]])
    assert np.shape(displacement(fisher, kernels, path)) == (2, 3)


def test_ensemble_flow_and_stream(kernels):
    ntkng.ensemble(PROBLEM, ntkng.Exact(), kernels, steps=2)
    ntkng.closed_form(PROBLEM, ntkng.Exact(), kernels, steps=[0.0, 1.5], flow=True)
    ntkng.cross_entropy_flow(SOFTMAX, ntkng.Exact(), kernels, times=[0.5])
    ntkng.streamed_closed_form(
        PROBLEM, ntkng.BlockDiagonal(), steps=1, initial=(np.zeros((2, 4, 2)), np.zeros((2, 2, 2)))
    )


def test_sampled_units():
    problem = ntkng.Problem(ntkng.mlp(5, 1, width=16, depth=2), X, Y[:, 0], TEST)
    sampled = ntkng.analytic(problem.network, X, TEST, units=UnitSampling(16, 2))
    ntkng.closed_form(problem, ntkng.UnitWise(0.1), sampled, step_size=0.1, steps=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("fisher", [ntkng.KFAC(0.1), ntkng.UnitWise(0.1)], ids=lambda fisher: fisher.name)
def test_parameter_space(fisher, dtype):
    for problem in (PROBLEM, SOFTMAX):
        ntkng.simulate(problem, fisher, step_size=0.1, steps=1, dtype=dtype)


def test_convolutions():
    layer = stax.serial(
        stax.Conv(4, (2, 2), b_std=0.1), stax.Relu(), stax.AvgPool((2, 2)), stax.Flatten(), stax.Dense(2)
    )
    problem = ntkng.Problem(ntkng.Network(layer, (5, 5, 1)), RNG.normal(size=(3, 5, 5, 1)), Y[:3])
    ntkng.closed_form(problem, ntkng.Exact(0.1), step_size=0.1, steps=1)
    ntkng.simulate(problem, ntkng.KFAC(0.1), step_size=0.1, steps=1)
