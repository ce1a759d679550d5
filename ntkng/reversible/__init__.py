"""Exact Gauss-Newton in reversible networks (Buffelli et al. 2024): the update, its function space, its limits."""

from ntkng.reversible.kernels import (
    arc_cosine_kernel,
    layer_kernels,
    neural_tangent_kernel,
    zero_weight_ntk,
    zero_weight_ntk_infinite_width,
)
from ntkng.reversible.metrics import kernel_cosine, linear_cka, percent_loss_change, probe_cosine
from ntkng.reversible.minibatch import mean_contraction, simulate_excess_risk, stationary_excess_risk
from ntkng.reversible.network import RevMLP, Weights
from ntkng.reversible.objective import OBJECTIVES, Objective, accuracy, function_error, loss
from ntkng.reversible.operator import block_operators, fisher_spectrum, generic_operator_trace, operator_ranks
from ntkng.reversible.path import gauss_newton_path
from ntkng.reversible.pseudo_inverse import solve_truncated
from ntkng.reversible.train import Optimiser, Record, Split, gauss_newton, train
from ntkng.reversible.update import Direction, RightInverse, gauss_newton_direction

__all__ = [
    "OBJECTIVES",
    "Direction",
    "Objective",
    "Optimiser",
    "Record",
    "RevMLP",
    "RightInverse",
    "Split",
    "Weights",
    "accuracy",
    "arc_cosine_kernel",
    "block_operators",
    "fisher_spectrum",
    "function_error",
    "gauss_newton",
    "gauss_newton_direction",
    "gauss_newton_path",
    "generic_operator_trace",
    "kernel_cosine",
    "layer_kernels",
    "linear_cka",
    "loss",
    "mean_contraction",
    "neural_tangent_kernel",
    "operator_ranks",
    "percent_loss_change",
    "probe_cosine",
    "simulate_excess_risk",
    "solve_truncated",
    "stationary_excess_risk",
    "train",
    "zero_weight_ntk",
    "zero_weight_ntk_infinite_width",
]
