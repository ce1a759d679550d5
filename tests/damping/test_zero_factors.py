"""Layers whose inputs or backward signals vanish: the gradient is 0, such a layer does not move, and all others move as always.

Dead units, a zero-initialised head, blank samples and a fitted batch under the empirical Fisher make scales 0 that dampings are relative to.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax
from ntkng.fisher.relative_damping import root_of_ratio

pytestmark = (
    pytest.mark.slow
)  # a program for each approximation; `tests/tried/singular.py` keeps the dampings in the fast run

RNG = np.random.default_rng(0)
N, C, WIDTH, RHO = 5, 2, 4, 0.1
NETWORK = ntkng.mlp(3, C, width=WIDTH, depth=2)
X, Y = RNG.normal(size=(N, 3)), RNG.normal(size=(N, C))
WEIGHTS = RNG.normal(size=(3, WIDTH))
FEATURES = np.sqrt(2 / WIDTH) * np.maximum(np.sqrt(2 / 3) * X @ WEIGHTS, 0)  # inputs of the head
KFACS = [
    ntkng.KFAC(RHO), ntkng.KFAC(RHO, split="equal"), ntkng.KFAC(RHO, last_layer="paper"), ntkng.KFAC(RHO, sharing="reduce"),
]  # fmt: skip
FISHERS = [
    ntkng.GradientDescent(), ntkng.Exact(RHO), ntkng.BlockDiagonal(RHO), ntkng.BlockTriDiagonal(RHO), *KFACS, ntkng.UnitWise(RHO),
    ntkng.Exact(RHO, solver=ntkng.fisher.ConjugateGradients()), ntkng.EmpiricalFisher(RHO), ntkng.EmpiricalFisher(RHO, of=ntkng.KFAC()),
]  # fmt: skip
FAST = (KFACS[0], FISHERS[-1])  # where scales are divided by each other


def some(fishers):
    """The same as parameters of a test, those without such a division in the slow part."""
    return [pytest.param(f, id=repr(f), marks=() if f in FAST else pytest.mark.slow) for f in fishers]


def parameters(*weights):
    with jax.enable_x64(True):
        structure = jax.tree.structure(NETWORK.init(jax.random.key(0)))
    return jax.tree.unflatten(structure, [np.asarray(part) for part in weights])


def head_step(fisher):
    """The step of a head at 0 by hand, in NumPy: its features are all that there is, `f = 0`, `r = -y`."""
    a, r, gram = FEATURES, -Y, FEATURES @ FEATURES.T
    if fisher.name == "GradientDescent":
        return a.T @ r / N
    if fisher.name == "KFAC":
        factor = a.T @ a / N
        pi = np.sqrt(np.trace(factor) / WIDTH) if fisher.split == "pi" else 1.0  # the other factor is I_C, of mean 1
        step = np.linalg.solve(factor + pi * np.sqrt(RHO) * np.eye(WIDTH), a.T @ r / N) / (1 + np.sqrt(RHO) / pi)
        return N * step if fisher.last_layer == "paper" else step
    if fisher.name == "EmpiricalFisher":
        weighted = gram * (r @ r.T)
        if fisher.of.name == "KFAC":
            factors = a.T @ a / N, r.T @ r / N
            pi = np.sqrt(np.trace(factors[0]) / WIDTH / (np.trace(factors[1]) / C))
            inner, backward = (
                f + s * np.sqrt(RHO) * np.eye(len(f)) for f, s in zip(factors, (pi, 1 / pi), strict=True)
            )
            return np.linalg.solve(inner, a.T @ r / N) @ np.linalg.inv(backward)
        return a.T @ (np.linalg.solve(weighted + N * RHO * np.eye(N), np.ones(N))[:, None] * r)
    # every output is a unit with the block A; a unit-wise damping is relative to mean(delta^2) tr(A) / N, delta = I_C
    shift = RHO / C * np.trace(gram) / N if fisher.name == "UnitWise" else N * RHO
    return a.T @ np.linalg.solve(gram + shift * np.eye(N), r)


@pytest.mark.parametrize("fisher", some(FISHERS))
def test_zero_initialised_head(fisher):
    start = parameters(WEIGHTS, np.zeros((WIDTH, C)))
    run = ntkng.simulate(
        ntkng.Problem(NETWORK, X, Y), fisher, step_size=0.5, steps=1, parameters=start, keep_parameters=True
    )
    first, second = (np.asarray(leaf)[0] for leaf in jax.tree.leaves(run.parameters))
    assert np.array_equal(first, WEIGHTS)
    assert (
        np.abs(second + 0.5 * head_step(fisher)).max() < 1e-7 * np.abs(second).max()
    )  # conjugate gradients' tolerance


@pytest.mark.parametrize("loss", ["mse", pytest.param("softmax", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fisher", some(FISHERS))
def test_nothing_moves(fisher, loss):
    """A dead network (no unit is active), blank inputs; and, under the empirical Fisher too, a batch that is fitted."""
    targets = Y if loss == "mse" else np.eye(C)[[0, 1, 0, 1, 0]]
    dead = parameters(-np.abs(WEIGHTS), np.zeros((WIDTH, C)))
    situations = [(np.abs(X), targets, dead), (np.zeros_like(X), targets, parameters(WEIGHTS, np.ones((WIDTH, C))))]
    if loss == "mse":
        start = parameters(WEIGHTS, np.ones((WIDTH, C)))
        with jax.enable_x64(True):
            situations.append((X, np.asarray(NETWORK.apply(start, X)), start))
    for x, y, start in situations:
        problem = ntkng.Problem(NETWORK, x, y, loss=loss, allow_duplicates=True)
        run = ntkng.simulate(problem, fisher, step_size=0.5, steps=2, parameters=start)
        assert np.abs(np.asarray(run.train)[0] - np.asarray(run.train)[0, :1]).max() < 1e-12


@pytest.mark.parametrize("fisher", some(FISHERS[1:-2]))
def test_kernels_of_blank_inputs(fisher):
    """`K` and `K'` are 0 where every Gram is, and the same as without the blank sample where one of several is blank."""
    if isinstance(fisher, ntkng.KFAC) and fisher.last_layer == "paper":
        return  # its factor of the head depends on N
    net = ntkng.mlp(3, 1, width=4, depth=2)
    units = ntkng.kernels.UnitSampling(points=64, scramblings=2) if fisher.name == "UnitWise" else None
    blank = fisher.kernel(ntkng.analytic(net, np.zeros((2, 3)), X, units=units))
    assert not np.asarray(blank.train).any()
    assert not np.asarray(blank.cross).any()
    if fisher.name != "UnitWise":  # whose units are sampled anew
        whole = fisher.kernel(ntkng.analytic(net, np.concatenate([X, np.zeros((1, 3))]), X))
        assert not np.asarray(whole.train)[-1].any()
        assert np.isfinite(np.asarray(whole.cross)).all()


@pytest.mark.slow
@pytest.mark.parametrize("fisher", [*FAST, ntkng.UnitWise(RHO)], ids=repr)
def test_blank_sample_in_a_batch(fisher):
    """The step on a blank sample alone moves nothing, in networks and in function space, in both precisions."""
    problem = ntkng.Problem(ntkng.mlp(1, 1, width=2, depth=2), [[1.0], [0.0]], [1.0, 1.0])
    runs = [
        ntkng.simulate(problem, fisher, 3, step_size=0.1, batches=[[0], [1]], dtype=d, solve_dtype=d).train[0]
        for d in (jnp.float64, jnp.float32)
    ]
    units = ntkng.kernels.UnitSampling(points=64, scramblings=2) if fisher.name == "UnitWise" else None
    kernels = ntkng.analytic(problem.network, problem.x, units=units)
    runs.append(ntkng.iterate(problem, fisher, kernels, step_size=0.1, batches=[[0], [1]]).train)
    for path in runs:
        assert np.array_equal(path[2], path[1])
        assert np.abs(np.asarray(path[1] - path[0])).max() > 1e-4


def test_fitted_samples_have_no_direction():
    """`K` of the empirical Fisher where one residual is 0: that row and column are 0, and `K r` is what the step does."""
    kernels = ntkng.analytic(ntkng.mlp(3, 1, width=4, depth=2), X)
    residual = Y[:, :1] * (np.arange(N) != 2)[:, None]
    fisher = ntkng.EmpiricalFisher(RHO).at(residual)
    found = np.asarray(fisher.kernel(kernels).train)
    others, e = np.arange(N) != 2, residual[:, 0]
    theta = np.asarray(kernels.theta.train)
    with np.errstate(divide="ignore"):
        whole = theta @ np.linalg.inv(np.diag(e**2) @ theta + N * RHO * np.eye(N))
    assert np.isfinite(found).all()
    assert not found[2].any()
    assert not found[:, 2].any()
    right = whole @ e
    with jax.enable_x64(True):
        change = np.asarray(fisher.change(ntkng.kernels.rows.everywhere(kernels), residual))[:, 0]
    assert np.abs(change - right).max() < 1e-13
    assert np.abs((found @ e - right)[others]).max() < 1e-13


@pytest.mark.slow
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_convolutions(sharing):
    net = ntkng.Network(
        stax.serial(stax.Conv(3, (2, 2)), stax.Relu(), stax.Flatten(), stax.Dense(C, W_std=1.0)), (3, 3, 1)
    )
    images = RNG.normal(size=(2, 3, 3, 1)) * np.array([1, 0])[:, None, None, None]
    problem = ntkng.Problem(net, images, Y[:2])
    for fisher in (
        ntkng.KFAC(RHO, sharing=sharing),
        ntkng.UnitWise(RHO),
        ntkng.EmpiricalFisher(RHO, of=ntkng.KFAC(sharing=sharing)),
    ):
        path = np.asarray(ntkng.simulate(problem, fisher, step_size=0.1, batches=[[0], [1]]).train)[0]
        assert np.array_equal(path[2], path[1])
        assert np.abs(path[1] - path[0]).max() > 1e-4


def test_ratios_of_scales():
    """From the smallest to the largest doubles; 1 where there is no ratio."""
    for one, other in ((1e-320, 1e10), (1e300, 1e-300), (1e-300, 1e300), (3.0, 2.0)):
        assert root_of_ratio(one, other) == pytest.approx(np.sqrt(one) / np.sqrt(other), rel=1e-15)
    with jax.enable_x64(True):
        assert float(root_of_ratio(jnp.array(1e300), jnp.array(1e-300))) == pytest.approx(1e300, rel=1e-14)
        for one, other in ((0.0, 2.0), (2.0, 0.0), (0.0, 0.0)):
            assert root_of_ratio(one, other) == 1
            assert float(jax.jit(root_of_ratio)(one, other)) == 1
