"""Steps by conjugate gradients: the same as by factorised Grams, without any Gram, and never silently inexact."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax
from ntkng.fisher import BlockDiagonal, BlockTriDiagonal, ConjugateGradients, CustomPattern, Exact

TIGHT = ConjugateGradients(tolerance=1e-12)
SAMPLES, INPUTS, OUTPUTS = 6, 8, 3


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def problem(loss="mse", samples=SAMPLES, width=64):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(samples, INPUTS)), rng.normal(size=(samples, OUTPUTS))
    if loss != "mse":
        y = np.eye(OUTPUTS)[np.arange(samples) % OUTPUTS]
    network = ntkng.mlp(INPUTS, OUTPUTS, width=width, depth=4, activation="erf", sigma_b=0.3)
    return ntkng.Problem(network, x, y, loss=loss)


CASES = [
    Exact(), Exact(0.02), BlockDiagonal(), BlockDiagonal(0.02), BlockTriDiagonal(),
    CustomPattern(0.02, ((1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1), (0, 0, 1, 1))),
]  # fmt: skip


@pytest.mark.parametrize("fisher", CASES, ids=repr)
def test_same_trajectory_as_by_factorisation(fisher):
    setting = problem()
    paths = [
        ntkng.simulate(setting, dataclasses.replace(fisher, solver=solver), 0, step_size=0.1, steps=2).train
        for solver in (None, TIGHT)
    ]
    assert np.abs(paths[0] - paths[1]).max() < 1e-9
    loose = dataclasses.replace(fisher, solver=ConjugateGradients(tolerance=1e-3))
    assert np.abs(paths[0] - ntkng.simulate(setting, loose, 0, step_size=0.1, steps=2).train).max() > 1e-9


@pytest.mark.parametrize("loss", ["softmax"])
def test_cross_entropy(loss):
    setting = problem(loss)
    paths = [
        ntkng.simulate(setting, Exact(0.05, solver=solver), 0, step_size=0.5, steps=2).train for solver in (None, TIGHT)
    ]
    assert np.abs(paths[0] - paths[1]).max() < 1e-9


def test_convolutions_and_generic_layers():
    layer = stax.serial(
        stax.Conv(16, (2, 2)),
        stax.Relu(),
        stax.ConvTranspose(16, (2, 2)),
        stax.Relu(),
        stax.GlobalAvgPool(),
        stax.Dense(2),
    )
    rng = np.random.default_rng(1)
    setting = ntkng.Problem(ntkng.Network(layer, (4, 4, 2)), rng.normal(size=(4, 4, 4, 2)), rng.normal(size=(4, 2)))
    paths = [
        ntkng.simulate(setting, Exact(0.01, solver=solver), 0, step_size=0.1, steps=1).train for solver in (None, TIGHT)
    ]
    assert np.abs(paths[0] - paths[1]).max() < 1e-9


def test_missed_tolerance_is_an_error():
    with pytest.raises(ValueError, match="conjugate gradients missed their tolerance"):
        ntkng.simulate(problem(), Exact(solver=ConjugateGradients(1e-12, max_iterations=3)), 0, step_size=0.1, steps=1)


def test_systems_that_are_not_definite_are_refused():
    for fisher in (BlockTriDiagonal(0.1, solver=TIGHT), BlockTriDiagonal(solver=TIGHT)):
        deep = ntkng.Problem(ntkng.mlp(INPUTS, OUTPUTS, width=32, depth=5), problem().x, problem().y)
        with pytest.raises(ValueError, match="need definite systems"):
            ntkng.simulate(deep, fisher, 0, step_size=0.1, steps=1)


@pytest.mark.parametrize(("name", "values"), [("tolerance", (0, -1.0)), ("max_iterations", (0, -3))])
def test_bad_input(name, values):
    for value in values:
        with pytest.raises(ValueError, match=name):
            ConjugateGradients(**{name: value})


def test_no_gram_is_formed():
    """Temporary memory grows with N C, not with its square."""
    from ntkng.simulate import _train

    def temporary(samples, solver):
        setting = problem(samples=samples, width=16)
        start = setting.network.init(jax.random.key(0))
        compiled = _train.lower(
            setting.network, Exact(0.1, solver=solver), start, jnp.asarray(setting.x), jnp.asarray(setting.y), None, 0.1,
            batches=None, steps=1, keep_parameters=False, solve_dtype=jnp.dtype("float64"), observe=None, loss="mse",
        ).compile()  # fmt: skip
        return compiled.memory_analysis().temp_size_in_bytes

    small, large = (temporary(samples, TIGHT) for samples in (200, 800))
    assert large < 5 * small
    assert large < 8 * (800 * OUTPUTS) ** 2 < temporary(800, None)
