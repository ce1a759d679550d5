"""The displacement of the parameters against explicit steps with full curvature matrices."""

import jax
import numpy as np
import pytest
from linearised import Linearised, build

import ntkng
from ntkng.displacement import displacement, movement_kernel
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, GradientDescent, UnitWise

STEPS = 3
CASES = (
    GradientDescent(), Exact(), Exact(0.02), BlockDiagonal(), BlockTriDiagonal(), BlockTriDiagonal(0.02), KFAC(),
    KFAC(0.02), KFAC(last_layer="paper"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def network():
    with jax.enable_x64(True):
        problem, parameters = build("mse", width=20)  # wider than N C: K-FAC inverts the backward Grams
        kernels = ntkng.empirical(problem.network, parameters, problem.x, problem.x_test)
        return problem, parameters, Linearised(problem, parameters), kernels


@pytest.mark.parametrize("fisher", CASES, ids=repr)
def test_against_full_matrices(fisher, network):
    problem, _, dense, kernels = network
    eta = 0.5 / fisher.kernel(kernels).eigenvalues()[-1].item()
    start = (dense.start, dense.start_test)
    path = ntkng.closed_form(problem, fisher, kernels, step_size=eta, steps=STEPS, initial=start)
    found = displacement(fisher, kernels, path)
    function, moved = dense.function, 0.0
    for step in range(STEPS + 1):
        assert abs(found[step] - np.linalg.norm(moved)) < 1e-10 * found[-1]
        moved = moved - eta * dense.step(fisher, function)
        function = dense.function + (dense.everywhere @ moved).reshape(function.shape)


@pytest.mark.slow
def test_simulations_move_as_far():
    """A wide network, several outputs, and infinite-width kernels; 5 % of `alpha` is noticed."""
    problem, _ = build("mse", width=1024)
    kernels = ntkng.analytic(problem.network, problem.x)
    alone = ntkng.Problem(problem.network, problem.x, problem.y)
    run = ntkng.simulate(alone, BlockDiagonal(), 0, step_size=1 / 6, steps=2, seeds=3)
    start = (run.train[:, 0], None)
    path = ntkng.closed_form(alone, BlockDiagonal(), kernels, step_size=1 / 6, steps=2, initial=start)
    ratios = np.asarray(run.displacement)[:, 1:] / displacement(BlockDiagonal(), kernels, path)[:, 1:]
    assert abs(ratios.mean() - 1) < 0.02
    wrong = ntkng.closed_form(alone, BlockDiagonal(), kernels, step_size=1.05 / 6, steps=2, initial=start)
    ratios = np.asarray(run.displacement)[:, 1:] / displacement(BlockDiagonal(), kernels, wrong)[:, 1:]
    assert abs(ratios.mean() - 1) > 0.02


def test_power_and_errors(network):
    problem, _, _, kernels = network
    path = ntkng.closed_form(problem, Exact(), kernels, steps=2)
    assert displacement(Exact(), kernels, path)[1] == pytest.approx(
        np.sqrt(problem.y.ravel() @ np.linalg.solve(kernels.theta.train, problem.y.ravel())), rel=1e-10
    )
    with pytest.raises(ValueError, match="every step"):
        displacement(Exact(), kernels, ntkng.closed_form(problem, Exact(), kernels, steps=[0, 2]))
    with pytest.raises(ValueError, match="every step"):
        displacement(Exact(), kernels, ntkng.closed_form(problem, Exact(), kernels, steps=[0.0, 1.0], flow=True))
    with pytest.raises(ValueError, match="UnitWise has no closed form"):
        movement_kernel(UnitWise(), kernels)
