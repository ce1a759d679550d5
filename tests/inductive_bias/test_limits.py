"""Limit directions: linear programme and asymptote, maximum margins, gradient descent."""

import numpy as np
import pytest
from sklearn.svm import SVC

from ntkng.inductive_bias import (
    DeepLinear,
    DiagonalLinear,
    LogisticProblem,
    TiedProgrammeError,
    angle,
    asymptote,
    l1_max_margin,
    l2_max_margin,
    legendre_flow,
    limit_direction,
    normalised_gradient_flow,
    stationarity_angle,
)
from ntkng.inductive_bias.limit_direction import weighted_margin_programme


def problem(seed=14, N=15, d=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, d))
    p = LogisticProblem(X, np.sign(X @ rng.normal(size=d)))
    return p, 0.5 * rng.normal(size=d)


@pytest.mark.parametrize("seed", [4, 14, 40])
def test_asymptote_of_the_flow(seed):
    p, w0 = problem(seed)
    a = asymptote(p, w0)
    t = np.array([40.0, 60.0])
    w = legendre_flow(p, w0, t)
    error = np.linalg.norm(w - a.path(t), axis=1)
    assert error[1] < 1e-6
    assert np.linalg.norm(w[0] - a.path(t)[0] - a.correction(t)[0]) < 2e-3 * error[0]
    decay = np.exp(t[1]) * p.residuals(w[1]) / len(p.y)
    np.testing.assert_allclose(decay, a.multipliers, atol=1e-5)
    np.testing.assert_allclose(p.signed.T @ a.multipliers, -p.gradient(w0), atol=1e-13)
    assert a.active.sum() == 5
    assert a.gap > 0


def test_limit_direction_beats_random_feasible_vectors():
    p, w0 = problem()
    u, cost = limit_direction(p, w0), -p.gradient(w0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        v = u + 0.5 * rng.normal(size=5)
        m = p.margins(v).min()
        if m > 0:
            assert cost @ v / m >= cost @ u - 1e-12


def test_limit_depends_on_the_start_and_is_no_maximum_margin():
    p, w0 = problem()
    u = limit_direction(p, w0)
    assert angle(u, limit_direction(p, -4 * w0)) > 5
    assert angle(u, l2_max_margin(p)) > 5
    assert angle(u, l1_max_margin(p)) > 5


def test_wrong_sign_is_unbounded():
    p, w0 = problem()
    with pytest.raises(ValueError, match="unbounded"):
        weighted_margin_programme(p.signed, p.gradient(w0))


def test_not_separable_is_infeasible():
    rng = np.random.default_rng(0)
    p = LogisticProblem(rng.normal(size=(40, 3)), rng.choice([-1.0, 1.0], size=40))
    for function in (lambda: limit_direction(p, np.zeros(3)), lambda: l2_max_margin(p), lambda: l1_max_margin(p)):
        with pytest.raises(ValueError, match="separable"):
            function()
    with pytest.raises(ValueError, match="separable"):
        normalised_gradient_flow(p, DeepLinear((3, 1)), np.ones(3))


def test_tied_programmes_are_refused():
    corner = LogisticProblem(np.array([[1.0, 1.0], [1.0, -1.0]]), np.ones(2))
    # one input twice over: the cost is parallel to a constraint, an edge of the polygon is optimal
    edge = LogisticProblem(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0]]), np.ones(3))
    assert limit_direction(corner, np.zeros(2)) == pytest.approx([1.0, 0.0])
    with pytest.raises(TiedProgrammeError):
        asymptote(edge, np.zeros(2))
    flat = LogisticProblem(np.array([[1.0, 0.0], [2.0, 1.0], [2.0, -1.0]]), np.ones(3))
    with pytest.raises(TiedProgrammeError, match="tied"):
        limit_direction(flat, np.zeros(2))
    with pytest.raises(ValueError, match="rank d"):
        limit_direction(LogisticProblem(np.ones((1, 2)), np.ones(1)), np.zeros(2))


