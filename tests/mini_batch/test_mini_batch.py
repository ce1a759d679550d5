"""Mini-batch steps of networks against full Jacobians, the closed form of a sequence of batches, and Kaczmarz' rate."""

import jax
import numpy as np
import pytest
from linearised import Linearised, build, flat, unflatten

import ntkng
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, EmpiricalFisher, Exact
from ntkng.mini_batch import kaczmarz_rate, shuffled_batches

TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def observe(network, parameters, x):
    return {"theta": flat(network, parameters)}


CASES = [
    ("mse", KFAC()),
    ("softmax", BlockDiagonal()),
    ("mse", EmpiricalFisher(0.1)),
]
MORE = [
    *(("mse", fisher) for fisher in (Exact(), BlockDiagonal(0.02), BlockTriDiagonal(), KFAC(0.02))),
    *(("mse", EmpiricalFisher(0.1, of)) for of in (BlockDiagonal(), KFAC())),
    ("softmax", EmpiricalFisher(0.1)),
]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in MORE]


@pytest.mark.parametrize(("loss", "fisher"), CASES, ids=repr)
def test_steps_of_a_network(loss, fisher):
    """Each step is that of the batch alone, at the parameters of that moment."""
    problem, parameters = build(loss)
    batches, eta = np.array([[2, 0], [1, 3]]), 0.05
    run = ntkng.simulate(problem, fisher, step_size=eta, batches=batches, parameters=parameters, observe=observe)
    path = np.asarray(run.observed["theta"])[0]
    for index, batch in enumerate(batches):
        dense = Linearised(problem, unflatten(problem.network, parameters, path[index]))
        expected = dense.step(fisher, dense.function, batch)
        assert np.abs((path[index] - path[index + 1]) / eta - expected).max() < TOLERANCE * np.abs(expected).max()
        np.testing.assert_allclose(run.train[0, index], dense.start, atol=TOLERANCE)  # on and off the batch
        np.testing.assert_allclose(run.test[0, index], dense.start_test, atol=TOLERANCE)


def test_product_of_linear_maps():
    """`r <- (I - eta K(x, x_b) E_b) r` for a sequence of batches, as one matrix."""
    problem, _ = build("mse")
    kernels = ntkng.analytic(problem.network, problem.x, problem.x_test)
    batches, eta = np.array([[2, 0], [1, 3], [0, 1]]), 0.3
    thetas = [np.asarray(layer.theta.train) for layer in kernels.layers]
    product = np.eye(4)
    for batch in batches:
        own = sum(t[:, batch] @ np.linalg.inv(t[np.ix_(batch, batch)]) for t in thetas)
        product = (np.eye(4) - eta * own @ np.eye(4)[batch]) @ product
    run = ntkng.iterate(problem, BlockDiagonal(), kernels, step_size=eta, batches=batches)
    np.testing.assert_allclose(run.residual[-1], product @ run.residual[0], rtol=0, atol=TOLERANCE)
    wrong = ntkng.iterate(problem, BlockDiagonal(), kernels, step_size=1.05 * eta, batches=batches)
    assert np.abs(wrong.residual[-1] - product @ run.residual[0]).max() > 1e-3


def test_kaczmarz_rate():
    """Against projections in parameter space, and against what passes do to the worst residual."""
    rng = np.random.default_rng(0)
    jacobian = rng.normal(size=(6, 9))
    theta, batches = jacobian @ jacobian.T, np.array([[0, 1], [2, 5], [4, 3]])
    product = jacobian.T @ np.linalg.inv(theta) @ jacobian  # onto the row space
    for batch in batches:
        rows = jacobian[batch]
        product = product - rows.T @ np.linalg.inv(rows @ rows.T) @ rows @ product
    rate = kaczmarz_rate(theta, batches)
    assert rate == pytest.approx(np.linalg.norm(product, 2), abs=1e-12)
    assert 0 < rate < 1
    worst = jacobian @ np.linalg.svd(product)[2][0]  # the direction in which the product is as large as its norm
    norms = [np.sqrt(worst @ np.linalg.solve(theta, worst))]
    for batch in batches:
        worst = worst - theta[:, batch] @ np.linalg.solve(theta[np.ix_(batch, batch)], worst[batch])
    norms.append(np.sqrt(worst @ np.linalg.solve(theta, worst)))
    assert norms[1] / norms[0] == pytest.approx(rate, abs=1e-10)
    with pytest.raises(ValueError, match=r"no batch holds the samples \[3, 4\]"):
        kaczmarz_rate(theta, batches[:2])


def test_shuffled_batches():
    batches = shuffled_batches(10, 3, epochs=2, seed=4)
    assert batches.shape == (6, 3)
    for epoch in (batches[:3], batches[3:]):
        assert len(np.unique(epoch)) == 9
    assert (batches[:3] != batches[3:]).any()
    np.testing.assert_array_equal(batches, shuffled_batches(10, 3, epochs=2, seed=4))
    with pytest.raises(ValueError, match="at most the number of samples 10, got 11"):
        shuffled_batches(10, 11)


def test_errors():
    problem, _ = build("mse")
    for batches, message in (([[0, 4]], "indices of the 4 samples"), ([0, 1], "shape"), ([[2, 2]], "twice")):
        with pytest.raises(ValueError, match=message):
            ntkng.simulate(problem, Exact(), step_size=0.1, batches=batches)
    with pytest.raises(TypeError, match="integers"):
        ntkng.simulate(problem, Exact(), step_size=0.1, batches=[[0.0, 1.0]])
    with pytest.raises(ValueError, match="drop steps"):
        ntkng.simulate(problem, Exact(), step_size=0.1, steps=4, batches=[[0, 1]])
