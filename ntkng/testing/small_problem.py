"""The small problem on which checks run by default."""

from __future__ import annotations

import functools

import numpy as np

from ntkng.multilayer_perceptron import mlp
from ntkng.problem import Problem

SAMPLES, TESTS, INPUTS, OUTPUTS, DEPTH = 4, 16, 8, 2, 3
SIGMA_W, SIGMA_B = 1.5, 0.5


@functools.cache  # one network a width, so that compiled programs are shared by all checks
def small_problem(width: int, activation: str = "erf", sigma_w: float = SIGMA_W, sigma_b: float = SIGMA_B) -> Problem:
    """Four training and 16 test inputs in 8 dimensions, 2 outputs, a three-layer network with biases.

    Every Gram is nonsingular from width 8 on (`M >= N C`, `M_0 >= N`), so that every approximation is defined undamped.
    With ReLU, undamped K-FAC needs wider networks than the others: at width 64 some runs diverge.

    Args:
        width: of the hidden layers.
        activation: as in `ntkng.mlp`; with the smooth `"erf"` deviations from infinite width have whole powers of `1/M`.
        sigma_w: standard deviation of the weights.
        sigma_b: standard deviation of the biases.
    """
    rng = np.random.default_rng(0)
    x, x_test = (rng.normal(size=(n, INPUTS)) for n in (SAMPLES, TESTS))
    y, y_test = (rng.normal(size=(n, OUTPUTS)) for n in (SAMPLES, TESTS))
    network = mlp(
        INPUTS, OUTPUTS, width=width, depth=DEPTH, activation=activation, sigma_w=sigma_w, sigma_b=sigma_b
    )  # fmt: skip
    return Problem(network, x, y, x_test, y_test)
