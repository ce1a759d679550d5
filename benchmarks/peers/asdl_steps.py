"""ASDL: the exact step by its kernel of Hadamard products, and K-FAC by its gradient maker.

Its "swift" factors, inverted through `N x N` Gram matrices, scale layer inputs in place, and the backward pass of ReLU fails.
"""

from __future__ import annotations

import torch
from asdl.kernel import empirical_class_wise_hadamard_ntk
from asdl.matrices import FISHER_EXACT, SHAPE_KRON
from asdl.precondition import NaturalGradientMaker, PreconditioningConfig

from benchmarks.peers import work
from benchmarks.peers.torch_network import TorchContestant
from benchmarks.peers.worker import serve


class Exact(TorchContestant):
    """The kernel, a Cholesky solve, and one reverse pass; one output, as the kernel leaves blocks between outputs out."""

    def step(self) -> None:
        """One step."""
        if self.task.outputs != 1:
            raise ValueError(f"its kernel has no blocks between outputs, got {self.task.outputs} of them; expected 1")
        system = empirical_class_wise_hadamard_ntk(self.network, self.x)[:, :, 0]
        system.diagonal().add_(self.task.samples * work.DAMPING)
        f = self.network(self.x)
        dual = torch.cholesky_solve(f.detach() - self.y, torch.linalg.cholesky(system))
        self.subtract(list(torch.autograd.grad((f * dual).sum(), [layer.weight for layer in self.layers])))


class KFAC(TorchContestant):
    """Gradient, factors, their inverses and products, all by the library."""

    def __init__(self, task: work.Work) -> None:
        super().__init__(task)
        config = PreconditioningConfig(data_size=task.samples, damping=work.DAMPING)
        self.maker = NaturalGradientMaker(
            self.network, config, fisher_type=FISHER_EXACT, fisher_shape=SHAPE_KRON, loss_type="mse", grad_scale=0.5
        )  # it sums |f - y|^2; ours is half of that

    def step(self) -> None:
        """One step."""
        self.network.zero_grad()
        prediction = self.maker.setup_model_call(self.network, self.x)
        self.maker.setup_loss_call(torch.nn.functional.mse_loss, prediction, self.y)
        self.maker.forward_and_backward()
        gradients = [layer.weight.grad for layer in self.layers]
        self.subtract([gradient for gradient in gradients if gradient is not None])


if __name__ == "__main__":
    serve({"exact": Exact, "K-FAC": KFAC})
