"""How a failed check speaks: one short table."""

from __future__ import annotations

import os

from ntkng.report import Claim, Report, measured

COLUMNS = ("what", "measured", "bound", "likely cause")
WIDEST = 60


def require(report: Report) -> Report:
    """Raise unless every claim of `report` holds; returns the report.

    Raises:
        AssertionError: with a table of the claims that do not hold: what, measured value with its uncertainty and p-value,
            bound, likely cause.
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    if not report:
        raise AssertionError(failure_text(report))
    return report


def failure_text(report: Report) -> str:
    """The message for a report that does not hold."""
    if not report.claims:
        return f"{report.title}: nothing was checked"
    failures = sorted(report.failures, key=lambda claim: claim.verdict != "fail")
    rows = [_row(claim) for claim in failures]
    widths = [min(WIDEST, max(len(row[i]) for row in [COLUMNS, *rows])) for i in range(3)]
    lines = [f"{report.title}: {len(failures)} of {len(report.claims)} claims do not hold"]
    for row in [COLUMNS, *rows]:
        lines.append(
            "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        )
    lines += [f"  {claim.name}: {claim.statement}" for claim in failures[:3]]
    return os.linesep.join(lines)


def _row(claim: Claim) -> tuple[str, str, str, str]:
    open_ = f"{claim.verdict}: " if claim.verdict != "fail" else ""
    return claim.name, measured(claim), claim.bound, open_ + claim.note
