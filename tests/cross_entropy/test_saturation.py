"""Confident and wrong, confident and right: steps stay those of `J^T (p - y)` however far the logits are apart."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from linearised import flat
from oracles import layer_jacobians, mlp_factors
from saturation import curvature_and_gradient, damped_step

import ntkng
from ntkng.fisher import (
    KFAC,
    BlockDiagonal,
    BlockTriDiagonal,
    ConjugateGradients,
    CustomPattern,
    EmpiricalFisher,
    Exact,
    GradientDescent,
    UnitWise,
)  # fmt: skip
from ntkng.kernels.rows import everywhere
from ntkng.whitening import whiten, whiten_kernels

pytestmark = (
    pytest.mark.slow
)  # a program for each approximation; `tests/tried` keeps gradients and steps in the fast run

SAMPLES, INPUTS = 4, 6
SIGMA_W, SIGMA_B = 1.3, 0.4
PATTERN = ((1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0))


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def build(loss, gap, depth=3, soft=0.0, outputs=3):
    """A network whose largest logit gap is `gap`; the first label is right, the others ask for the least probable class."""
    rng = np.random.default_rng(depth)
    outputs = 1 if loss == "logistic" else outputs
    network = ntkng.mlp(INPUTS, outputs, width=10, depth=depth, activation="erf", sigma_w=SIGMA_W, sigma_b=SIGMA_B)
    x, x_test = rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(2, INPUTS))
    parts = list(network.split(network.init(jax.random.key(depth))))
    f = np.asarray(network.apply(network.join(parts), x))
    scale = gap / (np.abs(f) if loss == "logistic" else np.ptp(f, axis=1)).max()
    parts[-1] = jax.tree.map(lambda leaf: scale * leaf, parts[-1])
    if loss == "logistic":
        y = np.where(np.arange(SAMPLES)[:, None] == 0, f > 0, f < 0).astype(float)
    else:
        y = np.eye(outputs)[np.where(np.arange(SAMPLES) == 0, f.argmax(axis=1), f.argmin(axis=1))]
    y = (1 - soft) * y + soft / max(outputs, 2)
    return ntkng.Problem(network, x, y, x_test, loss=loss), network.join(parts)


def dense(problem, parameters):
    factors, f = mlp_factors(problem.network, parameters, problem.x, jax.scipy.special.erf, SIGMA_W, SIGMA_B)
    return layer_jacobians(problem.network, parameters, problem.x), factors, np.asarray(f)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gap", [1e-3, 30.0, 80.0, 800.0, 1e30])
def test_the_factor_gives_the_gradient_to_rounding(dtype, gap):
    """`S r = p - y` and `S S^T = H`, for each class as the target, hard and soft, and for both signs of the logistic loss."""
    f = np.array([[0, 1, 0.25], [1, 0, 0.25], [0.25, 0, 1], [0, 0, 1]], dtype) * dtype(gap)
    for loss, logits in (("softmax", f), ("logistic", (f[:, :2] - f[:, 1:]).reshape(-1, 1))):
        labels = np.eye(3) if loss == "softmax" else np.array([[0.0], [1.0]])
        for label in (*labels, labels.mean(axis=0)):
            y = np.tile(label, (len(logits), 1)).astype(dtype)
            factor, residual = (np.asarray(a) for a in whiten(loss, jnp.asarray(logits), jnp.asarray(y)))
            assert np.isfinite(factor).all()
            assert np.isfinite(residual).all()
            hessian, gradient = curvature_and_gradient(loss, logits, y)
            soft = 0 < y[0, 0] < 1  # p - y of two numbers near each other
            # a probability of a float32 logit is known to gap * eps at best: that many roundings of the exponent
            tolerance = 16 * np.finfo(dtype).eps * (1 + min(gap, -np.log(np.finfo(dtype).tiny)))
            found = np.einsum("ncr,nr->nc", factor.astype(float), residual.astype(float))
            assert (
                np.abs(found - gradient).max()
                <= tolerance * np.abs(gradient).max() + 4 * np.finfo(dtype).eps * y.max() * soft
            )
            wanted = hessian.astype(float)
            assert np.abs(factor.astype(float) @ factor.astype(float).swapaxes(1, 2) - wanted).max() <= tolerance


STEPS = [
    GradientDescent(), Exact(0.02), BlockDiagonal(0.02), BlockTriDiagonal(0.02), CustomPattern(0.02, PATTERN), KFAC(0.02),
    Exact(0.02, solver=ConjugateGradients(1e-11)), BlockDiagonal(0.5, solver=ConjugateGradients(1e-11)),
    UnitWise(), UnitWise(0.02, relative=False), EmpiricalFisher(0.02), EmpiricalFisher(0.02, BlockDiagonal()),
]  # fmt: skip
SETTINGS = [("softmax", 100.0, 0.0), ("softmax", 900.0, 0.1), ("logistic", 40.0, 0.0), ("softmax", 30.0, 0.0)]


def cases():
    found = []
    for index, setting in enumerate(SETTINGS):
        for fisher in STEPS:
            fast = index == 0 and fisher in STEPS
            found.append(
                pytest.param(*setting, fisher, marks=() if fast else pytest.mark.slow, id=f"{setting}-{fisher!r}")
            )
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "gap", "soft", "fisher"), cases())
def test_steps_against_full_matrices(loss, gap, soft, fisher):
    problem, parameters = build(loss, gap, soft=soft)
    jacobians, factors, f = dense(problem, parameters)
    if fisher.name == "CustomPattern":
        step = _pattern_step(loss, fisher, jacobians, f, problem.y)
    else:
        step = damped_step(loss, fisher, jacobians, factors, f, problem.y)
    for dtype, tolerance in ((jnp.float64, 1e-8), (jnp.float32, 2e-4)):
        if dtype == jnp.float32 and (fisher.name == "EmpiricalFisher" or fisher == UnitWise()):
            continue  # ill-conditioned in single precision: refused, by name
        run = ntkng.simulate(
            problem, fisher, step_size=1.0, steps=1, parameters=parameters, dtype=dtype,
            observe=lambda network, parameters, x: {"theta": flat(network, parameters)},
        )  # fmt: skip
        theta = np.asarray(run.observed["theta"], float)[0]
        assert np.abs(theta[0] - theta[1] - step).max() <= tolerance * np.abs(step).max()


def _pattern_step(loss, fisher, jacobians, f, y):
    hessian, gradient = curvature_and_gradient(loss, f, y)
    middle, samples = np.zeros((f.size, f.size)), len(f)
    for n, block in enumerate(hessian.astype(float)):
        own = slice(n * f.shape[1], (n + 1) * f.shape[1])
        middle[own, own] = block
    kept = np.asarray(fisher.blocks)
    full = np.block(
        [[kept[i, j] * a.T @ middle @ b / samples for j, b in enumerate(jacobians)] for i, a in enumerate(jacobians)]
    )
    right = np.concatenate(jacobians, axis=1).T @ gradient.astype(float).ravel() / samples
    return np.linalg.solve(full + float(fisher.damping) * np.eye(len(full)), right)


FAST, SLOW = [("softmax", 100.0)], [("softmax", 2000.0), ("logistic", 300.0)]


@pytest.mark.parametrize(("loss", "gap"), [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)])
def test_functions_against_full_matrices(loss, gap):
    """`K'(x', x) r` on all inputs, for approximations with and without coupled layers."""
    problem, parameters = build(loss, gap)
    jacobians, factors, f = dense(problem, parameters)
    both = np.concatenate(
        [
            np.concatenate(part, axis=1)
            for part in (jacobians, layer_jacobians(problem.network, parameters, problem.x_test))
        ]
    )
    kernels = everywhere(ntkng.empirical(problem.network, parameters, problem.x, problem.x_test))
    factor, residual = whiten(loss, jnp.asarray(f), jnp.asarray(problem.y))
    whitened = whiten_kernels(kernels, factor)
    for fisher in (
        GradientDescent(),
        Exact(0.02),
        BlockDiagonal(0.02),
        BlockTriDiagonal(0.02),
        KFAC(0.02),
        EmpiricalFisher(0.02),
    ):
        expected = both @ damped_step(loss, fisher, jacobians, factors, f, problem.y)
        found = np.asarray(fisher.at(residual).change(whitened, residual)).ravel()
        assert np.abs(found - expected).max() <= 1e-7 * np.abs(expected).max(), fisher


@pytest.mark.slow
def test_mirrored_problems_take_mirrored_steps_in_batches_and_loops():
    """Two steps of `iterate`, a batch each, with the classes (and the start) in the reverse order."""
    rng = np.random.default_rng(0)
    network, x = ntkng.mlp(INPUTS, 3, width=8, depth=2), rng.normal(size=(SAMPLES, INPUTS))
    start, y = 150 * rng.normal(size=(SAMPLES, 3)), np.eye(3)[[0, 1, 2, 0]]
    paths = []
    for order in (slice(None), slice(None, None, -1)):
        problem = ntkng.Problem(network, x, y[:, order], loss="softmax")
        run = ntkng.iterate(
            problem, Exact(0.02), step_size=0.5, batches=[[0, 1], [2, 3]], initial=(start[:, order], None)
        )
        paths.append(np.asarray(run.train)[..., order])
    assert np.isfinite(paths[0]).all()
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-12)
    assert np.abs(np.diff(paths[0], axis=0)).max() > 0.1


def test_damped_flow_from_a_saturated_start():
    """One sample, `f' = -theta (p - y) / (theta p (1 - p) + rho)` for the logistic loss, by quadrature in 30 digits."""
    network = ntkng.mlp(2, 1, depth=1)
    problem = ntkng.Problem(network, [[1.0, 0.5]], [[0.0]], loss="logistic")
    kernels = ntkng.analytic(network, problem.x)
    theta, damping, start = float(kernels.theta.train[0, 0]), 0.3, 60.0
    run = ntkng.cross_entropy_flow(
        problem, Exact(damping), kernels, times=[1.0, 2.0], initial=(np.array([[start]]), None)
    )
    for time, end in zip((1.0, 2.0), np.asarray(run.train)[:, 0, 0], strict=True):
        # dt = -(1 - p + rho / (theta p)) df, p = sigma(f)
        needed = mpmath.quad(
            lambda f: 1 / (1 + mpmath.exp(f)) + damping * (1 + mpmath.exp(-f)) / theta,
            mpmath.linspace(mpmath.mpf(end), start, 9),
        )
        assert abs(float(needed) - time) < 1e-8


def test_undamped_steps_where_the_curvature_vanishes_are_refused():
    problem, parameters = build("softmax", 2000.0, depth=1)
    f = np.asarray(problem.network.apply(parameters, problem.x))
    kernels = ntkng.empirical(problem.network, parameters, problem.x, problem.x_test, factors=True)
    for fisher in (Exact(), BlockDiagonal(), KFAC(), KFAC(singular="pseudo-inverse")):
        with pytest.raises(ValueError, match="curvature of the softmax loss vanishes.*use damping > 0"):
            ntkng.simulate(problem, fisher, step_size=1.0, steps=1, parameters=parameters)
        with pytest.raises(ValueError, match="curvature of the softmax loss vanishes"):
            ntkng.iterate(problem, fisher, kernels, step_size=1.0, initial=(f, f[:2]))
    assert np.isfinite(np.asarray(whiten("softmax", jnp.asarray(f), jnp.asarray(problem.y))[1])).all()
    assert np.isnan(np.asarray(whiten("softmax", jnp.asarray(f), jnp.asarray(problem.y), "everywhere")[1])).any()


@pytest.mark.parametrize(
    "order", [[1, 3, 0, 2], *(pytest.param(o, marks=pytest.mark.slow) for o in ([0, 1, 2, 3], [3, 2, 1, 0]))]
)
def test_undamped_kfac_on_the_range_of_the_curvature(order):
    """One layer: `B^+ (J^T (p - y) / N) A^+`, in whatever order the saturated samples come."""
    problem, parameters = build("softmax", 90.0, depth=1)
    a, f = dense(problem, parameters)[1][0][0][order], np.asarray(problem.network.apply(parameters, problem.x))[order]
    f[order.index(3)] /= 50  # one sample has all of the curvature
    own = ntkng.Problem(problem.network, problem.x[order], problem.y[order], loss="softmax")
    kernels = ntkng.empirical(problem.network, parameters, own.x)
    run = ntkng.iterate(own, KFAC(), kernels, step_size=1.0, steps=1, initial=(f, None))
    expected = _kfac_change(a, f, own.y)
    assert np.abs(-np.diff(np.asarray(run.train), axis=0)[0] - expected).max() <= 1e-9 * np.abs(expected).max()


def test_undamped_kfac_in_single_precision():
    """The factor of the output layer is singular, and rounding of float32 is no curvature."""
    problem, parameters = build("softmax", 3.0, depth=1)
    (a, _), f = dense(problem, parameters)[1][0], np.asarray(problem.network.apply(parameters, problem.x))
    run = ntkng.simulate(problem, KFAC(), step_size=1.0, steps=1, parameters=parameters, dtype=jnp.float32)
    expected = _kfac_change(a, f, problem.y)
    found = -np.diff(np.asarray(run.train, float)[0], axis=0)[0]
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def _kfac_change(a, f, y):
    hessian, gradient = curvature_and_gradient("softmax", f, y)
    inverse = np.linalg.pinv(hessian.sum(axis=0).astype(float), rcond=1e-13, hermitian=True)
    return len(a) * a @ (inverse @ gradient.astype(float).T @ np.linalg.pinv(a).T).T
