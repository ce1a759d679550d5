"""NNGeometry: the exact step by its Gram matrix, and K-FAC."""

from __future__ import annotations

import torch
from nngeometry.gram import GramMatrix
from nngeometry.layercollection import LayerCollection
from nngeometry.metrics import FIM
from nngeometry.object import PMatKFAC, PVector
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers import work
from benchmarks.peers.torch_network import TorchContestant
from benchmarks.peers.worker import serve


class _Step(TorchContestant):
    def __init__(self, task: work.Work) -> None:
        super().__init__(task)
        self.collection = LayerCollection.from_model(self.network)
        self.loader = DataLoader(TensorDataset(self.x, self.y), batch_size=task.samples)


class Exact(_Step):
    """The Gram matrix, a Cholesky solve, and one reverse pass."""

    def step(self) -> None:
        """One step."""
        gram = GramMatrix(
            self.network, self.loader, function=lambda x, y: self.network(x), layer_collection=self.collection
        ).data.detach()  # [C, N, C, N]
        size = self.task.samples * self.task.outputs
        system = gram.reshape(size, size)
        system.diagonal().add_(self.task.samples * work.DAMPING)
        f = self.network(self.x)
        residual = (f.detach() - self.y).T.reshape(-1, 1)
        dual = torch.cholesky_solve(residual, torch.linalg.cholesky(system)).reshape(self.task.outputs, -1).T
        self.subtract(list(torch.autograd.grad((f * dual).sum(), [layer.weight for layer in self.layers])))


class KFAC(_Step):
    """Factors and its own solve of the gradient."""

    def step(self) -> None:
        """One step."""
        factors = FIM(
            self.network, self.loader, PMatKFAC, variant="regression", function=lambda x, y: self.network(x),
            layer_collection=self.collection,
        )  # fmt: skip
        names = self.collection.layers
        gradient = PVector(self.collection, dict_repr={n: (g,) for n, g in zip(names, self.gradient(), strict=True)})
        solved = factors.solvePVec(gradient, regul=work.DAMPING).to_dict()
        self.subtract([solved[name][0] for name in names])


if __name__ == "__main__":
    serve({"exact": Exact, "K-FAC": KFAC})
