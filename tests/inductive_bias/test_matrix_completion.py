import numpy as np
import pytest

from ntkng.inductive_bias import DeepLinear, MatrixCompletion
from ntkng.inductive_bias.matrix_completion import end_to_end_kernel, tangent_projection

T = np.array([0.0, 0.6, 2.0])


def setting(m=5, n=4, seed=0):
    rng = np.random.default_rng(seed)
    observed = rng.random((m, n)) < 0.6
    return MatrixCompletion(rng.normal(size=(m, n)), observed), rng


def start(network, rng, scale=0.7):
    return scale * rng.normal(size=sum(a * b for a, b in zip(network.widths[:-1], network.widths[1:], strict=True)))


def explicit_jacobian(network, theta, m, n):
    """Rows by finite differences, entry-major `(i, j)` of `W`."""
    J = np.zeros((m * n, theta.size))
    for k in range(theta.size):
        e = np.zeros_like(theta)
        e[k] = 1e-6
        J[:, k] = (network.end_to_end(theta + e).T - network.end_to_end(theta - e).T).ravel() / 2e-6
    return J


@pytest.mark.parametrize("fisher", ["all", "observed"])
@pytest.mark.parametrize("hidden", [(5,), (6, 5), (2,)])
def test_velocity_against_the_pseudo_inverse_of_the_jacobian(fisher, hidden):
    mc, rng = setting()
    network = mc.network(*hidden)
    theta = start(network, rng)
    J = explicit_jacobian(network, theta, 5, 4)
    error = np.where(mc.observed, network.end_to_end(theta).T - mc.M, 0).ravel()
    rows = np.ones(20, dtype=bool) if fisher == "all" else mc.observed.ravel()
    expected = -np.linalg.pinv(J[rows], rcond=1e-7) @ error[rows]
    np.testing.assert_allclose(mc.natural_gradient(network, theta, fisher), expected, atol=1e-6)


def test_kernel_against_the_jacobian():
    network = DeepLinear((4, 3, 6, 5))
    theta = start(network, np.random.default_rng(0))
    J = network.end_to_end_jacobian(theta)
    np.testing.assert_allclose(end_to_end_kernel(network, theta), J @ J.T, atol=1e-12)


@pytest.mark.parametrize("hidden", [(5,), (5, 6)])
def test_fisher_over_all_entries_freezes_the_unobserved_ones(hidden):
    mc, rng = setting()
    network = mc.network(*hidden)
    W = mc.natural_gradient_path(network, start(network, rng), T, "all")
    np.testing.assert_allclose(W, mc.isotropic_path(W[0], T), atol=1e-9)
    np.testing.assert_allclose(W[:, ~mc.observed], W[:1, ~mc.observed] * np.ones((3, 1)), atol=1e-10)


def test_fisher_over_observed_entries_drags_the_others_along():
    mc, rng = setting()
    network = mc.network(5)
    theta = start(network, rng)
    W = mc.natural_gradient_path(network, theta, T, "observed")
    np.testing.assert_allclose(W[:, mc.observed], mc.isotropic_path(W[0], T)[:, mc.observed], atol=1e-9)
    assert np.abs(W[-1] - W[0])[~mc.observed].max() > 0.1
    J = network.end_to_end_jacobian(theta)
    kernel, o = J @ J.T, mc.observed.T.ravel()
    velocity = J @ mc.natural_gradient(network, theta, "observed")
    np.testing.assert_allclose(
        velocity[~o], kernel[np.ix_(~o, o)] @ np.linalg.solve(kernel[np.ix_(o, o)], velocity[o]), atol=1e-10
    )


def test_narrow_factors_follow_the_tangent_projected_flow():
    mc, rng = setting()
    network = mc.network(2)
    theta = start(network, rng)
    t = np.array([0.0, 0.3, 0.8])
    W = mc.natural_gradient_path(network, theta, t, "all")
    np.testing.assert_allclose(W, mc.tangent_path(W[0], 2, t), atol=1e-9)
    assert np.abs(W[-1] - W[0])[~mc.observed].max() > 0.05
    assert np.abs(W - mc.isotropic_path(W[0], t)).max() > 0.05


def test_tangent_projection_projects():
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.normal(size=(k, 2)))[0] for k in (5, 4))
    once = tangent_projection(U, V, rng.normal(size=(5, 4)))
    np.testing.assert_allclose(tangent_projection(U, V, once), once, atol=1e-13)
    tangent = U @ rng.normal(size=(2, 4)) + rng.normal(size=(5, 2)) @ V.T
    np.testing.assert_allclose(tangent_projection(U, V, tangent), tangent, atol=1e-13)


def test_gradient_flow_against_its_matrix_equations():
    from scipy.integrate import solve_ivp

    mc, rng = setting()
    A0, B0 = 0.5 * rng.normal(size=(5, 3)), 0.5 * rng.normal(size=(3, 4))

    def velocity(_, p):
        A, B = p[:15].reshape(5, 3), p[15:].reshape(3, 4)
        E = np.where(mc.observed, A @ B - mc.M, 0)
        return -np.concatenate([(E @ B.T).ravel(), (A.T @ E).ravel()])

    p = solve_ivp(velocity, (0, 2), np.concatenate([A0.ravel(), B0.ravel()]), rtol=1e-10, atol=1e-12).y[:, -1]
    W = mc.gradient_path(mc.network(3), np.concatenate([B0.ravel(), A0.ravel()]), T)
    np.testing.assert_allclose(W[-1], p[:15].reshape(5, 3) @ p[15:].reshape(3, 4), atol=1e-6)


def test_bad_input():
    mc, rng = setting()
    with pytest.raises(ValueError, match="mask"):
        MatrixCompletion(mc.M, mc.observed.astype(float))
    with pytest.raises(ValueError, match="observed"):
        MatrixCompletion(mc.M, np.zeros_like(mc.observed))
    with pytest.raises(ValueError, match="fisher"):
        mc.natural_gradient(mc.network(5), start(mc.network(5), rng), "some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rank"):
        mc.tangent_path(rng.normal(size=(5, 4)), 2, T)
