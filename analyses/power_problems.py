"""On what the power of the checks is measured: the small problem of `ntkng.testing`, with every approximation."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import ntkng
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher, GradientDescent
from ntkng.kernels import Kernels, analytic
from ntkng.problem import Problem
from ntkng.testing import KINKED, SMOOTH, small_problem
from ntkng.testing.small_problem import DEPTH, INPUTS, OUTPUTS, SIGMA_B, SIGMA_W

CONTRACTION = 0.5  # |1 - c|: runs are made at half of the optimal step size, so that there is a trajectory to look at
STEPS = 3
DAMPING = 0.3


@dataclasses.dataclass(frozen=True)
class Setting:
    """One approximation on one problem.

    Attributes:
        fisher: the approximation.
        activation: of the network.
    """

    fisher: Fisher
    activation: str = "erf"

    @property
    def powers(self) -> tuple[float, ...]:
        """Of `1/M` in the expectation of the deviation from infinite width."""
        return SMOOTH if self.activation == "erf" else KINKED

    def problem(self, width: int) -> Problem:
        """The problem at a width."""
        return small_problem(width, self.activation)

    def kernels(self, width: int = 64) -> Kernels:
        """Its infinite-width kernels; the width enters K-FAC's split of a damping, and nothing else."""
        return kernels(activation=self.activation, width=width)


SETTINGS = {
    "Exact": Setting(Exact()),
    "BlockDiagonal": Setting(BlockDiagonal()),
    "BlockTriDiagonal": Setting(BlockTriDiagonal()),
    "KFAC": Setting(KFAC()),
    "GradientDescent": Setting(GradientDescent()),
    "BlockDiagonal, damped": Setting(BlockDiagonal(DAMPING)),
    "KFAC, damped": Setting(KFAC(DAMPING)),
    "GradientDescent, relu": Setting(GradientDescent(), "relu"),
}
ISOTROPIC = ("Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC")


@functools.cache
def kernels(*, data: str = "own", **changes: Any) -> Kernels:
    """Infinite-width kernels of the small problem, or of a mistaken one.

    Args:
        data: `"own"`; `"stale"`: with another first training input; `"test"`: the first N test inputs for training ones.
        **changes: arguments of `ntkng.mlp` that differ.
    """
    problem = small_problem(64)
    assert problem.x_test is not None
    inputs = {"own": problem.x, "test": problem.x_test[: problem.samples]}
    inputs["stale"] = problem.x.copy()
    inputs["stale"][0] = problem.x_test[0][::-1]
    arguments = {"width": 64, "depth": DEPTH, "activation": "erf", "sigma_w": SIGMA_W, "sigma_b": SIGMA_B, **changes}
    network = ntkng.mlp(INPUTS, OUTPUTS, **arguments)
    return analytic(network, inputs[data], problem.x_test)