@pytest.mark.parametrize("seed", range(5))
def test_maximum_margins_against_other_solvers(seed):
    p, _ = problem(seed)
    machine = SVC(kernel="linear", C=1e10, tol=1e-10)
    # no intercept in our problem: mirrored data make it zero
    machine.fit(np.vstack([p.signed, -p.signed]), np.repeat([1, -1], len(p.y)))
    w = l2_max_margin(p)
    np.testing.assert_allclose(w, machine.coef_[0], rtol=1e-5, atol=1e-5)
    assert p.margins(w).min() == pytest.approx(1, abs=1e-10)
    v = l1_max_margin(p)
    assert p.margins(v).min() == pytest.approx(1, abs=1e-8)
    assert np.abs(v).sum() <= np.abs(w).sum()
    assert np.linalg.norm(w) <= np.linalg.norm(v)
    # dual of the l1 problem: max 1.a subject to |Z^T a|_inf <= 1, a >= 0
    from scipy.optimize import linprog

    Z = p.signed
    dual = linprog(-np.ones(len(Z)), A_ub=np.vstack([Z.T, -Z.T]), b_ub=np.ones(2 * Z.shape[1]))
    assert np.abs(v).sum() == pytest.approx(-dual.fun, rel=1e-9)


def test_gradient_descent_limits():
    p, _ = problem()
    rng = np.random.default_rng(0)
    l2, l1 = l2_max_margin(p), l1_max_margin(p)
    limits = {
        DeepLinear((5, 1)): (l2, 0.05, 1e4),
        DeepLinear((5, 8, 1)): (l2, 0.1, 1e5),
        DiagonalLinear(2, 5): (l1, 0.1, 1e4),
    }
    for model, (limit, bound, margin) in limits.items():
        start = 0.1 * rng.normal(size=5 * model.depth if isinstance(model, DiagonalLinear) else _size(model))
        path = normalised_gradient_flow(p, model, start, margin=margin)
        assert angle(path.beta[-1], limit) < bound, model
        assert path.margin[-1] == pytest.approx(margin, rel=1e-6)
        assert (np.diff(path.log_loss) < 0).all()


def test_depth_three_diagonal_network_is_stationary_for_the_quasi_norm():
    p, w0 = problem()
    model = DiagonalLinear(3, 5)
    path = normalised_gradient_flow(p, model, model.matching(0.01 * w0, np.random.default_rng(0)))
    theta, beta = path.theta[-1], path.beta[-1]
    J = p.signed @ model.end_to_end_jacobian(theta)
    assert stationarity_angle(theta, J, p.margins(beta)) < 0.2
    assert stationarity_angle(path.theta[5], J, p.margins(beta)) > 5


def test_normalised_flow_follows_the_path_of_gradient_flow():
    from ntkng.families import Bernoulli
    from ntkng.inductive_bias import GradientFlow

    p, _ = problem()
    model = DeepLinear((5, 3, 1))
    start = 0.3 * np.random.default_rng(0).normal(size=18)
    real = GradientFlow(model, Bernoulli(), p.X, p.targets).path(start, np.array([30.0]))[0]
    path = normalised_gradient_flow(p, model, start, margin=5.0, rtol=1e-10)
    loss = p.loss(model.end_to_end(real)[:, 0])
    beta = [np.interp(-np.log(loss), -path.log_loss, column) for column in path.beta.T]
    assert angle(np.array(beta), model.end_to_end(real)[:, 0]) < 0.05


def test_a_start_at_the_saddle_is_an_error():
    p, _ = problem()
    with pytest.raises(RuntimeError, match="margin"):
        normalised_gradient_flow(p, DeepLinear((5, 1)), np.zeros(5), longest=0.5)


def test_angle_is_accurate_near_zero():
    assert angle(np.array([1.0, 1e-9]), np.array([1.0, 0.0])) == pytest.approx(np.degrees(1e-9), rel=1e-6)
    assert angle(np.array([1.0, 0.0]), np.array([-1.0, 0.0])) == pytest.approx(180)


def _size(model):
    return sum(a * b for a, b in zip(model.widths[:-1], model.widths[1:], strict=True))
