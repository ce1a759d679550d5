"""Results as they lie in `benchmarks/results`: rows by what they measure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Results:
    """All rows of all files of a folder, and where they came from."""

    def __init__(self, folder: Path) -> None:
        """Read every `*.json`.

        Raises:
            FileNotFoundError: there is none.
        """
        files = sorted(folder.glob("*.json"))
        if not files:
            raise FileNotFoundError(
                f"no results in {folder}; run `make bench` and `make bench-peers` with --out {folder}"
            )
        parts = {file.stem: json.loads(file.read_text()) for file in files}
        self.rows: list[Row] = [row for part in parts.values() for row in part["rows"]]
        self.provenance: dict[str, Row] = {name: part["provenance"] for name, part in parts.items()}

    def select(self, what: str, **values: Any) -> list[Row]:
        """Rows of one measurement that ran, with these values."""
        return [row for row in self.every(what, **values) if "not run" not in row]

    def every(self, what: str, **values: Any) -> list[Row]:
        """Those that did not run too."""
        return [row for row in self.rows if row["what"] == what and all(row.get(k) == v for k, v in values.items())]

    def sizes(self, what: str) -> Iterator[tuple[int, int, int]]:
        """`N, M, C` of a measurement, in order, each once."""
        yield from dict.fromkeys((row["N"], row["M"], row["C"]) for row in self.rows if row["what"] == what)
