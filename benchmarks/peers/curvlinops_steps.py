"""curvlinops: K-FAC of the exact ("type-2") Fisher matrix, inverted with the damping split of Martens and Grosse (2015)."""

from __future__ import annotations

from curvlinops import KFACInverseLinearOperator, KFACLinearOperator
from torch.nn import MSELoss

from benchmarks.peers import work
from benchmarks.peers.torch_network import TorchContestant
from benchmarks.peers.worker import serve


class Step(TorchContestant):
    """Factors, their inverses and one product with the gradient."""

    def step(self) -> None:
        """One step."""
        samples, outputs = self.task.samples, self.task.outputs
        scale = 2 / outputs  # of the mean squared error's Hessian beside that of (1/2N) sum |f - y|^2
        parameters = [layer.weight for layer in self.layers]
        curvature = KFACLinearOperator(
            self.network, MSELoss(reduction="mean"), parameters, [(self.x, self.y)], fisher_type="type-2",
            check_deterministic=False, num_data=samples, num_per_example_loss_terms=1,
        )  # fmt: skip
        inverse = KFACInverseLinearOperator(curvature, damping=scale * work.DAMPING, use_heuristic_damping=True)
        steps = inverse @ [gradient.detach() for gradient in self.gradient()]
        self.subtract([scale * step.detach() for step in steps])


if __name__ == "__main__":
    serve({"K-FAC": Step})
