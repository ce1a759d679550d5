"""kfac_jax: its optimiser with the exact Fisher estimate, factors and inverses anew in every step, no momentum, no averaging."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import kfac_jax
import numpy as np

from benchmarks.peers import work
from benchmarks.peers.worker import serve


def _loss(parameters: list[Any], batch: Any) -> Any:
    x, y = batch
    hidden = x
    for index, weight in enumerate(parameters):
        if index:
            hidden = jax.nn.relu(hidden)
        hidden = hidden @ weight
    kfac_jax.register_normal_predictive_distribution(hidden, y, variance=1.0)
    return ((hidden - y) ** 2).sum() / (2 * len(x))


class Step:
    """One `Optimizer.step`."""

    def __init__(self, task: work.Work) -> None:
        self.task = task
        self.batch = jnp.asarray(task.inputs), jnp.asarray(task.targets)
        self.optimiser = kfac_jax.Optimizer(
            value_and_grad_func=jax.value_and_grad(_loss), l2_reg=0.0, estimation_mode="fisher_exact", curvature_ema=0.0,
            inverse_update_period=1, num_burnin_steps=0, multi_device=False, min_damping=0.0,
        )  # fmt: skip
        self.parameters: Any = None
        self.state: Any = None

    def reset(self) -> None:
        """Put the initial weights and a fresh optimiser state back."""
        self.parameters = [jnp.array(weight) for weight in self.task.weights]
        self.state = self.optimiser.init(self.parameters, jax.random.PRNGKey(0), self.batch)
        jax.block_until_ready((self.parameters, self.state))

    def step(self) -> None:
        """One step."""
        self.parameters, self.state, _ = self.optimiser.step(
            self.parameters, self.state, jax.random.PRNGKey(0), batch=self.batch, learning_rate=1.0, momentum=0.0,
            damping=work.DAMPING, global_step_int=0,
        )  # fmt: skip
        jax.block_until_ready(self.parameters)

    def weights(self) -> list[np.ndarray]:
        """The weights now."""
        return [np.asarray(weight) for weight in self.parameters]


if __name__ == "__main__":
    serve({"K-FAC": Step})
