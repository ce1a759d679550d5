"""Curvature and gradient of the cross-entropies to the end of the float range, in long double: probabilities from differences of
logits, `1 - p` as the sum of the others, and the damped step from the full matrix, in which nothing is divided by a probability."""

import dataclasses

import numpy as np
import scipy.linalg
from linearised import dense_curvature


def curvature_and_gradient(loss, f, y):
    """`H_n`, `[N, C, C]`, and `p - y`, `[N, C]`."""
    f, y = np.asarray(f, np.longdouble), np.asarray(y, np.longdouble)
    if loss == "logistic":
        with np.errstate(over="ignore"):
            p, rest = 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(f))
        return (p * rest)[:, :, None], (1 - y) * p - y * rest
    weights = np.exp(f - f.max(axis=1, keepdims=True))
    p = weights / weights.sum(axis=1, keepdims=True)
    rest = np.stack([np.delete(p, c, axis=1).sum(axis=1) for c in range(p.shape[1])], axis=1)
    hessian = -p[:, :, None] * p[:, None, :]
    index = np.arange(p.shape[1])
    hessian[:, index, index] = p * rest
    return hessian, (1 - y) * p - y * rest


def damped_step(loss, fisher, jacobians, factors, f, y):
    """`(G + rho I)^{-1} J^T (p - y) / N` by a solve with the whole matrix, `[P]`."""
    samples = len(f)
    hessian, gradient = curvature_and_gradient(loss, f, y)
    if fisher.name == "EmpiricalFisher":
        hessian = gradient[:, :, None] * gradient[:, None, :]
        fisher = dataclasses.replace(fisher.of, damping=fisher.damping)
    gradient = np.concatenate(jacobians, axis=1).T @ gradient.astype(float).ravel() / samples
    blocks = scipy.linalg.block_diag(*hessian.astype(float))
    if fisher.name == "UnitWise":
        return _unit_wise(fisher, factors, blocks, gradient, samples)
    return np.linalg.solve(dense_curvature(fisher, jacobians, factors, blocks, samples), gradient)


def _unit_wise(fisher, factors, hessian, gradient, samples):
    parts, start = [], 0
    outputs = len(hessian) // samples
    for a, delta in factors:
        mean = np.trace(delta.T @ hessian @ delta) / (samples * max(outputs - 1, 1) * delta.shape[1])
        damping = float(fisher.damping) * (mean * (a**2).sum() / samples**2 if fisher.relative else 1)
        for unit in delta.T:
            rows, stop = unit[:, None] * np.repeat(a, outputs, axis=0), start + a.shape[1]
            block = rows.T @ hessian @ rows / samples + damping * np.eye(a.shape[1])
            parts.append(np.linalg.solve(block, gradient[start:stop]))
            start = stop
    return np.concatenate(parts)
