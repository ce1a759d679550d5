"""Rates from counts: exact binomial intervals, and whether a count is too high for a stated rate."""

from __future__ import annotations

from typing import Any

from ntkng.report import Claim

CHANCE = 0.01  # that a claim about rates fails although every rate is as stated


def interval(count: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of Clopper and Pearson for the rate behind `count` of `trials`."""
    import scipy.stats

    found = scipy.stats.binomtest(count, trials).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def not_above(name: str, count: int, trials: int, stated: float, family: int, statement: str, **details: Any) -> Claim:
    """The rate behind `count` of `trials` is not above `stated`: a one-sided exact binomial test.

    Args:
        name: of the claim.
        count: of events.
        trials: in which they could happen.
        stated: the rate.
        family: number of such claims, which share `CHANCE` by Bonferroni's inequality.
        statement: what is claimed; the interval of 95 % is added.
        **details: as in `Claim`.
    """
    import scipy.stats

    law = scipy.stats.binom(trials, stated)
    most = int(law.isf(CHANCE / family))  # P(X > most) <= CHANCE / family
    low, high = interval(count, trials)
    statement = f"{statement} ({count} of {trials}; 95 % interval {low:.2%} .. {high:.2%})"
    p_value = float(min(1.0, family * law.sf(count - 1)))
    return Claim.below(name, count / trials, (most + 0.5) / trials, statement, p_value=p_value, **details)
