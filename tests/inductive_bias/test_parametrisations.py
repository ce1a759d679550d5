"""Depth: Jacobians, invariance of natural gradient flow and where it fails."""

import numpy as np
import pytest

from ntkng.families import Bernoulli, Poisson, Softmax
from ntkng.inductive_bias import (
    DeepLinear,
    DiagonalLinear,
    GradientFlow,
    LogisticProblem,
    NaturalGradientFlow,
    interpolating_weights,
    legendre_flow,
)
from ntkng.inductive_bias.parameter_flow import whitened_rows

T = np.array([0.0, 0.5, 2.0])
MODELS = [
    DeepLinear((4, 1)),
    DeepLinear((4, 3, 1)),
    DeepLinear((4, 5, 6, 1)),
    DeepLinear((4, 5, 3)),
    DiagonalLinear(1, 4),
    DiagonalLinear(3, 4),
    DiagonalLinear(2, 4, tied=True),
]


def size(model):
    if isinstance(model, DeepLinear):
        return sum(a * b for a, b in zip(model.widths[:-1], model.widths[1:], strict=True))
    return model.dimension * (1 if model.tied else model.depth)


@pytest.mark.parametrize("model", MODELS)
def test_jacobian_and_pull_back(model):
    rng = np.random.default_rng(0)
    theta, X = rng.normal(size=size(model)), rng.normal(size=(3, 4))
    J = model.end_to_end_jacobian(theta)
    numeric = np.zeros_like(J)
    for k in range(theta.size):
        e = np.zeros_like(theta)
        e[k] = 1e-5
        numeric[:, k] = (model.end_to_end(theta + e) - model.end_to_end(theta - e)).ravel() / 2e-5
    np.testing.assert_allclose(J, numeric, atol=1e-8)
    v = rng.normal(size=model.shape)
    np.testing.assert_allclose(model.pull_back(theta, v), J.T @ v.ravel(), atol=1e-12)
    direct = np.kron(X, np.eye(model.shape[1])) @ J
    np.testing.assert_allclose(model.jacobian(theta, X), direct, atol=1e-12)
    np.testing.assert_allclose(model.outputs(theta, X), X @ model.end_to_end(theta), atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_starts_with_a_given_end_to_end_vector(model):
    rng = np.random.default_rng(0)
    beta = np.abs(rng.normal(size=model.shape))
    if isinstance(model, DeepLinear) and model.widths == (4, 3, 1):
        with pytest.raises(ValueError, match="cannot represent"):
            model.matching(beta, rng)
    else:
        np.testing.assert_allclose(model.end_to_end(model.matching(beta, rng)), beta, atol=1e-12)
    np.testing.assert_allclose(model.end_to_end(model.balanced(beta)), beta, atol=1e-12)
    if isinstance(model, DeepLinear):
        np.testing.assert_allclose(model.imbalance(model.balanced(beta)), 0, atol=1e-12)


def test_when_the_jacobian_has_full_row_rank():
    deep = DeepLinear((3, 4, 1))
    W1, W2 = np.zeros((4, 3)), np.ones((1, 4))
    assert deep.full_rank(np.concatenate([W1.ravel(), W2.ravel()]))  # W_L ... W_2 != 0 is enough
    assert not deep.full_rank(np.concatenate([np.ones(12), np.zeros(4)]))
    diagonal = DiagonalLinear(3, 2)
    assert diagonal.full_rank(np.array([[0.0, 1], [1, 0], [1, 1]]).ravel())
    assert not diagonal.full_rank(np.array([[0.0, 1], [0, 1], [1, 1]]).ravel())


def test_bad_parametrisations():
    for build in (
        lambda: DeepLinear((3,)),
        lambda: DeepLinear((3, 0, 1)),
        lambda: DiagonalLinear(0, 3),
        lambda: DeepLinear((3, 1)).layers(np.ones(4)),
        lambda: DiagonalLinear(2, 3).factors(np.ones(4)),
        lambda: DiagonalLinear(2, 2, tied=True).balanced(np.array([-1.0, 1.0])),
        lambda: DeepLinear((4, 1, 3)).balanced(np.arange(12.0).reshape(4, 3)),
    ):
        with pytest.raises(ValueError):
            build()


def problem(N, d, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, d))
    return LogisticProblem(X, np.sign(X @ rng.normal(size=d))), 0.5 * rng.normal(size=d)


@pytest.mark.parametrize(
    "model", [DeepLinear((4, 1)), DeepLinear((4, 5, 1)), DeepLinear((4, 5, 4, 1)), DiagonalLinear(3, 4)]
)
def test_depth_does_not_matter_with_full_rank_inputs(model):
    p, w0 = problem(12, 4)
    theta = model.matching(w0, np.random.default_rng(1))
    path = NaturalGradientFlow(model, Bernoulli(), p.X, p.targets).path(theta, T)
    beta = np.stack([model.end_to_end(q)[:, 0] for q in path])
    np.testing.assert_allclose(beta, legendre_flow(p, w0, T), atol=1e-9)
    if isinstance(model, DeepLinear):
        np.testing.assert_allclose(model.imbalance(path[-1]), model.imbalance(theta), atol=1e-10)
    gradient = GradientFlow(model, Bernoulli(), p.X, p.targets).path(theta, T)
    assert np.abs(model.end_to_end(gradient[-1])[:, 0] - beta[-1]).max() > 1e-2


