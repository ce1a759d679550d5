"""Full Jacobians, full Fisher matrices and explicit solves for any architecture, in NumPy: the oracles of this folder."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

SAMPLES, TESTS, OUTPUTS = 3, 2, 2


@dataclasses.dataclass
class FullMatrices:
    """Jacobians `[NC, P_l]` per layer on train and test inputs, parameters in the order of `flatten`, and the residual."""

    train: list
    test: list
    residual: np.ndarray

    def results(self, inverse):
        """`K`, `K'` and the step, for the inverse of the damped curvature matrix."""
        preconditioned = inverse @ np.concatenate(self.train, axis=1).T / SAMPLES
        joined = [np.concatenate(part, axis=1) for part in (self.train, self.test)]
        return *(part @ preconditioned for part in joined), preconditioned @ self.residual.ravel()

    def inverse(self, pattern, damping):
        """Of `J^T J / N` with the blocks outside of `pattern` set to 0, plus damping; pseudo-inverse without damping."""
        rows = [
            [pattern[i, j] * a.T @ b / SAMPLES for j, b in enumerate(self.train)] for i, a in enumerate(self.train)
        ]  # fmt: skip
        if damping:
            fisher = np.block(rows)
            return np.linalg.inv(fisher + damping * np.eye(len(fisher)))
        if np.array_equal(pattern, np.eye(len(pattern))):
            return scipy.linalg.block_diag(*[pseudo_inverse(rows[i][i]) for i in range(len(rows))])
        return pseudo_inverse(np.block(rows))


def pseudo_inverse(matrix, cut=1e-11):
    """Of a symmetric matrix that may be indefinite."""
    values, vectors = np.linalg.eigh(matrix)
    kept = np.abs(values) > cut * np.abs(values).max()
    return (vectors[:, kept] / values[kept]) @ vectors[:, kept].T


def flatten(tree):
    """One vector of a layer's parameters."""
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def full_matrices(network, parameters, x, x_test, y):
    """By `jax.jacobian` of the network as a whole."""
    parts = network.split(parameters)

    @jax.jit
    def jacobians(parts, x):
        return jax.jacobian(lambda parts: network.apply(network.join(parts), x))(parts)

    def per_layer(x):
        size = len(x) * network.outputs
        trees = jacobians(parts, jnp.asarray(x))
        leaves = [[np.asarray(leaf).reshape(size, -1) for leaf in jax.tree.leaves(tree)] for tree in trees]
        return [np.concatenate(layer, axis=1) for layer in leaves]

    both = [
        [layer[: SAMPLES * OUTPUTS], layer[SAMPLES * OUTPUTS :]] for layer in per_layer(np.concatenate([x, x_test]))
    ]
    residual = np.asarray(network.apply(parameters, jnp.asarray(x))) - y
    return FullMatrices([train for train, _ in both], [test for _, test in both], residual)
