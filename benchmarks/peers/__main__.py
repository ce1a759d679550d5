"""`python -m benchmarks.peers [--quick] [--out DIR]`: every installed peer at every size; writes `peers.json` after each size."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.peers.contestants import PEERS, Peer
from benchmarks.peers.environment import python_of, variables
from benchmarks.peers.process import Worker
from benchmarks.peers.race import race
from ntkng.provenance import provenance
from ntkng.report import write_atomically

SIZES = tuple(itertools.product((100, 500), (512, 1024, 2048, 4096), (1, 10)))
MEMORY_GIB = "10"
QUICK = ((50, 256, 1), (50, 256, 10))


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small sizes only")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("out/benchmarks"),
    environments: Annotated[Path, typer.Option(help="folder of the peers' environments")] = Path("out/peers"),
    rounds: Annotated[int, typer.Option(help="turns of every contestant")] = 9,
) -> None:
    """Time ntkng's exact and K-FAC steps beside those of other libraries."""

    def start(peer: Peer) -> Worker:
        python = python_of(peer.environment, environments.absolute())
        return Worker(
            [python, "-m", "benchmarks.peers.launch", f"benchmarks.peers.{peer.module}", MEMORY_GIB], variables()
        )

    console = Console()
    rows: list[dict[str, Any]] = []
    given_up: dict[str, str] = {}
    for size in QUICK if quick else SIZES:
        with console.status(f"N, M, C = {size}"):
            found = race(PEERS, size, start, rounds, given_up)
        for row in found:
            console.print(line(row), highlight=False, soft_wrap=True)
            if row.get("not run", "").startswith("more than"):  # the next sizes are larger
                key = row["what"].removeprefix("peers, ") + ": " + row["contestant"]
                given_up.setdefault(key, f"{row['not run']} already at N, M, C = {', '.join(map(str, size))}")
        rows += found
        facts = provenance({"quick": quick, "rounds": rounds}, threads=1, timing="CPU seconds of the process")
        write_atomically(out / "peers.json", json.dumps({"rows": rows, "provenance": facts}, indent=1) + "\n")


def line(row: dict[str, Any]) -> str:
    """A row as text."""
    head = f"{row['what'][7:]:6} {row['N']:4} {row['M']:5} {row['C']:3}  {row['contestant']:40}"
    if "not run" in row:
        return f"{head} not run: {row['not run']}"
    same = "" if row.get("same", True) else f"  differs by {row['deviation']:.1%}"
    return f"{head} {row['seconds']:9.4f} s {row.get('ratio', 1):7.2f}x  {row['peak MiB']:6.0f} MiB{same}"


if __name__ == "__main__":
    sys.exit(typer.run(main))
