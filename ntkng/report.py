"""Claims with measured values, bounds and verdicts, collected in a `Report`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from ntkng.files import write_atomically

Verdict = Literal["pass", "fail", "ill-posed", "finding"]
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "ill-posed", "finding")


@dataclasses.dataclass(frozen=True)
class Claim:
    """One statement that can be wrong, with what was measured.

    Build one with `Claim.below`, `Claim.above`, `Claim.within`, `Claim.holds`, `Claim.ill_posed` or `Claim.finding`
    rather than directly: they decide the verdict from the value, and a value that is not finite never passes.

    Attributes:
        name: short and unique inside its report, such as `"alpha/KFAC"`.
        statement: what is claimed, one sentence.
        value: the measured number.
        bound: the bound in words, such as `"< 0.03"`.
        verdict: `"pass"`, `"fail"`, `"ill-posed"` (the question has no stable answer, see `note`) or `"finding"`
            (measured and reported, nothing claimed).
        uncertainty: half-width of the 95 % confidence interval of `value`, if it is an estimate.
        p_value: of the test behind the verdict, if there is one.
        source: paper and equation, section or figure.
        note: the likely cause of a failure, or what was not reproduced.
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
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {VERDICTS}, got {self.verdict!r}")

    def __bool__(self) -> bool:
        return self.verdict in ("pass", "finding")

    @classmethod
    def below(cls, name: str, value: float, bound: float, statement: str, **details: Any) -> Claim:
        """`value < bound`."""
        value = float(value)
        return cls(name, statement, value, f"< {bound:.4g}", _verdict(value < bound), **details)

    @classmethod
    def above(cls, name: str, value: float, bound: float, statement: str, **details: Any) -> Claim:
        """`value > bound`."""
        value = float(value)
        ok = math.isfinite(value) and value > bound
        return cls(name, statement, value, f"> {bound:.4g}", _verdict(ok), **details)

    @classmethod
    def within(cls, name: str, value: float, low: float, high: float, statement: str, **details: Any) -> Claim:
        """`low <= value <= high`."""
        if not low <= high:
            raise ValueError(f"expected low <= high, got low={low}, high={high}; swap them")
        value = float(value)
        return cls(name, statement, value, f"in [{low:.6g}, {high:.6g}]", _verdict(low <= value <= high), **details)

    @classmethod
    def holds(cls, name: str, condition: bool, statement: str, **details: Any) -> Claim:
        """A yes-or-no statement; its value is 1 or 0."""
        return cls(name, statement, float(bool(condition)), "true", _verdict(bool(condition)), **details)

    @classmethod
    def ill_posed(cls, name: str, value: float, statement: str, note: str, **details: Any) -> Claim:
        """Nothing can be decided; `note` must say why (condition number, spectral radius, ...)."""
        if not note:
            raise ValueError("an ill-posed claim needs a note that says why")
        return cls(name, statement, float(value), "-", "ill-posed", note=note, **details)

    @classmethod
    def finding(cls, name: str, value: float, statement: str, **details: Any) -> Claim:
        """A measured value that is reported without a bound; it neither passes nor fails."""
        return cls(name, statement, float(value), "-", "finding", **details)


def _verdict(ok: bool) -> Verdict:
    return "pass" if ok else "fail"


@dataclasses.dataclass(frozen=True)
class Report:
    """Claims and their provenance. `bool(report)` is true when no claim failed and none is ill-posed.

    Attributes:
        title: what was checked.
        claims: the claims, in the order in which they were made.
        provenance: versions, device, dtype, seed, commit, arguments (see `ntkng.provenance`).
    """

    title: str
    claims: tuple[Claim, ...] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "claims", tuple(self.claims))

    def __bool__(self) -> bool:
        if not self.claims:
            return False  # a report that checked nothing has shown nothing
        return all(self.claims)

    def __getitem__(self, name: str) -> Claim:
        for claim in self.claims:
            if claim.name == name:
                return claim
        raise KeyError(f"no claim {name!r}; there are {[claim.name for claim in self.claims]}")

    def __add__(self, other: Report) -> Report:
        return Report(self.title, self.claims + other.claims, {**other.provenance, **self.provenance})

    @property
    def failures(self) -> tuple[Claim, ...]:
        """The claims that failed or are ill-posed."""
        return tuple(claim for claim in self.claims if not claim)

    def prefixed(self, prefix: str) -> Report:
        """The same report with `prefix/` before every claim's name."""
        claims = [dataclasses.replace(claim, name=f"{prefix}/{claim.name}") for claim in self.claims]
        return dataclasses.replace(self, claims=tuple(claims))

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, ready for JSON; numbers that JSON lacks become strings."""
        claims = [{key: _plain(value) for key, value in dataclasses.asdict(c).items()} for c in self.claims]
        return {"title": self.title, "ok": bool(self), "claims": claims, "provenance": _plain(dict(self.provenance))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Inverse of `to_dict`."""
        claims = [Claim(**{**c, "value": float(c["value"])}) for c in data["claims"]]
        return cls(data["title"], tuple(claims), data.get("provenance", {}))

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict()` to `path`, atomically."""
        write_atomically(path, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    def to_markdown(self) -> str:
        """A table with one row a claim, and the notes below it."""
        rows = ["| verdict | claim | measured | bound | source |", "|---|---|---|---|---|"]
        notes = []
        for c in self.claims:
            name = c.name.replace("|", "\\|")
            statement = c.statement.replace("|", "\\|")
            rows.append(f"| {c.verdict} | `{name}`: {statement} | {measured(c)} | {c.bound} | {c.source} |")
            if c.note:
                notes.append(f"- `{name}`: {c.note}")
        counts = ", ".join(f"{sum(c.verdict == v for c in self.claims)} {v}" for v in VERDICTS)
        return "\n".join([f"## {self.title}", "", counts, "", *rows, "", *notes]) + "\n"

    def __repr__(self) -> str:
        lines = [f"Report({self.title!r}: {'ok' if self else 'NOT ok'}, {len(self.claims)} claims)"]
        width = max((len(c.name) for c in self.claims), default=0)
        lines += [f"  {c.verdict:9s} {c.name:{width}s}  {measured(c)}  {c.bound}" for c in self.claims]
        return "\n".join(lines)


def measured(claim: Claim) -> str:
    """The value with its uncertainty and p-value, as text."""
    text = f"{claim.value:.4g}"
    if claim.uncertainty is not None:
        text += f" ± {claim.uncertainty:.2g}"
    if claim.p_value is not None:
        text += f" (p = {claim.p_value:.2g})"
    return text


def merge(title: str, reports: Iterable[Report], provenance: Mapping[str, Any] | None = None) -> Report:
    """One report with the claims of all of them."""
    reports = tuple(reports)
    claims = tuple(claim for report in reports for claim in report.claims)
    return Report(title, claims, provenance if provenance is not None else (reports[0].provenance if reports else {}))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float) or hasattr(value, "__float__"):
        return float(value) if math.isfinite(float(value)) else str(float(value))
    return str(value)
