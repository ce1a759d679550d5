"""The same structured exact step in plain eager PyTorch: what ntkng's compiler has to keep up with."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers import work
from benchmarks.peers.worker import serve


class Step:
    """Forward, backward signals, Grams, Cholesky and one accumulating matrix product per layer."""

    def __init__(self, task: work.Work) -> None:
        torch.set_num_threads(1)
        self.task = task
        self.x, self.y = torch.from_numpy(task.inputs), torch.from_numpy(task.targets)
        self.parameters = [torch.from_numpy(weight.copy()) for weight in task.weights]

    def reset(self) -> None:
        """Put the initial weights back."""
        for own, weight in zip(self.parameters, self.task.weights, strict=True):
            own.copy_(torch.from_numpy(weight))

    @torch.no_grad()
    def step(self) -> None:
        """One step."""
        samples, outputs = self.task.samples, self.task.outputs
        hidden, masks = [self.x], []
        for weight in self.parameters[:-1]:
            u = hidden[-1] @ weight
            masks.append(u > 0)
            hidden.append(u.relu_())
        residual = hidden[-1] @ self.parameters[-1] - self.y
        deltas = [torch.eye(outputs).expand(samples, outputs, outputs)]  # [N, C, M]
        for weight, mask in zip(self.parameters[:0:-1], masks[::-1], strict=True):
            deltas.insert(0, (deltas[0] @ weight.T) * mask[:, None])
        gram = sum(self._gram(a, delta) for a, delta in zip(hidden, deltas, strict=True))
        gram.diagonal().add_(samples * work.DAMPING)
        dual = torch.cholesky_solve(residual.reshape(-1, 1), torch.linalg.cholesky(gram)).reshape(samples, 1, outputs)
        for weight, a, delta in zip(self.parameters, hidden, deltas, strict=True):
            weight.addmm_(a.T, (dual @ delta)[:, 0], alpha=-1)

    def _gram(self, a: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        samples, outputs = delta.shape[:2]
        rows = delta.reshape(samples * outputs, -1)
        backward = (rows @ rows.T).reshape(samples, outputs, samples, outputs)
        return (backward * (a @ a.T)[:, None, :, None]).reshape(samples * outputs, -1)

    def weights(self) -> list[np.ndarray]:
        """The weights now."""
        return [weight.numpy() for weight in self.parameters]


if __name__ == "__main__":
    serve({"exact": Step})