def test_velocity_against_the_dense_pseudo_inverse():
    p, w0 = problem(3, 4)
    model = DeepLinear((4, 5, 1))
    theta = model.matching(w0, np.random.default_rng(1))
    extra = np.random.default_rng(2).normal(size=(2, 4))
    for inputs, option in ((p.X, None), (np.vstack([p.X, extra]), extra)):
        f = (inputs @ model.end_to_end(theta)).ravel()
        s = 1 / (1 + np.exp(-f))
        J = inputs @ model.end_to_end_jacobian(theta)
        F = (J.T * (s * (1 - s))) @ J / 3
        g = J[:3].T @ (s[:3] - p.targets[:, 0]) / 3
        expected = -np.linalg.pinv(F, rcond=1e-12) @ g
        flow = NaturalGradientFlow(model, Bernoulli(), p.X, p.targets, extra=option)
        np.testing.assert_allclose(flow.velocity(theta), expected, atol=1e-9)


def test_which_inputs_define_the_fisher_matters_when_there_are_few_samples():
    p, w0 = problem(3, 6)
    rng = np.random.default_rng(1)
    deep, shallow = DeepLinear((6, 7, 6, 1)), DeepLinear((6, 1))
    starts = {deep: deep.matching(w0, rng), shallow: w0}
    spanning = rng.normal(size=(8, 6))

    def end(model, extra):
        flow = NaturalGradientFlow(model, Bernoulli(), p.X, p.targets, extra=extra)
        return model.end_to_end(flow.path(starts[model], T)[-1])[:, 0]

    a, b = end(deep, None), end(shallow, None)
    np.testing.assert_allclose(p.X @ a, p.X @ b, atol=1e-9)
    assert np.linalg.norm(a - b) > 0.05 * np.linalg.norm(b)
    np.testing.assert_allclose(end(deep, spanning), end(shallow, spanning), atol=1e-9)


def test_tied_factors_cannot_change_sign():
    model = DiagonalLinear(2, 2, tied=True)
    p = LogisticProblem(np.array([[-1.0, 0.2], [-0.3, 1.0], [-1.0, 1.0]]), np.ones(3))
    flow = NaturalGradientFlow(model, Bernoulli(), p.X, p.targets, rtol=1e-9, atol=1e-10)
    start = model.balanced(np.array([0.5, 0.5]))
    early = np.array([0.0, 0.1])
    beta = model.end_to_end(flow.path(start, early)[-1])[:, 0]
    np.testing.assert_allclose(beta, legendre_flow(p, np.array([0.5, 0.5]), early)[-1], atol=1e-8)
    assert legendre_flow(p, np.array([0.5, 0.5]), np.array([3.0]))[0, 0] < 0  # out of reach of u * u


@pytest.mark.parametrize("family", [Softmax(), Poisson()])
def test_deep_networks_with_several_outputs(family):
    rng = np.random.default_rng(0)
    X, model = rng.normal(size=(4, 5)), DeepLinear((5, 6, 3))
    beta = 0.3 * rng.normal(size=(5, 3))
    y = np.eye(3)[[0, 1, 2, 0]] if isinstance(family, Softmax) else rng.poisson(2, size=(4, 3)).astype(float)
    path = NaturalGradientFlow(model, family, X, y).path(model.matching(beta, rng), T)
    expected = X @ interpolating_weights(family, X, y, beta, T)
    np.testing.assert_allclose(
        family.mean(np.stack([X @ model.end_to_end(q) for q in path])), family.mean(expected), atol=1e-10
    )


def test_whitened_rows_give_fisher_and_gradient():
    rng = np.random.default_rng(0)
    f, J, residual = rng.normal(size=(3, 4)), rng.normal(size=(3, 4, 7)), rng.normal(size=(3, 4))
    residual -= residual.mean(1, keepdims=True)
    A, b = whitened_rows(Softmax(), f, J, residual)
    fisher = np.einsum("ncp,ncd,ndq->pq", J, Softmax().variance(f), J)
    np.testing.assert_allclose(A.T @ A, fisher, atol=1e-12)
    np.testing.assert_allclose(A.T @ b, np.einsum("ncp,nc->p", J, residual), atol=1e-12)


def test_lengths_are_checked():
    with pytest.raises(ValueError, match="one length"):
        GradientFlow(DeepLinear((4, 1)), Bernoulli(), np.ones((3, 4)), np.ones((2, 1)))
