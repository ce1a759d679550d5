"""Closed forms and measurements for "New insights and perspectives on the natural gradient method" (Martens 2020)."""

from ntkng.perspectives.constant_step import (
    averaged_asymptote,
    averaged_bias_asymptote,
    averaged_bias_bounds,
    averaged_risk,
    constant_step_floor,
    constant_step_risk,
)
from ntkng.perspectives.empirical_fisher import (
    cycle_amplitude,
    cycle_multiplier,
    empirical_fisher_direction,
    power_orbit,
)
from ntkng.perspectives.harmonic_step import (
    efficient_risk,
    harmonic_step_constant,
    harmonic_step_exponent,
    harmonic_step_risk,
)
from ntkng.perspectives.invariance import (
    ChangeOfParameters,
    discrepancy,
    euler,
    flow_discrepancy,
    leading_discrepancy,
    midpoint,
    velocity,
)
from ntkng.perspectives.likelihood import Canonical, Likelihood, PoissonIdentityLink, output_fisher
from ntkng.perspectives.metrics import (
    Metric,
    damped,
    empirical_fisher_metric,
    fisher_metric,
    gauss_newton_metric,
    hessian_metric,
    identity_metric,
    transforming_damping,
)
from ntkng.perspectives.objective import Objective, relative_difference
from ntkng.perspectives.quadratic import Modes, Risk, StochasticQuadratic
from ntkng.perspectives.simulation import RiskSamples, agreement, simulate_quadratic
from ntkng.perspectives.streaming import StreamingLogistic
from ntkng.perspectives.trust_region import (
    damped_step,
    kl_ball_step,
    kl_divergence,
    mode_rates,
    step_length,
    trust_region_step,
)

__all__ = [
    "Canonical",
    "ChangeOfParameters",
    "Likelihood",
    "Metric",
    "Modes",
    "Objective",
    "PoissonIdentityLink",
    "Risk",
    "RiskSamples",
    "StochasticQuadratic",
    "StreamingLogistic",
    "agreement",
    "averaged_asymptote",
    "averaged_bias_asymptote",
    "averaged_bias_bounds",
    "averaged_risk",
    "constant_step_floor",
    "constant_step_risk",
    "cycle_amplitude",
    "cycle_multiplier",
    "damped",
    "damped_step",
    "discrepancy",
    "efficient_risk",
    "empirical_fisher_direction",
    "empirical_fisher_metric",
    "euler",
    "fisher_metric",
    "flow_discrepancy",
    "gauss_newton_metric",
    "harmonic_step_constant",
    "harmonic_step_exponent",
    "harmonic_step_risk",
    "hessian_metric",
    "identity_metric",
    "kl_ball_step",
    "kl_divergence",
    "leading_discrepancy",
    "midpoint",
    "mode_rates",
    "output_fisher",
    "power_orbit",
    "relative_difference",
    "simulate_quadratic",
    "step_length",
    "transforming_damping",
    "trust_region_step",
    "velocity",
]
