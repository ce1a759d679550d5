"""neural-tangents: its empirical NTK by each of its three implementations, a Cholesky solve and one reverse pass, compiled together.

Runs on the last JAX that all three implementations work on. Its package asks for TensorFlow for `neural_tangents.experimental` alone, which is
replaced by an empty module here.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import work
from benchmarks.peers.worker import serve

sys.modules["neural_tangents.experimental"] = types.ModuleType("neural_tangents.experimental")
import neural_tangents as nt  # noqa: E402


class Step:
    """A compiled step with donated parameters."""

    def __init__(self, task: work.Work, implementation: Any) -> None:
        self.task = task
        self.data = jnp.asarray(task.inputs), jnp.asarray(task.targets)
        self.kernel = nt.empirical_ntk_fn(_apply, trace_axes=(), vmap_axes=0, implementation=implementation)
        self.compiled = jax.jit(self._step, donate_argnums=0)
        self.parameters: Any = None

    def _step(self, parameters: list[Any], x: Any, y: Any) -> list[Any]:
        samples, outputs = y.shape
        theta = self.kernel(x, None, parameters)  # [N, N, C, C]
        system = theta.transpose(0, 2, 1, 3).reshape(samples * outputs, -1)
        system = system + samples * work.DAMPING * jnp.eye(len(system), dtype=system.dtype)
        f, pull = jax.vjp(lambda p: _apply(p, x), parameters)
        factor = jax.scipy.linalg.cho_factor(system)
        dual = jax.scipy.linalg.cho_solve(factor, (f - y).reshape(-1)).reshape(y.shape)
        return [own - step for own, step in zip(parameters, pull(dual)[0], strict=True)]

    def reset(self) -> None:
        """Fresh copies of the weights, which the step may overwrite."""
        self.parameters = jax.block_until_ready([jnp.array(weight) for weight in self.task.weights])

    def step(self) -> None:
        """One step."""
        self.parameters = jax.block_until_ready(self.compiled(self.parameters, *self.data))

    def weights(self) -> list[np.ndarray]:
        """The weights now."""
        return [np.asarray(weight) for weight in self.parameters]


def _apply(parameters: list[Any], x: Any) -> Any:
    for weight in parameters[:-1]:
        x = jax.nn.relu(x @ weight)
    return x @ parameters[-1]


if __name__ == "__main__":
    implementations = nt.NtkImplementation
    serve(
        {
            "exact, structured derivatives": lambda task: Step(task, implementations.STRUCTURED_DERIVATIVES),
            "exact, Jacobian contraction": lambda task: Step(task, implementations.JACOBIAN_CONTRACTION),
            "exact, NTK-vector products": lambda task: Step(task, implementations.NTK_VECTOR_PRODUCTS),
        }
    )
