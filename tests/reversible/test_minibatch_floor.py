import numpy as np
import pytest

from ntkng.reversible import mean_contraction, simulate_excess_risk, stationary_excess_risk


@pytest.mark.parametrize(("features", "batch", "rate"), [(12, 5, 0.3), (12, 20, 0.3), (8, 16, 0.9)])
def test_floor_against_simulation(features, batch, rate):
    rng = np.random.default_rng(0)
    path = simulate_excess_risk(rng, features, batch, rate, 0.7, steps=90, chains=2500)
    final = path[-30:].mean(0)
    theory = stationary_excess_risk(features, batch, rate, 0.7)
    z = (final.mean() - theory) / (final.std(ddof=1) / np.sqrt(len(final)))
    assert abs(z) < 4
    wrong = stationary_excess_risk(features, batch, 1.1 * rate, 0.7)
    assert abs(final.mean() - wrong) / (final.std(ddof=1) / np.sqrt(len(final))) > 4


@pytest.mark.parametrize(("features", "batch", "rate"), [(12, 5, 0.3), (12, 20, 0.3)])
def test_contraction(features, batch, rate):
    """Without noise; the expectation of one step by Monte Carlo over batches, dense pseudo-inverses."""
    rng, error, found = np.random.default_rng(1), np.ones(features), []
    for _ in range(4000):
        x = rng.standard_normal((batch, features))
        found.append(np.sum((error - rate * np.linalg.pinv(x) @ (x @ error)) ** 2) / features)
    z = (np.mean(found) - mean_contraction(features, batch, rate)) / max(np.std(found) / np.sqrt(len(found)), 1e-12)
    assert abs(z) < 4


@pytest.mark.parametrize("arguments", [(10, 10, 0.3, 1.0), (10, 11, 0.3, 1.0), (10, 5, 2.0, 1.0), (10, 5, 0.3, -1.0)])
def test_conditions(arguments):
    with pytest.raises(ValueError, match="expected"):
        stationary_excess_risk(*arguments)
