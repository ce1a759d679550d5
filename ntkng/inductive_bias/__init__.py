"""Inductive bias of natural gradient flow against gradient flow (Kerekes, Mészáros and Huszár 2021)."""

from ntkng.direction import angle
from ntkng.inductive_bias.differentiable import DifferentiableModel
from ntkng.inductive_bias.high_dimensional import direction_error, interpolation_cosine, interpolation_error
from ntkng.inductive_bias.interpolating import interpolating_direction, interpolating_flow, interpolating_weights
from ntkng.inductive_bias.legendre import gradient_law, legendre_flow
from ntkng.inductive_bias.limit_direction import Asymptote, TiedProgrammeError, asymptote, limit_direction
from ntkng.inductive_bias.logistic import LogisticProblem
from ntkng.inductive_bias.matrix_completion import MatrixCompletion
from ntkng.inductive_bias.max_margin import l1_max_margin, l2_max_margin, stationarity_angle
from ntkng.inductive_bias.normalised_flow import NormalisedPath, normalised_gradient_flow
from ntkng.inductive_bias.parameter_flow import GradientFlow, NaturalGradientFlow
from ntkng.inductive_bias.parametrisation import DeepLinear, DiagonalLinear, LinearParametrisation, Model

__all__ = [
    "Asymptote", "DeepLinear", "DiagonalLinear", "DifferentiableModel", "GradientFlow", "LinearParametrisation",
    "LogisticProblem", "MatrixCompletion", "Model", "NaturalGradientFlow", "NormalisedPath", "TiedProgrammeError",
    "angle", "asymptote", "direction_error", "gradient_law", "interpolating_direction", "interpolating_flow",
    "interpolating_weights", "interpolation_cosine", "interpolation_error", "l1_max_margin", "l2_max_margin",
    "legendre_flow", "limit_direction", "normalised_gradient_flow", "stationarity_angle",
]  # fmt: skip
