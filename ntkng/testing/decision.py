r"""From an estimate to a verdict: a test with a stated false-alarm rate, and the effect that it can see.

A family of `m` two-sided t tests shares the false-alarm rate `a` by Bonferroni's inequality: each is made at `a / m`, so that
the chance that *any* of them rejects a correct theory is at most `a`, however they are correlated. The family accepts
`|estimate - expected| <= t_{1 - a/2m} SE`. A deviation of size `d` is seen with probability `P` once

    d >= (t_{1 - a/2m} + t_P) SE        (the detectable effect),

and since `SE` falls like `1/sqrt(S)` this gives the number of networks that a wanted effect needs. A test that could not have
seen the wanted effect is not a pass: its verdict is `"undecided"`, with the number of networks that would do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ntkng.report import Claim
from ntkng.statistics import Estimate

FALSE_ALARM = 0.01
POWER = 0.95


def detectable_effect(
    found: Estimate, family: int, false_alarm: float = FALSE_ALARM, power: float = POWER
) -> Float[np.ndarray, "Q"]:
    """The smallest deviation that a test of a family of `family` rejects with probability `power`."""
    import scipy.stats  # slow to import: only where needed

    level, t = check_rate("false_alarm", false_alarm) / (2 * family), scipy.stats.t
    quantiles = t.isf(level, found.degrees) + t.ppf(check_rate("power", power), found.degrees)
    return quantiles * found.standard_error


def required_seeds(
    seeds: int,
    found: Estimate,
    effect: float,
    family: int = 1,
    false_alarm: float = FALSE_ALARM,
    power: float = POWER,
) -> int:
    """Number of networks (in the unit of `seeds`) with which every quantity's detectable effect is at most `effect`.

    Args:
        seeds: number of networks behind `found`, a pilot run; all widths scale in proportion.
        found: of the pilot.
        effect: the deviation that is to be seen.
        family: number of tests that share the false-alarm rate.
        false_alarm: of the whole family.
        power: probability of seeing `effect`.
    """
    if effect <= 0:
        raise ValueError(f"effect must be > 0, got {effect}")
    worst = float(np.max(detectable_effect(found, family, false_alarm, power)))
    return max(2, math.ceil(seeds * (worst / effect) ** 2))


def equality_claims(
    names: Sequence[str],
    found: Estimate,
    statements: Sequence[str],
    *,
    expected: float = 0.0,
    effect: float | Sequence[float] | None,
    family: int,
    false_alarm: float,
    power: float = POWER,
    notes: Sequence[str] = (),
    source: str = "",
) -> list[Claim]:
    """One claim a quantity: the coefficient is `expected`; p-values are adjusted for the family.

    Args:
        names: of the claims.
        found: the estimates, one a name.
        statements: what each claims.
        expected: the theory's value.
        effect: the deviation that a pass must have been able to see, one or one a name; `None` asks for nothing.
        family: number of tests that share the false-alarm rate.
        false_alarm: of the family.
        power: with which `effect` must be visible.
        notes: likely causes, shown where a claim fails.
        source: for the report.
    """
    adjusted = np.minimum(1, family * found.p_values(expected))
    half, critical = found.half_width(), found.half_width(1 - false_alarm / family)
    visible = detectable_effect(found, family, false_alarm, power)
    effects = np.broadcast_to(np.inf if effect is None else np.asarray(effect, float), visible.shape)
    if not (effects > 0).all():
        raise ValueError(f"effect must be > 0, got {effect}; None asks for nothing")
    claims = []
    for i, name in enumerate(names):
        deviation = found.value[i] - expected
        accepted = abs(deviation) <= critical[i]
        details = {"uncertainty": half[i], "p_value": adjusted[i], "source": source}
        statement = (
            f"{statements[i]} (false alarms {false_alarm:g} over {family} tests; sees {visible[i]:.2g} at {power:.0%})"
        )
        if accepted and not visible[i] <= effects[i]:
            factor = (visible[i] / effects[i]) ** 2
            note = f"too few networks to see {effects[i]:g}: {factor:.1f} times as many are needed"
            claims.append(Claim.undecided(name, found.value[i], statement, note, **details))
            continue
        bound = f"in [{expected - critical[i]:.6g}, {expected + critical[i]:.6g}]"
        note = notes[i] if notes and not accepted else ""
        claims.append(Claim.tested(name, found.value[i], accepted, bound, statement, note=note, **details))
    return claims


def check_rate(name: str, value: float) -> float:
    """`value` if it is a probability strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1 (exclusive), got {value}")
    return float(value)
