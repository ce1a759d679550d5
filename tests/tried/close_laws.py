"""Kullback-Leibler divergences of close and of far laws."""

import mpmath
import numpy as np
from tried.row import Row

from ntkng.families import Bernoulli, Poisson, Softmax
from ntkng.perspectives import kl_divergence

DIGITS = 500


def divergence(family, f, other):
    """By the definition."""
    if isinstance(family, Poisson):
        return sum(mpmath.exp(b) - mpmath.exp(a) * (1 + b - a) for a, b in zip(f, other, strict=True))
    if isinstance(family, Bernoulli):
        return sum(_classes([0, a], [0, b]) for a, b in zip(f, other, strict=True))
    return _classes(f, other)


def _classes(f, other):
    total, other_total = (mpmath.log(sum(mpmath.exp(entry) for entry in part)) for part in (f, other))
    return sum(mpmath.exp(a - total) * ((a - total) - (b - other_total)) for a, b in zip(f, other, strict=True))


def rows():
    """Three families, from one part in 1e12 to hundreds."""
    found = []
    with mpmath.workdps(DIGITS):
        for family in (Bernoulli(), Softmax(), Poisson()):
            rng, worst = np.random.default_rng(1), 0.0
            for scale in (1e-2, 10.0, 200.0):
                for step in (1e-12, 1e-6, 1e-2, 1.0, 100.0):
                    f = scale * rng.normal(size=3)
                    other = f + step * rng.normal(size=3)
                    truth = divergence(family, *([mpmath.mpf(float(entry)) for entry in part] for part in (f, other)))
                    worst = max(worst, abs(float(kl_divergence(family, f[None], other[None]) / truth - 1)))
            what = f"`kl_divergence`, {type(family).__name__}"
            found.append(
                Row(
                    what, "logits of 1e-2 to 200, changes of 1e-12 to 100", "the definition in 500 digits", worst, 1e-12
                )
            )
    return found
