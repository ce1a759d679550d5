"""The paths against flows of explicit parameters: dense Fisher, pseudo-inverse, ODE solver."""

import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp

from ntkng.flow_kernel_operators import dense_variance
from ntkng.function_space_flow import (
    Bernoulli,
    Damped,
    EmpiricalFisher,
    FunctionSpaceFlow,
    Gaussian,
    IdentityMetric,
    Isotropic,
    Poisson,
    Projector,
    Softmax,
    check_isotropy,
    transfer_operator,
)

T = np.array([0.0, 0.4, 1.5, 3.0])
FAMILIES = [Gaussian(), Bernoulli(), Softmax(), Poisson()]


def problem(family, N=4, C=2, P=12, M=3, seed=0, hard=False):
    """A model linear in its parameters: logits `f0 + J theta`."""
    rng = np.random.default_rng(seed)
    J, J_star = rng.normal(size=(N * C, P)), rng.normal(size=(M * C, P))
    f0 = rng.normal(size=(N, C)) * 0.5
    y = np.eye(C)[rng.integers(0, C, N)] if hard else family.mean(rng.normal(size=(N, C)))
    return J, J_star, f0, y


def parameter_flow(family, fisher, J, f0, y, t=T):
    """Oracle: `theta' = -G^+ J^T (mu - y) / N` with the dense `G = fisher(f, Lambda)`."""
    N = len(f0)

    def velocity(_, theta):
        f = f0 + (J @ theta).reshape(f0.shape)
        G = fisher(f, scipy.linalg.block_diag(*family.variance(f)))
        return -np.linalg.lstsq(G, J.T @ (family.mean(f) - y).ravel() / N, rcond=1e-11)[0]

    return solve_ivp(velocity, (0, t[-1]), np.zeros(J.shape[1]), "DOP853", t, rtol=1e-11, atol=1e-12).y.T


@pytest.mark.parametrize("family", FAMILIES)
def test_exact_fisher_is_isotropic(family):
    J, J_star, f0, y = problem(family)
    theta = parameter_flow(family, lambda f, variance: J.T @ variance @ J / len(f0), J, f0, y)
    flow = FunctionSpaceFlow(family, Isotropic(1.0), f0, y)
    np.testing.assert_allclose(family.mean(f0 + (theta @ J.T).reshape(-1, *f0.shape)), flow.mean_path(T), atol=1e-9)
    if not isinstance(family, Softmax):  # there the all-ones part of the held-out logits needs the centred kernel
        K = transfer_operator([J_star @ J.T], [J @ J.T])
        star = flow.transfer(T, K, np.zeros((3, 2)))
        np.testing.assert_allclose((theta @ J_star.T).reshape(star.shape), star, atol=1e-8)


@pytest.mark.parametrize("family", [Gaussian(), Bernoulli(), Poisson()])
def test_block_diagonal_fisher_is_isotropic_with_the_number_of_blocks(family):
    blocks = [problem(family, seed=s) for s in range(3)]
    _, _, f0, y = blocks[0]
    J, J_star = (np.concatenate([b[i] for b in blocks], axis=1) for i in (0, 1))

    def fisher(f, variance):
        return scipy.linalg.block_diag(*[b[0].T @ variance @ b[0] / len(f0) for b in blocks])

    theta = parameter_flow(family, fisher, J, f0, y)
    f = f0 + (theta @ J.T).reshape(-1, *f0.shape)
    flow = FunctionSpaceFlow(family, Isotropic(3.0), f0, y)
    np.testing.assert_allclose(f, flow.logit_path(T), atol=1e-8)
    assert np.abs(f - FunctionSpaceFlow(family, Isotropic(2.85), f0, y).logit_path(T)).max() > 1e-3
    K = transfer_operator([b[1] @ b[0].T for b in blocks], [b[0] @ b[0].T for b in blocks])
    np.testing.assert_allclose((theta @ J_star.T).reshape(-1, 3, 2), flow.transfer(T, K, np.zeros((3, 2))), atol=1e-8)
    whole = transfer_operator([J_star @ J.T], [J @ J.T])
    assert np.abs(flow.transfer(T, whole, np.zeros((3, 2))) - flow.transfer(T, K, np.zeros((3, 2)))).max() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_damped_fisher(family):
    J, _, f0, y = problem(family)
    rho = 0.3
    theta = parameter_flow(family, lambda f, v: J.T @ v @ J / len(f0) + rho * np.eye(J.shape[1]), J, f0, y)
    expected = f0 + (theta @ J.T).reshape(-1, *f0.shape)
    flow = FunctionSpaceFlow(family, Damped(rho, J @ J.T), f0, y)
    assert flow.solved_by == ("closed form" if isinstance(family, Gaussian) else "ODE")
    np.testing.assert_allclose(expected, flow.logit_path(T), atol=1e-9)
    without_n = FunctionSpaceFlow(family, Damped(rho / len(f0), J @ J.T), f0, y)
    assert np.abs(expected - without_n.logit_path(T)).max() > 1e-2


