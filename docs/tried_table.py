"""The table of `pages/where_tried.md`, computed by the modules of `tests/tried`: `python docs/tried_table.py [KIND ...]`.

Without arguments it rewrites what stands between the page's markers; with the names of modules it prints their lines.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "pages" / "where_tried.md"
FOLDER = ROOT / "tests" / "tried"
HEAD = "| kind | inputs | truth | bound | largest error |\n|---|---|---|---|---|\n"


def kinds() -> list[str]:
    """Names of the modules, in the order of the page."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("row", "test_tried"))


def load(kind: str) -> Any:
    """The module of a kind."""
    for folder in (ROOT, FOLDER.parent):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return importlib.import_module(f"tried.{kind}")


def line(row: Any) -> str:
    """One line of the table; the error last, since it varies a little from machine to machine."""
    return f"| {row.kind} | {row.inputs} | {row.truth} | {row.bound:.0e} | {row.error:.1e} |"


def table(names: list[str]) -> str:
    """All lines under their heading."""
    return HEAD + "\n".join(line(row) for name in names for row in load(name).rows())


if __name__ == "__main__":
    if sys.argv[1:]:
        print(table(sys.argv[1:]))
    else:
        text, found = re.subn(
            r"(<!-- tried -->\n).*?(<!-- end -->)",
            lambda place: f"{place[1]}{table(kinds())}\n{place[2]}",
            PAGE.read_text(),
            flags=re.DOTALL,
        )
        if found != 1:
            raise SystemExit(f"expected one place for the table in {PAGE.name}, found {found}")
        PAGE.write_text(text)
