"""Divergences, variances and Fisher matrices of the outputs where laws are close, far apart or nearly certain."""

import mpmath
import numpy as np
import pytest

from ntkng.families import Bernoulli, Gaussian, Poisson, Softmax
from ntkng.perspectives import Canonical, PoissonIdentityLink, kl_divergence, output_fisher

DIGITS = 700  # e^{-1500} beside 1


def divergence(family, f, other):
    """By the definition, in as many digits as probabilities of `e^{-600}` need."""
    f, other = ([mpmath.mpf(float(entry)) for entry in part] for part in (f, other))
    pairs = list(zip(f, other, strict=True))
    if isinstance(family, Gaussian):
        return sum((a - b) ** 2 for a, b in pairs) / 2
    if isinstance(family, Poisson):
        return sum(mpmath.exp(b) - mpmath.exp(a) * (1 + b - a) for a, b in pairs)
    if isinstance(family, Bernoulli):
        return sum(_classes([0, a], [0, b]) for a, b in pairs)
    return _classes(f, other)


def _classes(f, other):
    total, other_total = (mpmath.log(sum(mpmath.exp(entry) for entry in part)) for part in (f, other))
    return sum(mpmath.exp(a - total) * ((a - total) - (b - other_total)) for a, b in zip(f, other, strict=True))


@pytest.mark.parametrize("family", [Gaussian(), Bernoulli(), Softmax(), Poisson()], ids=repr)
def test_divergences_keep_their_digits(family):
    rng = np.random.default_rng(0)
    with mpmath.workdps(DIGITS):
        for scale in (1e-3, 1.0, 30.0, 300.0):
            for step in (1e-12, 1e-7, 1e-2, 0.6, 3.0, 300.0):
                for shift in (0.0, 1e4) if isinstance(family, Softmax) else (0.0,):
                    f = scale * rng.normal(size=4)
                    other = f + step * rng.normal(size=4) + shift
                    truth = divergence(family, f, other)
                    found = mpmath.mpf(kl_divergence(family, f[None], other[None]))
                    assert found >= 0
                    assert abs(found - truth) <= 1e-12 * truth
    assert kl_divergence(family, f[None], f[None]) == 0


def test_divergences_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"other must have shape \[3, 1\]"):
        kl_divergence(Gaussian(), np.zeros((3, 1)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        kl_divergence(Bernoulli(), np.zeros((1, 1)), np.array([[np.nan]]))
    assert kl_divergence(Gaussian(), np.zeros((3, 1)), np.ones(3)) == 0.5


@pytest.mark.parametrize("z", [-300.0, -40.0, 0.5, 36.0, 300.0])
def test_certain_outputs_keep_their_variance(z):
    truth = np.exp(-abs(z)) / (1 + np.exp(-abs(z))) ** 2
    np.testing.assert_allclose(output_fisher(Canonical(Bernoulli()), np.array([[z]])), [[[truth]]], rtol=1e-13)
    two = np.array([[0.0, z]])
    matrix = truth * np.array([[[1, -1], [-1, 1]]])
    np.testing.assert_allclose(Softmax().variance(two), matrix, rtol=1e-13)
    np.testing.assert_allclose(output_fisher(Canonical(Softmax()), two), matrix, rtol=1e-13)


def test_rare_and_frequent_counts():
    log_rate = np.array([[-600.0, -40.0, 1.0], [9.0, 12.0, 26.0]])
    rate = np.exp(log_rate)
    for likelihood, z, truth in ((Canonical(Poisson()), log_rate, rate), (PoissonIdentityLink(), rate, 1 / rate)):
        found = output_fisher(likelihood, z)
        np.testing.assert_allclose(np.einsum("ncc->nc", found), truth, rtol=1e-10)
    with pytest.raises(ValueError, match=r"counts of mean 2\.35e\+17 cannot be told apart"):
        output_fisher(Canonical(Poisson()), np.array([[40.0]]))


@pytest.mark.parametrize("scale", [50.0, 800.0, 1e300])
def test_losses_at_huge_logits(scale):
    f = scale * np.array([[1.0, 0.0, -1.0]])
    assert Softmax().loss(f, np.eye(3)[[0]]) == pytest.approx(np.exp(-scale), abs=1e-300)
    assert Softmax().loss(f, np.eye(3)[[2]]) == pytest.approx(2 * scale)
    assert Bernoulli().loss(f, np.array([[1, 1, 0]])) == pytest.approx(np.log(2))
    np.testing.assert_allclose(Softmax().residual(f, np.eye(3)[[2]]), [[1.0, 0.0, -1.0]], atol=2 * np.exp(-scale))
    assert Poisson().loss(-np.abs(f), np.array([[0, 2, 0]])) == pytest.approx(1.0)
