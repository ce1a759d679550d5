"""Claims collected in a `Report`, with where they came from."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ntkng.claim import VERDICTS as VERDICTS
from ntkng.claim import Claim as Claim
from ntkng.claim import Verdict as Verdict
from ntkng.claim import measured as measured
from ntkng.files import write_atomically


@dataclasses.dataclass(frozen=True)
class Report:
    """Claims and their provenance. `bool(report)` is true when a claim passed, none failed and none is left open.

    Findings alone are no pass, undecided and ill-posed claims neither.

    Attributes:
        title: what was checked.
        claims: the claims, in the order in which they were made; their names differ.
        provenance: versions, device, dtype, seed, commit, arguments (see `ntkng.provenance`).

    Raises:
        ValueError: two claims of one name, of which one could hide the other.
    """

    title: str
    claims: tuple[Claim, ...] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "claims", tuple(self.claims))
        names = collections.Counter(claim.name for claim in self.claims)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(
                f"{self.title}: {len(twice)} names of claims occur more than once, first {twice[0]!r}; "
                "tell reports apart with report.prefixed(...) before they are put together"
            )

    def __bool__(self) -> bool:
        # a report that checked nothing has shown nothing
        return all(self.claims) and any(claim.verdict == "pass" for claim in self.claims)

    def __getitem__(self, name: str) -> Claim:
        for claim in self.claims:
            if claim.name == name:
                return claim
        raise KeyError(f"no claim {name!r}; there are {[claim.name for claim in self.claims]}")

    def __add__(self, other: Report) -> Report:
        return merge(self.title, (self, other))

    @property
    def failures(self) -> tuple[Claim, ...]:
        """The claims that failed, are undecided or ill-posed."""
        return tuple(claim for claim in self.claims if not claim)

    def prefixed(self, prefix: str) -> Report:
        """The same report with `prefix/` before every claim's name."""
        claims = [dataclasses.replace(claim, name=f"{prefix}/{claim.name}") for claim in self.claims]
        return dataclasses.replace(self, claims=tuple(claims))

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, ready for JSON; numbers that JSON lacks (NaN, infinity) become strings."""
        claims = [{key: _plain(value) for key, value in dataclasses.asdict(c).items()} for c in self.claims]
        return {"title": self.title, "ok": bool(self), "claims": claims, "provenance": _plain(dict(self.provenance))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Inverse of `to_dict`; the provenance comes back as plain lists, numbers and strings."""
        numbers = ("value", "uncertainty", "p_value")
        claims: list[Claim] = []
        for entry in data["claims"]:
            fields: dict[str, Any] = dict(entry)
            fields.update({key: float(fields[key]) for key in numbers if fields.get(key) is not None})
            claims.append(Claim(**fields))
        return cls(data["title"], tuple(claims), data.get("provenance", {}))

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict()` to `path`, atomically."""
        write_atomically(path, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    def to_markdown(self) -> str:
        """A table with one row a claim, and the notes below it."""
        rows = ["| verdict | claim | measured | bound | source |", "|---|---|---|---|---|"]
        notes = []
        for c in self.claims:
            name = _code(c.name)
            cells = (c.verdict, f"{name}: {c.statement}", measured(c), c.bound, c.source)
            rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
            if c.note:
                notes.append("\n  ".join(f"- {name}: {c.note}".splitlines()))
        counts = ", ".join(f"{sum(c.verdict == v for c in self.claims)} {v}" for v in VERDICTS)
        return "\n".join([f"## {_line(self.title)}", "", counts, "", *rows, "", *notes]) + "\n"

    def __repr__(self) -> str:
        lines = [f"Report({self.title!r}: {'ok' if self else 'NOT ok'}, {len(self.claims)} claims)"]
        width = max((len(c.name) for c in self.claims), default=0)
        lines += [f"  {c.verdict:9s} {_line(c.name):{width}s}  {measured(c)}  {_line(c.bound)}" for c in self.claims]
        return "\n".join(lines)


def merge(title: str, reports: Iterable[Report], provenance: Mapping[str, Any] | None = None) -> Report:
    """One report with the claims of all of them.

    Facts on which all agree stay as they are; others become one a report, by its title. `provenance` adds facts, and
    replaces those of its names.

    Raises:
        ValueError: two claims of one name; prefix the reports.
    """
    reports = tuple(reports)
    claims = tuple(claim for report in reports for claim in report.claims)
    facts: dict[str, dict[str, Any]] = {}
    for index, report in enumerate(reports):
        same = sum(other.title == report.title for other in reports[:index])
        for key, value in report.provenance.items():
            facts.setdefault(str(key), {})[f"{report.title} ({same + 1})" if same else report.title] = value
    agreed = {key: _agreed(values) for key, values in facts.items()}
    return Report(title, claims, {**agreed, **(provenance or {})})


def _agreed(values: dict[str, Any]) -> Any:
    first, *others = values.values()
    return first if all(_plain(other) == _plain(first) for other in others) else values


def _plain(value: Any) -> Any:
    """What JSON can hold: NumPy's and JAX's numbers and arrays become Python's numbers and lists."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if hasattr(value, "tolist") and type(value.tolist()) is not type(value):  # arrays, and numbers of NumPy and JAX
        return _plain(value.tolist())
    if hasattr(value, "__float__"):
        return float(value) if math.isfinite(value) else str(float(value))
    return str(value)


def _line(text: str) -> str:
    """The text on one line."""
    return " ".join(text.splitlines())


def _cell(text: str) -> str:
    """The text as one cell of a Markdown table: a pipe is escaped, and so is a backslash before it."""
    return re.sub(r"(\\*)\|", lambda found: 2 * found[1] + "\\|", _line(text))


def _code(text: str) -> str:
    """The text as Markdown code, fenced by more backticks than are in it."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"
