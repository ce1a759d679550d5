"""Closed forms from streamed kernels: the same as from whole ones, one kernel in memory."""

import tracemalloc

import numpy as np
import pytest

import ntkng
from ntkng import stax
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, CustomPattern, Exact
from ntkng.streamed import streamed_closed_form

SAMPLES, TESTS, INPUTS, OUTPUTS = 13, 3, 20, 2


def problem(depth=3, layer=None, samples=SAMPLES):
    rng = np.random.default_rng(0)
    x, x_test = rng.normal(size=(samples, INPUTS)), rng.normal(size=(TESTS, INPUTS))
    network = ntkng.mlp(INPUTS, OUTPUTS, width=16, depth=depth, sigma_b=0.3) if layer is None else layer
    return ntkng.Problem(network, x, rng.normal(size=(samples, OUTPUTS)), x_test, rng.normal(size=(TESTS, OUTPUTS)))


PATTERN = ((1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
CASES = [
    (3, Exact()), (3, BlockDiagonal()), (3, BlockTriDiagonal()), (4, BlockTriDiagonal()), (4, CustomPattern(blocks=PATTERN)),
    (3, KFAC()), (2, KFAC(last_layer="paper")),
]  # fmt: skip


@pytest.mark.parametrize(("depth", "fisher"), CASES, ids=str)
def test_same_as_from_whole_kernels(depth, fisher):
    setting = problem(depth)
    initial = tuple(np.random.default_rng(1).normal(size=(2, n, OUTPUTS)) for n in (SAMPLES, TESTS))
    for options in ({"steps": 4}, {"steps": [0.0, 0.5, 2.0], "flow": True}, {"step_size": 0.01, "steps": [0, 1, 50]}):
        whole = ntkng.closed_form(setting, fisher, initial=initial, **options)
        for rows in (None, 5):
            streamed = streamed_closed_form(setting, fisher, initial=initial, rows=rows, **options)
            assert np.abs(streamed.train - whole.train).max() < 1e-10
            assert np.abs(streamed.test - whole.test).max() < 1e-9
            assert streamed.stability.verdict == whole.stability.verdict
    assert streamed_closed_form(setting, fisher).step_size == pytest.approx(1 / whole.stability.largest)


def test_other_graphs_and_missing_test_inputs():
    branch = stax.serial(stax.Relu(), stax.Dense(8))
    layer = stax.serial(
        stax.Dense(8),
        stax.FanOut(2),
        stax.parallel(branch, stax.Identity()),
        stax.FanInSum(),
        stax.Relu(),
        stax.Dense(2),
    )
    setting = problem(layer=ntkng.Network(layer, INPUTS))
    whole = ntkng.closed_form(setting, BlockDiagonal())
    assert np.abs(streamed_closed_form(setting, BlockDiagonal(), rows=4).test - whole.test).max() < 1e-9
    bare = ntkng.Problem(setting.network, setting.x, setting.y)
    assert streamed_closed_form(bare, Exact(), rows=4).test is None


def test_one_kernel_in_memory():
    setting = problem(samples=600)
    streamed_closed_form(setting, BlockDiagonal(), rows=100)  # compile
    tracemalloc.start()
    streamed_closed_form(setting, BlockDiagonal(), rows=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.7 * 8 * 600**2


@pytest.mark.parametrize(
    ("fisher", "depth", "message"),
    [
        (Exact(0.1), 3, "needs an undamped approximation"),
        (ntkng.GradientDescent(), 3, "not isotropic"),
        (BlockTriDiagonal(), 5, "only as a limit"),
        (KFAC(singular="pseudo-inverse"), 3, "not isotropic"),
    ],
)
def test_what_needs_the_whole_kernel_is_refused(fisher, depth, message):
    with pytest.raises(ValueError, match=message):
        streamed_closed_form(problem(depth), fisher)


def test_singular_kernels_are_refused():
    setting = problem(samples=30)  # the input Gram has rank 20, and one more with the bias
    with pytest.raises(ValueError, match=r"input Gram A of layer .* has numerical rank"):
        streamed_closed_form(setting, KFAC(), rows=7)