@pytest.mark.parametrize("family", [Gaussian(), Bernoulli()])
def test_damped_block_diagonal_fisher(family):
    blocks = [problem(family, seed=s)[0] for s in range(2)]
    _, _, f0, y = problem(family)
    J, rho = np.concatenate(blocks, axis=1), 0.3

    def fisher(f, variance):
        return scipy.linalg.block_diag(*[b.T @ variance @ b / len(f0) + rho * np.eye(b.shape[1]) for b in blocks])

    theta = parameter_flow(family, fisher, J, f0, y)
    flow = FunctionSpaceFlow(family, Damped(rho, np.stack([b @ b.T for b in blocks])), f0, y)
    np.testing.assert_allclose(f0 + (theta @ J.T).reshape(-1, *f0.shape), flow.logit_path(T), atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_rank_deficient_jacobian_is_a_projector(family):
    J, _, f0, y = problem(family, P=5)
    theta = parameter_flow(family, lambda f, variance: J.T @ variance @ J / len(f0), J, f0, y)
    flow = FunctionSpaceFlow(family, Projector.onto(J), f0, y)
    f = f0 + (theta @ J.T).reshape(-1, *f0.shape)
    np.testing.assert_allclose(family.mean(f), flow.mean_path(T), atol=1e-8)  # softmax logits: up to row constants
    gradient = flow.residual_path(T).reshape(len(T), -1) @ J
    np.testing.assert_allclose(gradient, np.exp(-T)[:, None] * gradient[0], atol=1e-9)
    assert np.abs(f - FunctionSpaceFlow(family, Isotropic(), f0, y).logit_path(T)).max() > 1e-2


@pytest.mark.parametrize("C", [1, 2])
def test_empirical_fisher_is_anti_isotropic(C):
    J, _, f0, y = problem(Gaussian(), C=C)
    y = f0 + np.sign(y - f0) * (1 + np.abs(y - f0))
    t = np.array([0.0, 0.2, 0.45])

    def fisher(f, _):
        g = np.einsum("ncp,nc->np", J.reshape(*f0.shape, -1), f - y)
        return g.T @ g / len(f0)

    theta = parameter_flow(Gaussian(), fisher, J, f0, y, t)
    flow = FunctionSpaceFlow(Gaussian(), EmpiricalFisher(J @ J.T), f0, y)
    assert flow.solved_by == ("closed form" if C == 1 else "ODE")
    f = flow.logit_path(t)
    np.testing.assert_allclose(f0 + (theta @ J.T).reshape(-1, *f0.shape), f, atol=1e-9)
    square = np.sum((f - y) ** 2, -1)
    np.testing.assert_allclose(square, square[0] - 2 * t[:, None], atol=1e-9)
    with pytest.raises(ValueError, match="singular at t"):
        flow.logit_path(100.0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("operator", [Isotropic(1.7), IdentityMetric(0.8)])
def test_closed_forms_against_the_ode_solver(family, hard, operator):
    _, _, f0, y = problem(family, hard=hard)
    flow = FunctionSpaceFlow(family, operator, f0, y)
    np.testing.assert_allclose(flow.logit_path(T), flow.ode_path(T), atol=2e-10)


def test_which_paths_are_closed():
    _, _, f0, y = problem(Bernoulli())
    assert FunctionSpaceFlow(Bernoulli(), IdentityMetric(), f0, y).solved_by == "ODE"
    assert FunctionSpaceFlow(Bernoulli(), IdentityMetric(), f0, np.round(y)).solved_by == "closed form"
    three = np.eye(3)[[0, 1, 2, 0]]
    assert FunctionSpaceFlow(Softmax(), IdentityMetric(), three, three).solved_by == "ODE"


def test_empirical_fisher_of_logistic_labels_blows_up_where_it_says():
    f0, y = np.array([[0.3], [-0.8]]), np.array([[1.0], [0.0]])
    flow = FunctionSpaceFlow(Bernoulli(), EmpiricalFisher(), f0, y)
    end = flow.operator.end(Bernoulli(), f0, y)
    t = np.array([0.5, 0.99]) * end
    expected = -np.log((np.exp(-np.array([0.3, 0.8])) + 1) * np.exp(-t[:, None]) - 1)  # margins: s + 1 shrinks as e^-t
    np.testing.assert_allclose(flow.logit_path(t)[:, :, 0] * [1, -1], expected, rtol=1e-9)


def test_identity_metric_has_a_power_law_tail():
    _, _, f0, y = problem(Bernoulli(), hard=True)
    flow = FunctionSpaceFlow(Bernoulli(), IdentityMetric(2.0), f0[:, :1], y[:, :1])
    t = np.array([1e6, 2e6])
    np.testing.assert_allclose(flow.loss_path(t) * 2.0 * t, 1.0, atol=1e-4)


def test_times_in_any_order_scalars_and_zero():
    _, _, f0, y = problem(Softmax())
    flow = FunctionSpaceFlow(Softmax(), Projector(np.eye(8)), f0, y)
    path = flow.logit_path(np.array([2.0, 0.0, 1.0, 1.0]))
    np.testing.assert_allclose(path[1], f0)
    np.testing.assert_allclose(path[0], flow.logit_path(2.0), atol=1e-10)
    np.testing.assert_allclose(path[2], path[3])
    np.testing.assert_allclose(flow.logit_path(0.0), f0)
    assert flow.loss_path(np.array([0.0, 1.0])).shape == (2,)


def test_check_isotropy_sees_alpha_rank_and_metric():
    rng = np.random.default_rng(0)
    J = rng.normal(size=(6, 9))
    inverse = np.linalg.pinv(J)
    good = check_isotropy(lambda e: 3 * inverse @ e, J, 3.0)
    assert good.deviation < 1e-12
    assert good.rank == 6
    assert check_isotropy(lambda e: 3 * inverse @ e, J).alpha == pytest.approx(3.0)
    assert check_isotropy(lambda e: 3 * inverse @ e, J, 3 * 1.05).deviation > 0.04
    narrow = J[:, :4]
    assert check_isotropy(lambda e: np.linalg.pinv(narrow) @ e, narrow, 1.0).rank == 4
    f, _ = problem(Softmax(), N=3)[2:]
    variance = dense_variance(Softmax(), f)
    fisher = J.T @ variance @ J / 3
    update = lambda r: np.linalg.lstsq(fisher, J.T @ r / 3, rcond=1e-11)[0]  # noqa: E731
    assert check_isotropy(update, J, 1.0, variance=variance).deviation < 1e-10
    assert check_isotropy(update, J, 1.0).deviation > 0.1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda f, y: FunctionSpaceFlow(Bernoulli(), Isotropic(), f[:1], y), "one shape"),
        (lambda f, y: FunctionSpaceFlow(Bernoulli(), Isotropic(), f, y).logit_path(-1.0), ">= 0"),
        (lambda f, y: FunctionSpaceFlow(Bernoulli(), EmpiricalFisher(), f, y), "theta"),
        (lambda f, y: FunctionSpaceFlow(Bernoulli(), Damped(1.0, np.eye(3)), f, y), "8 x 8"),
        (lambda f, y: FunctionSpaceFlow(Bernoulli(), Isotropic(), f, y).transfer(1.0, np.eye(3), f), "K_star"),
        (lambda f, y: Isotropic(-1.0), "alpha"),
        (lambda f, y: Damped(0.0, np.eye(8)), "rho"),
        (lambda f, y: Damped(1.0, np.arange(4.0).reshape(2, 2)), "symmetric"),
        (lambda f, y: Projector(2 * np.eye(8)), "idempotent"),
        (lambda f, y: transfer_operator([np.eye(2)], [np.zeros((2, 2))]), "invertible"),
    ],
)
def test_bad_input(build, message):
    _, _, f0, y = problem(Bernoulli())
    with pytest.raises(ValueError, match=message):
        build(f0, y)


def test_oblique_projector_only_for_the_gaussian_family():
    P = np.zeros((8, 8))
    P[0, :2] = 1.0
    _, _, f0, y = problem(Bernoulli())
    with pytest.raises(ValueError, match="oblique"):
        FunctionSpaceFlow(Bernoulli(), Projector(P), f0, y)
    flow = FunctionSpaceFlow(Gaussian(), Projector(P, 2.0), f0, y)
    np.testing.assert_allclose(flow.logit_path(T), flow.ode_path(T), atol=1e-10)
