"""ntkng's own steps, as one contestant among the others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkng
from benchmarks.peers import work
from benchmarks.peers.worker import serve
from ntkng.simulate import apply_step


class Step:
    """A compiled step with donated parameters."""

    def __init__(self, task: work.Work, fisher: ntkng.Fisher) -> None:
        width = task.weights[0].shape[1]
        self.network = ntkng.mlp(work.INPUTS, task.outputs, width=width, depth=work.DEPTH, parametrisation="standard")
        self.task, self.fisher = task, fisher
        self.data = jnp.asarray(task.inputs), jnp.asarray(task.targets)
        self.parameters: Any = None
        self.compiled = jax.jit(self._step, donate_argnums=0)

    def _step(self, parameters: Any, fisher: ntkng.Fisher, x: jax.Array, y: jax.Array) -> Any:
        f, records = self.network.linearise(parameters, x)
        return apply_step(self.network, fisher, parameters, records, f - y, 1.0, jnp.float32)

    def reset(self) -> None:
        """Fresh copies of the weights, which the step may overwrite."""
        self.parameters = self.network.join([(jnp.array(weight), None) for weight in self.task.weights])
        jax.block_until_ready(self.parameters)

    def step(self) -> None:
        """One step."""
        self.parameters = jax.block_until_ready(self.compiled(self.parameters, self.fisher, *self.data))

    def weights(self) -> list[np.ndarray]:
        """The weights now."""
        return [np.asarray(weight) for weight, _ in self.network.split(self.parameters)]


if __name__ == "__main__":
    serve(
        {
            "exact": lambda task: Step(task, ntkng.Exact(work.DAMPING)),
            "K-FAC": lambda task: Step(task, ntkng.KFAC(work.DAMPING)),
        }
    )
