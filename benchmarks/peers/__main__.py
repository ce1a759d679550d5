"""`python -m benchmarks.peers [--quick] [--out DIR]`: every installed peer at every size; writes `peers.json` after each size."""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.peers.contestants import PEERS, SIZES, Peer
from benchmarks.peers.environment import python_of, variables
from benchmarks.peers.process import Worker
from benchmarks.peers.race import race
from ntkng.files import write_atomically
from ntkng.provenance import provenance

MEMORY_GIB = "10"
Row = dict[str, Any]
QUICK = ((50, 256, 1), (50, 256, 10))


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small sizes only")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("out/benchmarks"),
    environments: Annotated[Path, typer.Option(help="folder of the peers' environments")] = Path("out/peers"),
    rounds: Annotated[int, typer.Option(help="turns of every contestant")] = 9,
    kind: Annotated[list[str] | None, typer.Option(help="`exact` or `K-FAC` only; other results stay")] = None,
    size: Annotated[list[str] | None, typer.Option(help="N,M,C; may be repeated; other results stay")] = None,
) -> None:
    """Time ntkng's exact and K-FAC steps beside those of other libraries."""

    def start(peer: Peer, cache: str) -> Worker:
        python = python_of(peer.environment, environments.absolute())
        command = [python, "-m", "benchmarks.peers.launch", f"benchmarks.peers.{peer.module}", MEMORY_GIB]
        return Worker(command, variables(cache if peer.keeps_programs else None))

    console = Console()
    file, arguments = out / "peers.json", {"quick": quick, "rounds": rounds, "kind": kind, "size": size}
    rows: list[Row] = json.loads(file.read_text())["rows"] if (kind or size) and file.exists() else []
    peers = tuple(peer for peer in PEERS if not kind or peer.kind in kind)
    sizes = [parse(text) for text in size] if size else QUICK if quick else SIZES
    given_up: dict[str, str] = {}
    for chosen in sizes:
        with console.status(f"N, M, C = {chosen}"), tempfile.TemporaryDirectory() as cache:
            found = race(peers, chosen, functools.partial(start, cache=cache), rounds, given_up)
        for row in found:
            console.print(line(row), highlight=False, soft_wrap=True)
            if row.get("not run", "").startswith("more than"):  # the next sizes are larger
                key = row["what"].removeprefix("peers, ") + ": " + row["contestant"]
                given_up.setdefault(key, f"{row['not run']} already at N, M, C = {', '.join(map(str, chosen))}")
        rows = replace(rows, found)
        facts = provenance(arguments, threads=1, timing="CPU seconds of the process")
        write_atomically(file, json.dumps({"rows": rows, "provenance": facts}, indent=1) + "\n")


def parse(text: str) -> tuple[int, int, int]:
    """`"100,512,1"` as `(N, M, C)`."""
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise typer.BadParameter(f"got size {text!r}; expected N,M,C such as 100,512,1")
    return int(parts[0]), int(parts[1]), int(parts[2])


def replace(rows: list[Row], found: list[Row]) -> list[Row]:
    """`rows` with those of the same work and size exchanged for `found`, in order of size."""

    def place(row: Row) -> tuple[Any, ...]:
        return row["what"], row["N"], row["M"], row["C"]

    new = {place(row) for row in found}
    return sorted([row for row in rows if place(row) not in new] + found, key=place)


def line(row: dict[str, Any]) -> str:
    """A row as text."""
    head = f"{row['what'][7:]:6} {row['N']:4} {row['M']:5} {row['C']:3}  {row['contestant']:40}"
    if "not run" in row:
        return f"{head} not run: {row['not run']}"
    same = "" if row.get("same", True) else f"  differs by {row['deviation']:.1%}"
    return f"{head} {row['seconds']:9.4f} s {row.get('ratio', 1):7.2f}x  {row['peak MiB']:6.0f} MiB{same}"


if __name__ == "__main__":
    sys.exit(typer.run(main))
