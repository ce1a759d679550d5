"""`python -m benchmarks [--quick] [--out DIR]`: run all, write `results-<device>.json` and a table."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Annotated, Any

import jax
import pandas as pd
import typer
from rich.console import Console

from ntkng.provenance import provenance
from ntkng.report import write_atomically


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small sizes only")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("out/benchmarks"),
) -> None:
    """Time steps, kernels and closed forms; each number is a median of alternating repetitions in this process."""
    from benchmarks import dynamics, growth, many_samples, steps

    console = Console()
    rows: list[dict[str, Any]] = []
    for part in (steps.run, dynamics.kernels, dynamics.closed_forms, growth.run, many_samples.run):
        with console.status(f"{part.__module__}.{part.__name__}"):
            rows += part(quick)
        kind = jax.devices()[0].device_kind.replace(" ", "-")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        facts = provenance({"quick": quick}, peak_memory_mib=round(peak), accelerator=accelerator())
        write_atomically(out / f"results-{kind}.json", json.dumps({"rows": rows, "provenance": facts}, indent=1) + "\n")
    table = pd.DataFrame(rows)
    for what, group in table.groupby("what", sort=False):
        console.print(f"[bold]{what}[/bold]")
        console.print(group.drop(columns="what").dropna(axis=1).to_string(index=False, float_format="%.3g"))


def accelerator() -> str:
    """What the GPU part of the suite ran on, or that it did not run."""
    kinds = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    return ", ".join(kinds) if kinds else "not run: no accelerator"


if __name__ == "__main__":
    typer.run(main)
