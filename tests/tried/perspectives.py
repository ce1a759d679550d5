"""Quadratic iterations, trust regions and the streaming Fisher at the ends of their ranges."""

from fractions import Fraction

import mpmath as mp
import numpy as np
from tried.row import Row

from ntkng.perspectives import StochasticQuadratic, StreamingLogistic, averaged_risk, trust_region_step


def rows():
    """One row a kind."""
    return [
        Row("averaged risk", "steps alpha lam = 1e-17 .. 2 - 1e-9, k = 2 .. 70", "exact fractions", _averaged(), 1e-10),
        Row("Fisher of a steep logistic", "norm 1e-3 .. 1e6", "mpmath quadrature, 30 digits", _streaming(), 1e-10),
        Row(
            "trust region near the hard case",
            "lowest part of the gradient 2e-13 .. 1e-2",
            "secular equation in mpmath, 60 digits",
            _secular(),
            1e-8,
        ),
    ]


def _averaged():
    one = np.ones((1, 1))
    mode = StochasticQuadratic(hessian=one, noise=one, error=np.ones(1), preconditioner=one)
    worst = 0.0
    for alpha in (1e-17, 1e-8, 1e-4, 1e-2, 0.3, 1.5, 2 - 1e-9):
        for k in (2, 9, 70):
            factor = 1 - Fraction(alpha)
            truth = float(sum((1 - factor**m) ** 2 for m in range(1, k)) / k**2 / 2)
            worst = max(worst, abs(averaged_risk(mode, alpha, [k]).variance[0] / truth - 1))
    return worst


def _streaming():
    worst = 0.0
    for length in (1e-3, 1.0, 30.0, 1e6):
        found = np.diag(StreamingLogistic(np.array([length, 0.0])).fisher)
        with mp.workdps(30):
            for value, power in zip(found, (2, 0), strict=True):
                worst = max(worst, abs(float(value / _slope(length, power) - 1)))
    return worst


def _slope(length, power):
    """`E g^power sigma'(l g)` by Gauss-Legendre pieces in `t = l g`."""
    ends = sorted({0, *(x * length for x in (1, 3, 12) if x * length < 100), *((5, 20, 100) if length > 1 else ())})

    def density(t):
        return (t / length) ** power / (2 + 2 * mp.cosh(t)) * mp.exp(-((t / length) ** 2) / 2)

    return 2 * mp.quad(density, ends) / length / mp.sqrt(2 * mp.pi)


def _secular():
    worst = 0.0
    for small in (1e-2, 1e-6, 1e-9, 1e-12, 2e-13):
        step, _ = trust_region_step(np.diag([-1.0, 1.0]), np.array([small, 1.0]), 10.0)
        with mp.workdps(60):
            mu = mp.mpf(small) / 10
            for _ in range(60):  # (c / mu)^2 + 1 / (2 + mu)^2 = r^2 as a contraction
                mu = small / mp.sqrt(100 - 1 / (2 + mu) ** 2)
            truth = np.array([float(-small / mu), float(-1 / (2 + mu))])
        worst = max(worst, np.abs(step - truth).max() / 10)
    return worst
