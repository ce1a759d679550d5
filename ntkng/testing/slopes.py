r"""How a deviation falls with the width: the exponent of a power law, with its interval.

`log e` is fitted by `log c + s log M + b M^{-correction}`: the last term is the leading correction at a finite width, without
which the slope between two widths is no estimate of the exponent. Claimed is `s <= exponent` (falls at least as fast). The
test is one-sided at the stated false-alarm rate: it rejects when the lower confidence limit of `s` is above `exponent`.
Where the data do not tell `s` from `excluded` (0: does not fall at all) either, nothing has been shown and the verdict is
`"ill-posed"`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ntkng.report import Claim, Report
from ntkng.testing.decision import FALSE_ALARM, check_rate
from ntkng.testing.failure import require
from ntkng.testing.fit import Coefficients
from ntkng.testing.fit import exponent as fit_exponent

Errors = Mapping[int, Float[np.ndarray, "S"]]


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
        errors: by width, one positive value a network (such as `ntkng.compare.worst_distance`).
        exponent: -1/2 for single networks against the theory of infinite width.
        correction: power of `1/M` of the leading finite-width correction: 1/2 with a kink, 1 for smooth activations;
            `None` takes the plain slope, for widths that are known to be large.
        excluded: an exponent that the data must rule out for a pass; `None` takes 0 (does not fall), or
            `exponent + 1/2` for exponents that are not negative.
        false_alarm: chance that a correct theory fails.
        name: of the claim.

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
    values = {width: np.asarray(sample, float).reshape(len(sample), -1)[:, :1] for width, sample in errors.items()}
    if not all(np.isfinite(v).all() and (v > 0).all() for v in values.values()):
        raise ValueError("a power law needs finite errors > 0; check for diverged runs or exact zeros")
    found = fit_exponent({width: np.log(v) for width, v in values.items()}, correction)
    if excluded is None:
        excluded = 0.0 if exponent < 0 else exponent + 0.5
    claim = slope_claim(name, found, exponent, excluded, check_rate("false_alarm", false_alarm))
    return Report(f"{name} falls like M^{exponent:g}", (claim,), {"networks": {w: len(v) for w, v in values.items()}})


def slope_claim(name: str, found: Coefficients, exponent: float, excluded: float, false_alarm: float) -> Claim:
    """`s <= exponent`, and told from `excluded > exponent`."""
    import scipy.stats  # slow to import: only where needed

    value, error, degrees = (float(a[0]) for a in (found.value, found.standard_error, found.degrees))
    reach = float(scipy.stats.t.isf(false_alarm, degrees)) * error
    p_value = float(scipy.stats.t.sf((value - exponent) / error, degrees))
    statement = f"falls at least like M^{exponent:g} (false alarms {false_alarm:g})"
    details = {"uncertainty": float(found.half_width()[0]), "p_value": p_value}
    if value - reach <= exponent and value + reach >= excluded:
        note = f"too few networks or widths to tell M^{exponent:g} from M^{excluded:g}: use more of them"
        return Claim.ill_posed(name, value, statement, note, **details)
    holds = value - reach <= exponent
    note = "" if holds else "a floor: an error that does not vanish with the width, as a wrong theory leaves it"
    return Claim.below(name, value, exponent + reach, statement, note=note, **details)
