"""Steps in function space, where `K` changes from step to step, against full curvature matrices of the linearised network."""

import jax
import numpy as np
import pytest
from linearised import SAMPLES, TESTS, Linearised, build

import ntkng
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, EmpiricalFisher, Exact, GradientDescent

TOLERANCE, STEPS = 1e-10, 3
BATCHES = np.array([[2, 0], [1, 3], [0, 1]])
CASES = [
    ("softmax", BlockDiagonal(), None),
    ("softmax", KFAC(), None),
    ("mse", BlockTriDiagonal(0.02), BATCHES),
    ("mse", EmpiricalFisher(0.1), BATCHES),
]
MORE = [
    *(
        ("softmax", fisher, None)
        for fisher in (Exact(), Exact(0.02), BlockTriDiagonal(), BlockTriDiagonal(0.02), KFAC(0.02))
    ),
    *(("logistic", fisher, None) for fisher in (BlockDiagonal(), KFAC(0.02))),
    *(
        ("mse", fisher, BATCHES)
        for fisher in (GradientDescent(), Exact(), Exact(0.02), BlockDiagonal(), BlockTriDiagonal())
    ),
    *(("mse", fisher, BATCHES) for fisher in (KFAC(), KFAC(0.02))),
    *(("softmax", fisher, BATCHES) for fisher in (BlockDiagonal(), KFAC())),
    *(("mse", EmpiricalFisher(0.1, of), None) for of in (BlockDiagonal(), KFAC())),
    ("softmax", EmpiricalFisher(0.1, BlockDiagonal()), None),
]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in MORE]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def setting(loss):
    problem, parameters = build(loss)
    dense = Linearised(problem, parameters)
    kernels = ntkng.empirical(problem.network, parameters, problem.x, problem.x_test)
    return problem, dense, kernels


def size(fisher):
    """About `1/(2 alpha)`, so that no mode grows."""
    return 0.5 / {"KFAC": 2 * SAMPLES + 1, "BlockDiagonal": 3, "EmpiricalFisher": 10}.get(fisher.name, 1)


@pytest.mark.parametrize(("loss", "fisher", "batches"), CASES, ids=repr)
def test_iteration_against_full_matrices(loss, fisher, batches):
    problem, dense, kernels = setting(loss)
    eta = size(fisher)
    run = ntkng.iterate(
        problem, fisher, kernels, step_size=eta, steps=None if batches is not None else STEPS, batches=batches,
        initial=(dense.start, dense.start_test),
    )  # fmt: skip
    function = dense.function
    for step in range(STEPS):
        function = function - eta * dense.fall(fisher, function, None if batches is None else batches[step])
        found = np.concatenate([run.train[step + 1], run.test[step + 1]])
        assert np.abs(found - function).max() < TOLERANCE * np.abs(dense.function - function).max()
    assert run.source == "iteration"
    assert np.shape(run.train) == (STEPS + 1, SAMPLES, problem.outputs)


def test_full_batch_squared_loss_is_the_closed_form():
    problem, dense, kernels = setting("mse")
    start = dense.start, dense.start_test
    one = ntkng.iterate(problem, BlockDiagonal(0.02), kernels, step_size=0.2, steps=4, initial=start)
    other = ntkng.closed_form(problem, BlockDiagonal(0.02), kernels, step_size=0.2, steps=4, initial=start)
    np.testing.assert_allclose(one.train, other.train, rtol=0, atol=1e-11)
    np.testing.assert_allclose(one.test, other.test, rtol=0, atol=1e-11)


def test_several_networks_and_defaults():
    problem, dense, kernels = setting("softmax")
    start = np.stack([dense.start, -dense.start]), np.stack([dense.start_test, -dense.start_test])
    both = ntkng.iterate(problem, Exact(), kernels, step_size=0.3, steps=2, initial=start)
    assert np.shape(both.train) == (2, 3, SAMPLES, 3)
    assert np.shape(both.test) == (2, 3, TESTS, 3)
    alone = ntkng.iterate(problem, Exact(), kernels, step_size=0.3, steps=2, initial=(-dense.start, -dense.start_test))
    np.testing.assert_allclose(both.train[1], alone.train, atol=1e-14)
    zero = ntkng.iterate(problem, Exact(), step_size=0.3)  # infinitely wide, from the zero function
    assert np.shape(zero.train) == (11, SAMPLES, 3)
    assert not np.asarray(zero.train[0]).any()


def test_errors():
    problem, dense, kernels = setting("mse")
    with pytest.raises(ValueError, match="step_size"):
        ntkng.iterate(problem, Exact(), kernels, step_size=-1.0)
    with pytest.raises(ValueError, match=r"initial\[1\] must end in shape \[3, 3\]"):
        ntkng.iterate(problem, Exact(), kernels, step_size=0.1, initial=(dense.start, dense.start))
    with pytest.raises(ValueError, match=r"indices 0 \.\. 3"):
        ntkng.iterate(problem, Exact(), kernels, step_size=0.1, batches=[[0, 9]])
    with pytest.raises(ValueError, match="twice"):
        ntkng.iterate(problem, Exact(), kernels, step_size=0.1, batches=[[1, 1]])
    with pytest.raises(ValueError, match="drop steps"):
        ntkng.iterate(problem, Exact(), kernels, step_size=0.1, steps=3, batches=[[0, 1]])
    alone = ntkng.empirical(problem.network, build("mse")[1], problem.x)
    with pytest.raises(ValueError, match="compute them with x_test"):
        ntkng.iterate(problem, Exact(), alone, step_size=0.1)
