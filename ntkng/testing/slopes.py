r"""How a deviation falls with the width: the exponent of a power law, with its interval.

`log e` is fitted by `log c + s log M + b M^{-correction}`: the last term is the leading correction at a finite width, without
which the slope between two widths is no estimate of the exponent. Claimed is `s <= exponent` (falls at least as fast). The
test is one-sided at the stated false-alarm rate: it rejects when the lower confidence limit of `s` is above `exponent`.
Where the data do not tell `s` from `excluded` (0: does not fall at all) either, nothing has been shown and the verdict is
`"undecided"`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ntkng.report import Claim, Report
from ntkng.statistics import Estimate
from ntkng.testing.decision import FALSE_ALARM, check_rate
from ntkng.testing.failure import require
from ntkng.testing.fit import exponent as fit_exponent

Errors = Mapping[int, Float[np.ndarray, "S"] | Float[np.ndarray, "S Q"]]


def assert_width_slope(
    errors: Errors,
    exponent: float = -0.5,
    *,
    correction: float | None = 0.5,
    excluded: float | None = None,
    false_alarm: float = FALSE_ALARM,
    name: str = "error",
) -> Report:
    """Assert that `errors` fall with the width at least like `M^exponent` (see the module).

    Args:
        errors: by width, one positive value a network (such as `ntkng.compare.worst_distance`), or one row a network and
            one column a quantity: then each column has a claim, and they share the false-alarm rate.
        exponent: -1/2 for single networks against the theory of infinite width.
        correction: power of `1/M` of the leading finite-width correction: 1/2 with a kink, 1 for smooth activations;
            `None` takes the plain slope, for widths that are known to be large.
        excluded: an exponent that the data must rule out for a pass; `None` takes 0 (does not fall), or
            `exponent + 1/2` for exponents that are not negative.
        false_alarm: chance that a correct theory fails, over all columns together.
        name: of the claim; a column's number follows where there are several.

    Returns:
        The report.

    Raises:
        AssertionError: the errors fall too slowly, or the data cannot tell.
        ValueError: errors that are not positive and finite, too few widths or networks.
    """
    __tracebackhide__ = True
    return require(
        slope_report(errors, exponent, correction=correction, excluded=excluded, false_alarm=false_alarm, name=name)
    )


def slope_report(
    errors: Errors,
    exponent: float = -0.5,
    *,
    correction: float | None = 0.5,
    excluded: float | None = None,
    false_alarm: float = FALSE_ALARM,
    name: str = "error",
) -> Report:
    """The claim behind `assert_width_slope`."""
    values = {width: np.asarray(sample, float) for width, sample in errors.items()}
    if not all(np.isfinite(v).all() and (v > 0).all() for v in values.values()):
        raise ValueError("a power law needs finite errors > 0; check for diverged runs or exact zeros")
    found = fit_exponent({width: np.log(v) for width, v in values.items()}, correction)
    if excluded is None:
        excluded = 0.0 if exponent < 0 else exponent + 0.5
    count, level = len(found.value), check_rate("false_alarm", false_alarm)
    claims = [
        slope_claim(
            name if count == 1 else f"{name}/{column}",
            Estimate(found.value[column], found.standard_error[column], found.degrees[column]),
            exponent, excluded, level / count,
        )
        for column in range(count)
    ]  # fmt: skip
    networks = {width: len(v) for width, v in values.items()}
    return Report(f"{name} falls like M^{exponent:g}", tuple(claims), {"networks": networks})


def slope_claim(name: str, found: Estimate, exponent: float, excluded: float, false_alarm: float) -> Claim:
    """`s <= exponent`, and told from `excluded > exponent`."""
    import scipy.stats  # slow to import: only where needed

    reach = float(scipy.stats.t.isf(false_alarm, found.degrees)) * found.standard_error
    p_value = float(scipy.stats.t.sf((found.value - exponent) / found.standard_error, found.degrees))
    statement = f"falls at least like M^{exponent:g} (false alarms {false_alarm:g})"
    details = {"uncertainty": found.half_width(), "p_value": p_value}
    holds = found.value - reach <= exponent
    if holds and not found.value + reach < excluded:
        note = f"too few networks or widths to tell M^{exponent:g} from M^{excluded:g}: use more of them"
        return Claim.undecided(name, found.value, statement, note, **details)
    note = "" if holds else "a floor: an error that does not vanish with the width, as a wrong theory leaves it"
    return Claim.tested(name, found.value, holds, f"< {exponent + reach:.4g}", statement, note=note, **details)
