"""The network and a step's surroundings for contestants that live in PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from benchmarks.peers import work


class TorchContestant:
    """Weights in an `nn.Sequential` of linear layers without biases; a subclass adds `step`."""

    def __init__(self, task: work.Work) -> None:
        torch.set_num_threads(1)
        sizes = [work.INPUTS, *(weight.shape[1] for weight in task.weights)]
        layers = [torch.nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes)]
        parts = [part for layer in layers[:-1] for part in (layer, torch.nn.ReLU())]
        self.network = torch.nn.Sequential(*parts, layers[-1])
        self.layers, self.task = layers, task
        self.x, self.y = torch.from_numpy(task.inputs), torch.from_numpy(task.targets)

    def reset(self) -> None:
        """Put the initial weights back."""
        with torch.no_grad():
            for layer, weight in zip(self.layers, self.task.weights, strict=True):
                layer.weight.copy_(torch.from_numpy(weight).T)

    def gradient(self) -> list[torch.Tensor]:
        """Of `(1/2N) sum |f - y|^2`, `[units, fan-in]` a layer."""
        loss = ((self.network(self.x) - self.y) ** 2).sum() / (2 * self.task.samples)
        return list(torch.autograd.grad(loss, [layer.weight for layer in self.layers]))

    def subtract(self, steps: list[torch.Tensor]) -> None:
        """Move the weights."""
        with torch.no_grad():
            for layer, step in zip(self.layers, steps, strict=True):
                layer.weight.sub_(step)

    def weights(self) -> list[np.ndarray]:
        """The weights now."""
        return [layer.weight.detach().numpy().T for layer in self.layers]
