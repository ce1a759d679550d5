r"""The dense oracle: full Jacobians, the full curvature matrix of `Fisher.dense`, explicit solves, all in NumPy.

Independent of the engine under test: the Jacobians come from `jax.jacobian` of the network's outputs, the factors
`a_{l-1}` and `delta_l` from a forward and a backward pass written out here, and nothing is solved in data space.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkng.fisher import DenseLayer, Fisher
from ntkng.multilayer_perceptron import ACTIVATIONS
from ntkng.network import Network, Parameters
from ntkng.testing.conformance.cases import Case

RANK = 1e-11  # relative eigenvalue below which an undamped curvature matrix is singular


@dataclasses.dataclass(frozen=True)
class Oracle:
    """One finite network at its parameters, in full matrices.

    Attributes:
        layers: with their Jacobians on the training inputs.
        test: Jacobians on the test inputs, one a layer.
        residual: `f - y`, `[N C]`.
        samples: N.
    """

    layers: tuple[DenseLayer, ...]
    test: tuple[Float[np.ndarray, "MC P"], ...]
    residual: Float[np.ndarray, "NC"]
    samples: int

    @property
    def jacobian(self) -> Float[np.ndarray, "NC P"]:
        """`J`, all layers."""
        return np.concatenate([layer.jacobian for layer in self.layers], axis=1)

    def solution(self, fisher: Fisher) -> Float[np.ndarray, "P NC"]:
        """`(G + rho I)^{-1} J^T / N`; without damping its limit, by the pseudo-inverse."""
        matrix = fisher.dense(self.layers, self.samples)
        if fisher.is_damped:
            return np.linalg.solve(matrix, self.jacobian.T) / self.samples
        return np.linalg.pinv(matrix, rcond=RANK, hermitian=True) @ self.jacobian.T / self.samples

    def kernel(self, fisher: Fisher) -> tuple[Float[np.ndarray, "NC NC"], Float[np.ndarray, "MC NC"]]:
        """`K` and `K'`."""
        solution = self.solution(fisher)
        return self.jacobian @ solution, np.concatenate(self.test, axis=1) @ solution

    def step(self, fisher: Fisher) -> Float[np.ndarray, "P"]:
        """`(G + rho I)^{-1} J^T r / N`."""
        return self.solution(fisher) @ self.residual


@functools.lru_cache(maxsize=32)
def oracle(case: Case) -> Oracle:
    """The oracle of a case at its own parameters."""
    return oracle_at(case, case.parameters)


def oracle_at(case: Case, parameters: Parameters) -> Oracle:
    """The oracle of a case at any parameters."""
    with jax.enable_x64(True):
        jacobians = layer_jacobians(case.network, parameters, case.problem.x)
        test = layer_jacobians(case.network, parameters, case.problem.x_test)
        outputs, factors = _factors(case, parameters)
    last = case.depth - 1
    layers = tuple(
        DenseLayer(jacobian, features, deltas, is_output=index == last)
        for index, (jacobian, (features, deltas)) in enumerate(zip(jacobians, factors, strict=True))
    )
    return Oracle(layers, tuple(test), (outputs - case.problem.y).ravel(), case.samples)


def layer_jacobians(network: Network, parameters: Parameters, x) -> list[Float[np.ndarray, "NC P"]]:
    """Per layer, columns in the order of `flatten`; dense layers only."""
    parts = network.split(parameters)
    jacobians = jax.jacobian(lambda parts: network.apply(network.join(parts), jnp.asarray(x, jnp.float64)))(parts)
    found = []
    for weights, bias in jacobians:
        rows = np.swapaxes(np.asarray(weights), 2, 3)  # [N, C, units, inputs]
        if bias is not None:
            rows = np.concatenate([rows, np.asarray(bias).reshape(*rows.shape[:3], 1)], axis=3)
        found.append(rows.reshape(rows.shape[0] * rows.shape[1], -1))
    return found


def flatten(network: Network, parameters: Parameters) -> Float[np.ndarray, "P"]:
    """One vector: layer by layer, unit by unit, a unit's weights and then its bias."""
    return np.concatenate([_rows(*part).ravel() for part in network.split(parameters)])


def unflatten(network: Network, parameters: Parameters, vector: Float[np.ndarray, "P"]) -> Parameters:
    """Inverse of `flatten`; `parameters` give the shapes."""
    parts, start = [], 0
    for weights, bias in network.split(parameters):
        rows = _rows(weights, bias)
        own = vector[start : start + rows.size].reshape(rows.shape)
        start += rows.size
        inputs = np.shape(weights)[0]
        parts.append((own[:, :inputs].T, None if bias is None else own[:, inputs].reshape(np.shape(bias))))
    return network.join(parts)


def _rows(weights, bias) -> Float[np.ndarray, "units inputs"]:
    rows = np.asarray(weights).T
    return rows if bias is None else np.concatenate([rows, np.asarray(bias).reshape(-1, 1)], axis=1)


def _factors(case: Case, parameters: Parameters):
    """Outputs, and `(a_{l-1}, delta_l)` of every layer, by the definitions."""
    phi = ACTIVATIONS[case.activation]().apply_fn
    slope = jax.vmap(jax.vmap(jax.grad(lambda u: phi((), u))))
    parts = case.network.split(parameters)
    hidden, features, slopes = np.asarray(case.problem.x), [], []
    for weights, bias in parts:
        a = case.sigma_w * hidden / np.sqrt(hidden.shape[1])
        u = a @ np.asarray(weights)
        if bias is not None:
            u = u + case.sigma_b * np.asarray(bias).reshape(-1)
            a = np.concatenate([a, np.full((len(a), 1), case.sigma_b)], axis=1)
        features.append(a)
        slopes.append(np.asarray(slope(jnp.asarray(u))))
        hidden = np.asarray(phi((), jnp.asarray(u)))
    delta = np.tile(np.eye(case.outputs), (case.samples, 1, 1))  # [N, C, units]
    deltas = [delta]
    for index in range(case.depth - 1, 0, -1):
        weights = np.asarray(parts[index][0])
        delta = delta @ weights.T * case.sigma_w / np.sqrt(len(weights)) * slopes[index - 1][:, None]
        deltas.insert(0, delta)
    flat = [d.reshape(case.samples * case.outputs, -1) for d in deltas]
    return u, list(zip(features, flat, strict=True))
