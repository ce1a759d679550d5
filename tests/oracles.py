"""Dense oracles, independent of the engine: full Jacobians, full Fisher matrices, explicit solves, all in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass
class Dense:
    """A finite network at its parameters, in full matrices."""

    samples: int
    outputs: int
    residual: np.ndarray  # [NC]
    jacobians: list  # per layer [NC, P_l], parameters ordered as in `flatten`
    jacobians_test: list
    factors: list  # per layer (a [N, K], delta [NC, M]) or None

    @property
    def jacobian(self):
        return np.concatenate(self.jacobians, axis=1)

    @property
    def jacobian_test(self):
        return np.concatenate(self.jacobians_test, axis=1)

    def fisher(self, pattern):
        """The full `P x P` matrix with the blocks outside of the pattern set to 0."""
        blocks = [
            [pattern[i, j] * a.T @ b / self.samples for j, b in enumerate(self.jacobians)]
            for i, a in enumerate(self.jacobians)
        ]
        return np.block(blocks)

    def solve_full(self, pattern, damping):
        """K, K' and the parameter step from the full matrix; smallest networks only."""
        fisher = self.fisher(pattern)
        if damping:
            inverse = np.linalg.inv(fisher + damping * np.eye(len(fisher)))
        else:
            inverse = np.linalg.pinv(fisher, rcond=1e-11, hermitian=True)
        return self._results(inverse @ self.jacobian.T / self.samples)

    def solve(self, pattern, damping):
        """The same in an orthonormal basis of each layer's row space, in which the matrix is `L N C` wide.

        `G` maps the row spaces to themselves, so nothing is lost: a test compares with `solve_full`.
        """
        bases = [np.linalg.qr(j.T)[0] for j in self.jacobians]
        cores = [j @ q for j, q in zip(self.jacobians, bases, strict=True)]
        core = np.block([[pattern[i, j] * a.T @ b for j, b in enumerate(cores)] for i, a in enumerate(cores)])
        core = core / self.samples
        right = np.concatenate([c.T for c in cores]) / self.samples
        if damping:
            solved = np.linalg.solve(core + damping * np.eye(len(core)), right)
        else:
            solved = np.linalg.pinv(core, rcond=1e-12, hermitian=True) @ right
        parts = np.split(solved, len(bases))
        return self._results(np.concatenate([q @ part for q, part in zip(bases, parts, strict=True)]))

    def solve_kfac(self, damping, split="pi", paper=False):
        """The same for K-FAC, from its `M x M` and `K x K` factors; pseudo-inverses when undamped."""
        columns = []
        for index, (a, delta) in enumerate(self.factors):
            inner, backward = a.T @ a / self.samples, delta.T @ delta / self.samples
            if damping:
                root, pi = np.sqrt(damping), 1.0
                if split == "pi":
                    pi = np.sqrt((np.trace(inner) / len(inner)) / (np.trace(backward) / len(backward)))
                inner = inner + pi * root * np.eye(len(inner))
                backward = backward + root / pi * np.eye(len(backward))
            if paper and index == len(self.factors) - 1:
                backward = backward / self.samples
            rows = self.jacobians[index].reshape(-1, len(backward), len(inner))
            columns.append((_inverse(backward) @ rows @ _inverse(inner)).reshape(len(rows), -1).T)
        return self._results(np.concatenate(columns) / self.samples)

    def _results(self, preconditioned):
        """`preconditioned` is `(G + rho I)^{-1} J^T / N`."""
        return self.jacobian @ preconditioned, self.jacobian_test @ preconditioned, preconditioned @ self.residual


def flatten(layer_parameters):
    """One vector per layer: weights in the order (unit, input), the bias as one more input."""
    weights, bias = layer_parameters
    rows = np.asarray(weights).T
    if bias is not None:
        rows = np.concatenate([rows, np.asarray(bias).reshape(-1, 1)], axis=1)
    return rows.ravel()


def layer_jacobians(network, parameters, x):
    """Per layer `[NC, P_l]`, parameters in the order of `flatten`."""
    parts = network.split(parameters)
    jacobians = jax.jacobian(lambda parts: network.apply(network.join(parts), jnp.asarray(x)))(parts)
    result = []
    for weights, bias in jacobians:
        rows = np.asarray(weights).transpose(0, 1, 3, 2)  # [N, C, M, K]
        if bias is not None:
            rows = np.concatenate([rows, np.asarray(bias).reshape(*rows.shape[:3], 1)], axis=-1)
        result.append(rows.reshape(rows.shape[0] * rows.shape[1], -1))
    return result


def mlp_factors(network, parameters, x, phi, sigma_w, sigma_b):
    """`a_{l-1}` and `delta_l` of a multilayer perceptron in the NTK parametrisation, by a forward pass written out here
    and an explicit backward recursion with the derivative of `phi` by finite algebra (jax.grad of the scalar function)."""
    derivative = jax.vmap(jax.vmap(jax.grad(phi)))
    parts = [(np.asarray(w), None if b is None else np.asarray(b).reshape(-1)) for w, b in network.split(parameters)]
    hidden, features, slopes = np.asarray(x), [], []
    for index, (weights, bias) in enumerate(parts):
        a = sigma_w * hidden / np.sqrt(hidden.shape[1])
        u = a @ weights + (0 if bias is None else sigma_b * bias)
        if bias is not None:
            a = np.concatenate([a, np.full((len(a), 1), sigma_b)], axis=1)
        features.append(a)
        if index < len(parts) - 1:
            slopes.append(np.asarray(derivative(jnp.asarray(u))))
            hidden = np.asarray(jax.vmap(jax.vmap(phi))(jnp.asarray(u)))
    samples, outputs = u.shape
    delta = np.tile(np.eye(outputs), (samples, 1, 1))  # [N, C, M_L]
    deltas = [delta]
    for index in range(len(parts) - 1, 0, -1):
        weights = parts[index][0]
        delta = delta @ (sigma_w / np.sqrt(weights.shape[0]) * weights.T) * slopes[index - 1][:, None, :]
        deltas.append(delta)
    deltas = [d.reshape(samples * outputs, -1) for d in reversed(deltas)]
    return list(zip(features, deltas, strict=True)), u


def _inverse(matrix):
    return np.linalg.pinv(matrix, rcond=1e-11, hermitian=True)
