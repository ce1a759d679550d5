"""A network linearised at its initialisation, in full matrices: every step solves with the whole curvature matrix."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from oracles import layer_jacobians, mlp_factors

import ntkng
from ntkng.trajectory import FAMILIES

INPUTS, WIDTH, DEPTH, SAMPLES, TESTS = 6, 12, 3, 4, 3
SIGMA_W, SIGMA_B = 1.3, 0.4


def build(loss, seed=3, samples=SAMPLES, width=WIDTH):
    """A small problem with biases, three outputs (logistic: one), and parameters."""
    rng = np.random.default_rng(seed)
    outputs = 1 if loss == "logistic" else 3
    network = ntkng.mlp(
        INPUTS, outputs, width=width, depth=DEPTH, activation="erf", sigma_w=SIGMA_W, sigma_b=SIGMA_B
    )  # fmt: skip
    x, x_test = rng.normal(size=(samples, INPUTS)), rng.normal(size=(TESTS, INPUTS))
    if loss == "mse":
        y = rng.normal(size=(samples, outputs))
    elif loss == "logistic":
        y = rng.integers(0, 2, size=(samples, 1)).astype(float)
    else:
        y = np.eye(outputs)[rng.integers(0, outputs, samples)]
    return ntkng.Problem(network, x, y, x_test, loss=loss), network.init(jax.random.key(seed))


def flat(network, parameters):
    """All parameters in the order of the Jacobians' columns: layer by layer, the bias as one more input of each unit."""
    parts = []
    for weights, bias in network.split(parameters):
        parts.append(jnp.concatenate([weights.T, bias.reshape(-1, 1)], axis=1).ravel())
    return jnp.concatenate(parts)


def unflatten(network, parameters, vector):
    """The inverse of `flat`; `parameters` give the shapes."""
    parts, start = [], 0
    for weights, _ in network.split(parameters):
        inputs, units = weights.shape
        rows = jnp.asarray(vector[start : start + units * (inputs + 1)]).reshape(units, inputs + 1)
        parts.append((rows[:, :-1].T, rows[:, -1]))
        start += units * (inputs + 1)
    shapes = [tuple(jnp.shape(leaf) for leaf in part) for part in network.split(parameters)]
    return network.join(
        [tuple(leaf.reshape(s) for leaf, s in zip(p, q, strict=True)) for p, q in zip(parts, shapes, strict=True)]
    )


def dense_curvature(fisher, jacobians, factors, hessian, samples):
    """The damped curvature matrix with `H` in the middle, written with nothing but full matrices."""
    damping, depth = float(fisher.damping), len(jacobians)
    if fisher.name == "GradientDescent":
        return np.eye(sum(j.shape[1] for j in jacobians)) * (1 + damping)
    if fisher.name == "KFAC":
        blocks = []
        for index, (a, delta) in enumerate(factors):
            inner, backward = a.T @ a / samples, delta.T @ hessian @ delta / samples
            if damping:
                pi = np.sqrt((np.trace(inner) / len(inner)) / (np.trace(backward) / len(backward)))
                inner = inner + pi * np.sqrt(damping) * np.eye(len(inner))
                backward = backward + np.sqrt(damping) / pi * np.eye(len(backward))
            if fisher.last_layer == "paper" and index == depth - 1:
                backward = backward / samples
            blocks.append(np.kron(backward, inner))
        return scipy.linalg.block_diag(*blocks)
    index = np.arange(depth)
    distance = np.abs(index[:, None] - index)
    pattern = {"Exact": distance >= 0, "BlockDiagonal": distance == 0, "BlockTriDiagonal": distance <= 1}[fisher.name]
    rows = [
        [pattern[i, j] * a.T @ hessian @ b / samples for j, b in enumerate(jacobians)] for i, a in enumerate(jacobians)
    ]
    full = np.block(rows)
    return full + damping * np.eye(len(full))


class Linearised:
    """Function-space and parameter steps at fixed Jacobians."""

    def __init__(self, problem, parameters):
        network, x = problem.network, problem.x
        self.problem = problem
        self.factors, self.start = mlp_factors(network, parameters, x, jax.scipy.special.erf, SIGMA_W, SIGMA_B)
        self.jacobians = layer_jacobians(network, parameters, x)
        tests = layer_jacobians(network, parameters, problem.x_test)
        self.everywhere = np.concatenate([np.concatenate(self.jacobians, 1), np.concatenate(tests, 1)])
        self.start_test = np.asarray(network.apply(parameters, jnp.asarray(problem.x_test)))

    @property
    def function(self):
        """`f_0` on train and test inputs, `[N + M, C]`."""
        return np.concatenate([self.start, self.start_test])

    def step(self, fisher, function, batch=None):
        """`(G + rho I)^{-1} J^T (mu - y) / n` of a batch, `[P]`; the pseudo-inverse without damping."""
        batch = np.arange(self.problem.samples) if batch is None else np.asarray(batch)
        outputs = self.problem.outputs
        rows = (batch[:, None] * outputs + np.arange(outputs)).ravel()
        own, targets = function[batch], self.problem.y[batch]
        family = FAMILIES[self.problem.loss]
        residual = family.residual(own, targets)
        middle = family.variance(own)
        if fisher.name == "EmpiricalFisher":
            middle, fisher = residual[:, :, None] * residual[:, None, :], _inner(fisher)
        jacobians = [jacobian[rows] for jacobian in self.jacobians]
        factors = [(a[batch], delta[rows]) for a, delta in self.factors]
        curvature = dense_curvature(fisher, jacobians, factors, scipy.linalg.block_diag(*middle), len(batch))
        gradient = np.concatenate(jacobians, axis=1).T @ residual.ravel() / len(batch)
        if fisher.is_damped or fisher.name == "GradientDescent":
            return np.linalg.solve(curvature, gradient)
        return np.linalg.pinv(curvature, rcond=1e-12, hermitian=True) @ gradient

    def fall(self, fisher, function, batch=None):
        """`K(x', x_b) r(x_b)` on train and test inputs, `[N + M, C]`."""
        return (self.everywhere @ self.step(fisher, function, batch)).reshape(function.shape)


def _inner(fisher):
    return dataclasses.replace(fisher.of, damping=fisher.damping)
