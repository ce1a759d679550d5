import functools

import jax.numpy as jnp
import numpy as np
import pytest

from ntkng.families import Bernoulli, Softmax
from ntkng.perspectives import (
    Canonical,
    ChangeOfParameters,
    Objective,
    damped,
    discrepancy,
    empirical_fisher_metric,
    euler,
    fisher_metric,
    flow_discrepancy,
    gauss_newton_metric,
    hessian_metric,
    identity_metric,
    leading_discrepancy,
    midpoint,
    transforming_damping,
    velocity,
)
from ntkng.statistics import log_log_slope

P, N = 4, 40
ALPHAS = [0.04, 0.02, 0.01]


@functools.cache
def build(affine=False, family=None):
    rng = np.random.default_rng(5)
    inputs, mixing = rng.normal(size=(N, P)), np.eye(P) + 0.2 * rng.normal(size=(P, P))
    second = rng.normal(size=(N, P))

    def model(theta):
        z = inputs @ theta + 0.8 * jnp.tanh(second @ theta)  # mildly nonlinear: the Fisher stays well conditioned
        return jnp.stack([z, -jnp.sin(z)], axis=1) if isinstance(family, Softmax) else z[:, None]

    one_hot, soft = np.eye(2)[rng.integers(0, 2, size=N)], rng.uniform(0.2, 0.8, size=(N, 1))
    targets = one_hot if isinstance(family, Softmax) else soft

    def zeta(gamma):
        linear = mixing @ gamma
        return linear if affine else linear + 0.3 * jnp.sin(linear) + 0.1 * gamma**2

    return ChangeOfParameters(Objective(model, Canonical(family or Bernoulli()), targets), zeta), 0.4 * rng.normal(
        size=P
    )


@pytest.mark.parametrize("family", [Bernoulli(), Softmax()])
def test_which_matrices_are_covariant(family):
    change, gamma = build(family=family)
    j, theta = change.jacobian(gamma), change.theta(gamma)
    for metric in (fisher_metric, gauss_newton_metric, empirical_fisher_metric):
        np.testing.assert_allclose(
            metric(change.reparametrised, gamma), j.T @ metric(change.objective, theta) @ j, atol=1e-13
        )
    extra = np.einsum("i,ipq->pq", change.objective.gradient(theta), change.second_derivative(gamma))
    transported = j.T @ change.objective.hessian(theta) @ j
    np.testing.assert_allclose(change.reparametrised.hessian(gamma), transported + extra, atol=1e-12)
    assert np.abs(extra).max() > 1e-3


@pytest.mark.parametrize(
    ("metric", "scheme", "order"),
    [
        (fisher_metric, euler, 2),
        (empirical_fisher_metric, euler, 2),
        (hessian_metric, euler, 1),
        (identity_metric, euler, 1),
        (damped(0.1), euler, 1),
        (fisher_metric, midpoint, 3),
    ],
)
def test_one_step_order(metric, scheme, order):
    change, gamma = build()
    values = [discrepancy(change, gamma, metric, alpha, scheme=scheme) for alpha in ALPHAS]
    assert log_log_slope(np.array(ALPHAS), np.array(values)).value == pytest.approx(order, abs=0.1)


def test_a_penalty_that_transforms_restores_the_order():
    change, gamma = build()
    values = [
        discrepancy(change, gamma, damped(0.1), a, metric_gamma=transforming_damping(0.1, change.jacobian))
        for a in ALPHAS
    ]
    assert log_log_slope(np.array(ALPHAS), np.array(values)).value == pytest.approx(2, abs=0.1)


def test_leading_term():
    change, gamma = build()
    v = velocity(change.reparametrised, fisher_metric, gamma)
    for alpha in (0.01, 0.0025):
        step = change.theta(gamma + alpha * v) - (change.theta(gamma) + alpha * change.jacobian(gamma) @ v)
        predicted = leading_discrepancy(change, gamma, fisher_metric, alpha)
        assert np.linalg.norm(step - predicted) < 10 * alpha * np.linalg.norm(predicted)
        measured = discrepancy(change, gamma, fisher_metric, alpha)
        assert measured == pytest.approx(np.linalg.norm(predicted), rel=10 * alpha)
        assert measured != pytest.approx(2 * np.linalg.norm(predicted), rel=0.1)


def test_fixed_horizon_and_flow():
    change, gamma = build()
    steps = [discrepancy(change, gamma, fisher_metric, a, steps=round(0.4 / a)) for a in ALPHAS]
    assert log_log_slope(np.array(ALPHAS), np.array(steps)).value == pytest.approx(1, abs=0.1)
    assert flow_discrepancy(change, gamma, fisher_metric, 0.4) < 1e-11
    assert flow_discrepancy(change, gamma, identity_metric, 0.4) > 1e-3


def test_affine_change_makes_no_difference():
    change, gamma = build(affine=True)
    assert discrepancy(change, gamma, fisher_metric, 0.9, steps=3) < 1e-12
    assert discrepancy(change, gamma, hessian_metric, 0.5) < 1e-12
    assert discrepancy(change, gamma, identity_metric, 0.9) > 1e-3
    assert discrepancy(change, gamma, damped(0.1), 0.9) > 1e-3


def test_bad_input_is_refused():
    change, gamma = build()
    with pytest.raises(ValueError, match="singular"):
        velocity(change.objective, lambda o, t: np.zeros((P, P)), gamma)
