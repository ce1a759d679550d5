"""The flow of a cross-entropy solves the differential equation of the linearised network, with full curvature matrices.

The path is held against the integral equation `f_t - f_0 = -int_0^t K(f_s) (p_s - y) ds`, whose integrand is an explicit solve in
parameter space at the path itself; Gauss-Legendre nodes make the integral exact to rounding.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linearised import SAMPLES, Linearised, build

import ntkng
from ntkng.cross_entropy import cross_entropy_flow
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact
from ntkng.iterate import velocity
from ntkng.kernels.rows import everywhere
from ntkng.trajectory import FAMILIES

TIME, NODES = 1.2, 16
SLOW = pytest.mark.slow
CLOSED = [
    ("softmax", BlockDiagonal()),
    ("logistic", Exact()),
    *(pytest.param("softmax", fisher, marks=SLOW) for fisher in (Exact(), BlockTriDiagonal())),
    *(pytest.param("logistic", fisher, marks=SLOW) for fisher in (BlockDiagonal(), BlockTriDiagonal())),
]
INTEGRATED = [
    ("softmax", KFAC()),
    *(pytest.param(*case, marks=SLOW) for case in (("softmax", BlockDiagonal(0.02)), ("logistic", KFAC(0.02)))),
]
ALPHA = {"Exact": 1, "BlockDiagonal": 3, "BlockTriDiagonal": 1, "KFAC": 2 * SAMPLES + 1}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def nodes(fisher):
    """Times from 0 to the end, and the weights of those in between."""
    points, weights = np.polynomial.legendre.leggauss(NODES)
    end = TIME / ALPHA[fisher.name]
    return np.concatenate([[0], (points + 1) / 2 * end, [end]]), weights * end / 2


def picard(path, falls, weights):
    """`|f_t - f_0 + sum w_s K(f_s) (p_s - y)| / |f_t - f_0|`."""
    moved = path[-1] - path[0]
    return np.abs(moved + np.einsum("s,snc->nc", weights, np.asarray(falls))).max() / np.abs(moved).max()


def run(loss, fisher):
    """From small logits: `log p` is nearly singular where `p` is small."""
    problem, parameters = build(loss)
    dense = Linearised(problem, parameters)
    rng = np.random.default_rng(2)
    dense.start, dense.start_test = (rng.normal(size=f.shape) / 2 for f in (dense.start, dense.start_test))
    kernels = ntkng.empirical(problem.network, parameters, problem.x, problem.x_test)
    times, weights = nodes(fisher)
    found = cross_entropy_flow(
        problem, fisher, kernels, times=times, initial=(dense.start, dense.start_test), rtol=1e-11
    )
    path = np.concatenate([found.train, found.test], axis=1)
    return problem, dense, found, path, weights


@pytest.mark.parametrize(("loss", "fisher"), CLOSED, ids=repr)
def test_closed_form(loss, fisher):
    problem, dense, found, path, weights = run(loss, fisher)
    assert found.source == "closed form"
    assert picard(path, [dense.fall(fisher, f) for f in path[1:-1]], weights) < 1e-10
    decay = np.exp(-ALPHA[fisher.name] * np.asarray(found.times))[:, None, None]
    np.testing.assert_allclose(found.residual, decay * found.residual[:1], rtol=0, atol=1e-13)


@pytest.mark.parametrize(("loss", "fisher"), INTEGRATED, ids=repr)
def test_integrated(loss, fisher):
    problem, dense, found, path, weights = run(loss, fisher)
    assert found.source == "ODE"
    assert picard(path, [dense.fall(fisher, f) for f in path[1:-1]], weights) < 1e-8


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_infinite_width(loss):
    """There one block of independent outputs is stored; the mean of the softmax logits over classes does not move."""
    problem, _ = build(loss)
    kernels = ntkng.analytic(problem.network, problem.x, problem.x_test)
    times, weights = nodes(BlockDiagonal())
    rng = np.random.default_rng(1)
    start = rng.normal(size=problem.y.shape) / 2, rng.normal(size=(len(problem.x_test), problem.outputs)) / 2
    found = cross_entropy_flow(problem, BlockDiagonal(), kernels, times=times, initial=start)
    path = np.concatenate([found.train, found.test], axis=1)
    rows, targets = everywhere(kernels), jnp.asarray(problem.y)
    falls = [velocity(loss, BlockDiagonal(), rows, jnp.asarray(f), targets) for f in path[1:-1]]
    assert picard(path, falls, weights) < 1e-10
    if loss == "softmax":
        np.testing.assert_allclose(
            path.mean(axis=-1), np.broadcast_to(path[0].mean(axis=-1), path.shape[:2]), atol=1e-12
        )
    else:  # f_t = logit p_t, and the test function follows by the kernel of the squared loss
        moved = FAMILIES["logistic"].link(found.predictions()) - start[0]
        np.testing.assert_allclose(found.train, start[0] + moved, atol=1e-10)
        mapped = np.asarray(BlockDiagonal().kernel(kernels).cross) @ moved / 3
        np.testing.assert_allclose(found.test, start[1] + mapped, atol=1e-10)


def test_power():
    """The integral equation notices `alpha` off by 5 %, a dropped layer, and `rho` in place of `N rho`."""
    problem, dense, _, path, weights = run("softmax", BlockDiagonal())
    falls = np.array([dense.fall(BlockDiagonal(), f) for f in path[1:-1]])
    assert picard(path, falls, weights) < 1e-10
    assert picard(path, 1.05 * falls, weights) > 0.04
    dense.jacobians[0] = 0 * dense.jacobians[0]
    assert picard(path, [dense.fall(BlockDiagonal(), f) for f in path[1:-1]], weights) > 0.1
    problem, dense, _, path, weights = run("softmax", BlockDiagonal(0.02))
    wrong = BlockDiagonal(0.02 / SAMPLES)
    assert picard(path, [dense.fall(wrong, f) for f in path[1:-1]], weights) > 1e-3


def test_errors():
    problem, _ = build("softmax")
    squared, _ = build("mse")
    with pytest.raises(ValueError, match=r"closed_form\(flow=True\)"):
        cross_entropy_flow(squared, Exact(), times=[1.0])
    with pytest.raises(ValueError, match="times"):
        cross_entropy_flow(problem, Exact(), times=[-1.0])
