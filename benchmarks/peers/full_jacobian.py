"""The exact step with the whole `N x P` Jacobian in NumPy, one output."""

from __future__ import annotations

import numpy as np

from benchmarks.peers import work
from benchmarks.peers.worker import serve


class Step:
    """Jacobian, kernel, solve, step."""

    def __init__(self, task: work.Work) -> None:
        if task.outputs != 1:
            raise ValueError(f"written for one output, got {task.outputs}")
        self.task = task
        self.parameters: list[np.ndarray] = []

    def reset(self) -> None:
        """Put the initial weights back."""
        self.parameters = [weight.copy() for weight in self.task.weights]

    def step(self) -> None:
        """One step."""
        samples, hidden = self.task.samples, [self.task.inputs]
        for weight in self.parameters[:-1]:
            hidden.append(np.maximum(hidden[-1] @ weight, 0))
        residual = hidden[-1] @ self.parameters[-1] - self.task.targets
        delta, blocks = np.ones((samples, 1), np.float32), []
        for index in range(len(hidden) - 1, -1, -1):
            blocks.append((hidden[index][:, :, None] * delta[:, None, :]).reshape(samples, -1))
            if index:
                delta = (delta @ self.parameters[index].T) * (hidden[index] > 0)
        jacobian = np.concatenate(blocks[::-1], axis=1)
        system = jacobian @ jacobian.T + samples * work.DAMPING * np.eye(samples, dtype=np.float32)
        step = jacobian.T @ np.linalg.solve(system, residual)[:, 0]
        ends = np.cumsum([weight.size for weight in self.parameters])
        for weight, part in zip(self.parameters, np.split(step, ends[:-1]), strict=True):
            weight -= part.reshape(weight.shape)

    def weights(self) -> list[np.ndarray]:
        """The weights now."""
        return self.parameters


if __name__ == "__main__":
    serve({"exact": Step})
