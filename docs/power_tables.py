"""The tables of `pages/what_a_pass_means.md`, from the committed report of the run: `python docs/power_tables.py`.

It rewrites what stands between the page's markers; a test compares.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from markers import fill

from analyses.binomial import interval
from ntkng.report import Claim, Report

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "pages" / "what_a_pass_means.md"
REPORT = ROOT / "figures" / "gallery" / "power" / "full.json"
COUNTS = re.compile(r"(\d+) of (\d+); 95 % interval ([\d.]+) ?% \.\. ([\d.]+) ?%")


def load() -> Report:
    """The committed report of `python -m paper_repro --paper power --full`."""
    return Report.from_dict(json.loads(REPORT.read_text()))


def claims(report: Report, part: str) -> list[tuple[list[str], Claim]]:
    """Claims whose name has `part` as its third level, with the levels below it."""
    found = [(claim.name.split("/"), claim) for claim in report.claims]
    return [(levels[3:], claim) for levels, claim in found if levels[2] == part]


def counts(claim: Claim) -> tuple[int, int, str]:
    """Events, trials and interval of a claim about a rate."""
    found = COUNTS.search(claim.statement)
    if found is None:
        raise ValueError(f"no counts in the claim {claim.name!r}: {claim.statement}")
    return int(found[1]), int(found[2]), f"{float(found[3]):.1f} .. {float(found[4]):.1f} %"


def false_alarms(report: Report) -> str:
    """One row a check and approximation."""
    rows = ["| check | approximation | clean runs | failed | 95 % interval |", "|---|---|---|---|---|"]
    for levels, claim in claims(report, "false alarms"):
        count, trials, interval = counts(claim)
        check, name = levels if len(levels) == 2 else ("**all together**", "")
        rows.append(f"| {check} | {'' if name == check else name} | {trials} | {count} | {interval} |")
    return "\n".join(rows)


def smallest_errors(report: Report) -> str:
    """One row an approximation and largest width, one column a number of networks."""
    table: dict[tuple[str, str], dict[str, float]] = {}
    for (name, size), claim in claims(report, "alpha"):
        largest, networks = re.findall(r"\d+", size)
        table.setdefault((name, largest), {})[networks] = claim.value
    columns = sorted({networks for row in table.values() for networks in row}, key=int)
    head = " | ".join(f"{count} networks" for count in columns)
    rows = [f"| approximation | widths to | {head} |", "|---|---|" + "---|" * len(columns)]
    for (name, largest), row in table.items():
        cells = [f"{100 * row[n]:.2g} %" if row[n] < 1 else "> 10 %" for n in columns]
        rows.append(f"| {name} | {largest} | {' | '.join(cells)} |")
    return "\n".join(rows)


def detected(report: Report) -> str:
    """One row a side: planted errors, and in how many of the runs they were seen."""
    rows = [
        "| planted in | errors | claimed (5 % or more) | runs | detected | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for side in ("theory", "simulation"):
        own = [claim for levels, claim in claims(report, "detected") if levels[0] == side]
        claimed = [counts(claim) for claim in own if claim.verdict != "finding"]
        seen, runs = (sum(part[i] for part in claimed) for i in (0, 1))
        low, high = interval(seen, runs)
        rows.append(
            f"| {side} | {len(own)} | {len(claimed)} | {runs} | {seen} | {100 * low:.1f} .. {100 * high:.1f} % |"
        )
    return "\n".join(rows)


def filled(text: str) -> str:
    """The page with its tables renewed."""
    report = load()
    makers = {"false alarms": false_alarms, "smallest errors": smallest_errors, "detected": detected}
    for name, make in makers.items():
        text = fill(text, name, make(report))
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
