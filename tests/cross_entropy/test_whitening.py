"""Other output coordinates: the factor, and every Fisher approximation in them against full matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from linearised import dense_curvature, flat
from oracles import layer_jacobians, mlp_factors

import ntkng
from ntkng.families import Bernoulli, Softmax
from ntkng.kernels.rows import everywhere
from ntkng.whitening import complement, mean, whiten, whiten_kernels

FAMILIES = {"logistic": Bernoulli(), "softmax": Softmax()}
SAMPLES, TESTS, INPUTS, WIDTH = 4, 3, 6, 24
SIGMA_W, SIGMA_B = 1.3, 0.4
TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def logits_and_targets(loss, scale=2.0):
    rng = np.random.default_rng(3)
    outputs = 1 if loss == "logistic" else 4
    f = scale * rng.normal(size=(SAMPLES, outputs))
    if loss == "logistic":
        return f, rng.integers(0, 2, size=(SAMPLES, 1)).astype(float)
    return f, np.eye(outputs)[rng.integers(0, outputs, SAMPLES)]


@pytest.mark.parametrize("loss", FAMILIES)
@pytest.mark.parametrize("scale", [0.1, 2.0, 12.0])
def test_factor_of_the_loss_hessian(loss, scale):
    f, y = logits_and_targets(loss, scale)
    factor, residual = (np.asarray(a) for a in whiten(loss, jnp.asarray(f), jnp.asarray(y)))
    family = FAMILIES[loss]
    assert factor.shape == (SAMPLES, f.shape[1], max(f.shape[1] - 1, 1))
    np.testing.assert_allclose(factor @ factor.transpose(0, 2, 1), family.variance(f), rtol=0, atol=1e-15)
    np.testing.assert_allclose(
        np.einsum("ncr,nr->nc", factor, residual),
        family.residual(f, y),
        rtol=1e-10,
        atol=1e-15 * np.abs(residual).max(),
    )
    np.testing.assert_allclose(mean(loss, jnp.asarray(f)), family.mean(f), rtol=1e-13)


def test_soft_targets_and_vanishing_probabilities():
    f = np.array([[0.0, -900.0, 3.0], [0.2, 0.1, -0.3]])
    y = np.array([[0.3, 0.0, 0.7], [0.2, 0.5, 0.3]])
    factor, residual = whiten("softmax", jnp.asarray(f), jnp.asarray(y))
    assert np.isfinite(np.asarray(residual)).all()
    np.testing.assert_allclose(
        np.einsum("ncr,nr->nc", factor, residual), Softmax().residual(f, y), rtol=1e-12, atol=1e-15
    )


def test_complement_is_orthonormal():
    unit = np.abs(np.random.default_rng(0).normal(size=(5, 7)))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    basis = np.asarray(complement(jnp.asarray(unit)))
    np.testing.assert_allclose(np.einsum("ncr,ncs->nrs", basis, basis), np.tile(np.eye(6), (5, 1, 1)), atol=1e-15)
    np.testing.assert_allclose(np.einsum("ncr,nc->nr", basis, unit), 0, atol=1e-15)


def test_unknown_loss_is_refused():
    f = jnp.zeros((2, 1))
    with pytest.raises(ValueError, match="hinge"):
        whiten("hinge", f, f)
    with pytest.raises(ValueError, match="expected"):
        mean("hinge", f)


# -- dense oracles ---------------------------------------------------------------------------------------------------


def build(loss, depth):
    rng = np.random.default_rng(depth)
    outputs = 1 if loss == "logistic" else 3
    network = ntkng.mlp(INPUTS, outputs, width=WIDTH, depth=depth, activation="erf", sigma_w=SIGMA_W, sigma_b=SIGMA_B)
    x, x_test = rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(TESTS, INPUTS))
    if loss == "logistic":
        y = rng.integers(0, 2, size=(SAMPLES, 1)).astype(float)
    else:
        y = np.eye(outputs)[rng.integers(0, outputs, SAMPLES)]
    problem = ntkng.Problem(network, x, y, x_test, loss=loss)
    return problem, network.init(jax.random.key(depth))


CASES = [
    *(
        ("softmax", kind(damping))
        for kind in (ntkng.Exact, ntkng.BlockTriDiagonal, ntkng.KFAC)
        for damping in (0.0, 0.02)
    ),
    ("softmax", ntkng.BlockDiagonal()),
    ("softmax", ntkng.KFAC(last_layer="paper")),
    ("softmax", ntkng.GradientDescent()),
    ("logistic", ntkng.BlockDiagonal(0.02)),
    ("logistic", ntkng.KFAC()),
]


@pytest.mark.parametrize(("loss", "fisher"), CASES, ids=str)
def test_change_and_step_against_full_matrices(loss, fisher):
    problem, parameters = build(loss, 3)
    network, x, y = problem.network, problem.x, problem.y
    factors, f = mlp_factors(network, parameters, x, jax.scipy.special.erf, SIGMA_W, SIGMA_B)
    jacobians = layer_jacobians(network, parameters, x)
    jacobian = np.concatenate(jacobians, axis=1)
    hessian = scipy.linalg.block_diag(*FAMILIES[loss].variance(f))
    curvature = dense_curvature(fisher, jacobians, factors, hessian, SAMPLES)
    gradient = jacobian.T @ FAMILIES[loss].residual(f, y).ravel() / SAMPLES
    if fisher.is_damped or fisher.name == "GradientDescent":
        step = np.linalg.solve(curvature, gradient)
    else:
        step = np.linalg.pinv(curvature, rcond=1e-12, hermitian=True) @ gradient
    kernels = everywhere(ntkng.empirical(network, parameters, x, problem.x_test))
    factor, residual = whiten(loss, jnp.asarray(f), jnp.asarray(y))
    change = np.asarray(fisher.change(whiten_kernels(kernels, factor), residual)).ravel()
    both = np.concatenate([jacobian, np.concatenate(layer_jacobians(network, parameters, problem.x_test), axis=1)])
    expected = both @ step
    assert np.abs(change - expected).max() < TOLERANCE * np.abs(expected).max()
    run = ntkng.simulate(
        problem, fisher, step_size=0.25, steps=1, parameters=parameters,
        observe=lambda network, parameters, x: {"theta": flat(network, parameters)},
    )  # fmt: skip
    theta = np.asarray(run.observed["theta"])[0]
    assert np.abs((theta[0] - theta[1]) / 0.25 - step).max() < TOLERANCE * np.abs(step).max()


def test_missing_pieces_are_seen():
    """Power: the squared loss's kernel in place of the whitened one, `rho` for `N rho` and a dropped layer all show."""
    problem, parameters = build("softmax", 3)
    f = np.asarray(problem.network.apply(parameters, problem.x))
    kernels = everywhere(ntkng.empirical(problem.network, parameters, problem.x, problem.x_test))
    factor, residual = whiten("softmax", jnp.asarray(f), jnp.asarray(problem.y))
    fisher, whitened = ntkng.BlockDiagonal(0.02), whiten_kernels(kernels, factor)
    right = np.asarray(fisher.change(whitened, residual)).ravel()

    def off(value):
        return np.linalg.norm(np.asarray(value).ravel() - right) / np.linalg.norm(right)

    assert off(fisher.change(kernels, Softmax().residual(f, problem.y))) > 0.1
    assert off(ntkng.BlockDiagonal(0.02 / SAMPLES).change(whitened, residual)) > 1e-2
    dropped = ntkng.Kernels(whitened.layers[1:], None, None, SAMPLES, 2, "empirical")
    assert off(fisher.change(dropped, residual)) > 0.1
