"""One statement with a measured value, a bound and a verdict.

A value that is known up to a 95 % interval decides with all of it: it passes where the whole interval is within the bound,
fails where none of it is, and is `undecided` where the bound lies inside. The half-width of a mean over `n` networks falls like
`1/sqrt(n)`, so that `(half-width / distance to the bound)^2` times as many networks decide; the note says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import Any, Literal

import numpy as np

Verdict = Literal["pass", "fail", "undecided", "ill-posed", "finding"]
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "undecided", "ill-posed", "finding")


@dataclasses.dataclass(frozen=True)
class Claim:
    """One statement that can be wrong, with what was measured.

    Build one with `Claim.below`, `Claim.above`, `Claim.within`, `Claim.holds`, `Claim.tested`, `Claim.undecided`,
    `Claim.ill_posed` or `Claim.finding` rather than directly: they decide the verdict from the value and its uncertainty.

    Attributes:
        name: short and unique inside its report, such as `"alpha/KFAC"`.
        statement: what is claimed, one sentence.
        value: the measured number.
        bound: the bound in words, such as `"< 0.03"`.
        verdict: `"pass"`, `"fail"`, `"undecided"` (more data would tell, see `note`), `"ill-posed"` (the question has no
            stable answer, see `note`) or `"finding"` (measured and reported, nothing claimed).
        uncertainty: half-width of the 95 % confidence interval of `value`, if it is an estimate.
        p_value: of the test behind the verdict, if there is one.
        source: paper and equation, section or figure.
        note: the likely cause of a failure, what would decide, or what was not reproduced.

    Raises:
        TypeError: a value, uncertainty or p-value that is not one number.
        ValueError: an unknown verdict, a pass whose value is not finite, or an uncertainty that is negative, or NaN beside a
            finite value.
    """

    name: str
    statement: str
    value: float
    bound: str
    verdict: Verdict
    uncertainty: float | None = None
    p_value: float | None = None
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _number("value", self.value))
        object.__setattr__(self, "uncertainty", _half_width(self.uncertainty, self.value))
        object.__setattr__(self, "p_value", None if self.p_value is None else _number("p_value", self.p_value))
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {VERDICTS}, got {self.verdict!r}")
        if self.verdict == "pass" and not math.isfinite(self.value):
            raise ValueError(
                f"{self.name}: a value that is not finite never passes, got {self.value}; use Claim.below, .."
            )

    def __bool__(self) -> bool:
        return self.verdict in ("pass", "finding")

    @classmethod
    def below(cls, name: str, value: float, bound: float, statement: str, **details: Any) -> Claim:
        """`value < bound`."""
        return cls._decided(name, value, (-math.inf, bound), True, f"< {bound:.4g}", statement, details)

    @classmethod
    def above(cls, name: str, value: float, bound: float, statement: str, **details: Any) -> Claim:
        """`value > bound`."""
        return cls._decided(name, value, (bound, math.inf), True, f"> {bound:.4g}", statement, details)

    @classmethod
    def within(cls, name: str, value: float, low: float, high: float, statement: str, **details: Any) -> Claim:
        """`low <= value <= high`."""
        if not low <= high:
            raise ValueError(f"expected low <= high, got low={low}, high={high}; swap them")
        return cls._decided(name, value, (low, high), False, f"in [{low:.6g}, {high:.6g}]", statement, details)

    @classmethod
    def holds(cls, name: str, condition: bool, statement: str, **details: Any) -> Claim:
        """A yes-or-no statement; its value is 1 or 0. A number that is not finite is neither, and fails."""
        value = _number("condition", condition)
        value = float(bool(value)) if math.isfinite(value) else value
        return cls(name, statement, value, "true", "pass" if value == 1 else "fail", **details)

    @classmethod
    def tested(
        cls, name: str, value: float, accepted: bool, bound: str, statement: str, *, p_value: float, **details: Any
    ) -> Claim:
        """The verdict of a statistical test, whose bound has the critical value in it; the interval does not decide again."""
        value = _number("value", value)
        verdict = "pass" if bool(accepted) and math.isfinite(value) else "fail"
        return cls(name, statement, value, bound, verdict, p_value=p_value, **details)

    @classmethod
    def undecided(cls, name: str, value: float, statement: str, note: str, bound: str = "-", **details: Any) -> Claim:
        """The data cannot tell; `note` must say what would (more networks, larger widths, ...)."""
        if not note:
            raise ValueError("an undecided claim needs a note that says what would decide it")
        return cls(name, statement, value, bound, "undecided", note=note, **details)

    @classmethod
    def ill_posed(cls, name: str, value: float, statement: str, note: str, **details: Any) -> Claim:
        """Nothing can be decided; `note` must say why (condition number, spectral radius, ...)."""
        if not note:
            raise ValueError("an ill-posed claim needs a note that says why")
        return cls(name, statement, value, "-", "ill-posed", note=note, **details)

    @classmethod
    def finding(cls, name: str, value: float, statement: str, **details: Any) -> Claim:
        """A measured value that is reported without a bound; it neither passes nor fails."""
        return cls(name, statement, value, "-", "finding", **details)

    @classmethod
    def _decided(
        cls, name: str, value: Any, region: tuple[float, float], strict: bool, bound: str, statement: str, details: Any
    ) -> Claim:
        """The verdict of the interval `value ± uncertainty` on a region, an open one if `strict`."""
        value = _number("value", value)
        half = _half_width(details.get("uncertainty"), value) or 0.0
        low, high = (float(end) for end in region)

        def below(one: float, other: float) -> bool:
            return one < other if strict else one <= other

        verdict: Verdict = "fail"
        if math.isfinite(value) and below(low, value + half) and below(value - half, high):
            verdict = "undecided"
            if math.isfinite(half) and below(low, value - half) and below(value + half, high):
                verdict = "pass"
        if verdict == "undecided":
            gap = min(abs(value - low), abs(value - high))
            said = [details["note"]] if details.get("note") else []
            details = {**details, "note": "; ".join([*said, _what_would_decide(value, half, gap)])}
        return cls(name, statement, value, bound, verdict, **details)


def measured(claim: Claim) -> str:
    """The value with its uncertainty and p-value, as text."""
    text = f"{claim.value:.4g}"
    if claim.uncertainty is not None:
        text += f" ± {claim.uncertainty:.2g}"
    if claim.p_value is not None:
        text += f" (p = {claim.p_value:.2g})"
    return text


def _what_would_decide(value: float, half: float, gap: float) -> str:
    crosses = f"the 95 % interval {value - half:.4g} .. {value + half:.4g} crosses the bound"
    if not math.isfinite(half):
        return f"{crosses}: more networks are needed for any interval"
    if half == 0 or gap == 0 or not math.isfinite(half / gap):
        return f"{crosses}, and the value lies on it: no number of networks is sure to decide"
    return f"{crosses}: about {(half / gap) ** 2:.2g} times as many networks decide, as it shrinks like 1/sqrt(n)"


def _half_width(value: Any, of: float) -> float | None:
    """An uncertainty, checked; NaN belongs to an estimate that is itself not finite."""
    if value is None:
        return None
    half = _number("uncertainty", value)
    if half >= 0 or (math.isnan(half) and not math.isfinite(of)):
        return half
    raise ValueError(
        f"uncertainty must be a half-width >= 0, got {half} for the value {of}; use None where there is none"
    )


def _number(name: str, value: Any) -> float:
    """One real number (or truth value) as a float; masked is NaN, text is no number."""
    array = np.ma.filled(value.astype(float), np.nan) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    if array.size == 1 and array.dtype.kind not in "SUcmM" and value is not None:
        with contextlib.suppress(TypeError, ValueError):
            return float(array.astype(float).reshape(()))
    raise TypeError(
        f"{name} must be one real number, got {value!r} of type {type(value).__name__}; "
        "reduce arrays to a number, with .max() or .all() for example"
    )
