"""`python -m benchmarks [--quick] [--only PART] [--out DIR]`: run the parts, write `<part>.json` each, print tables."""

from __future__ import annotations

import json
import platform
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jax
import pandas as pd
import typer
from rich.console import Console

from benchmarks import accelerator, compile_cache, dynamics, growth, many_samples, steps
from ntkng.files import write_atomically
from ntkng.provenance import provenance

PARTS: dict[str, Callable[[bool], list[dict[str, Any]]]] = {
    "steps": steps.run,
    "kernels": dynamics.kernels,
    "closed-forms": dynamics.closed_forms,
    "growth": growth.run,
    "compilation": compile_cache.run,
    "accelerator": accelerator.run,
    "many-samples": many_samples.run,
}


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small sizes only")] = False,
    only: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(PARTS)}; may be repeated")] = None,
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("out/benchmarks"),
) -> None:
    """Time steps, kernels and closed forms; each number is a median of alternating repetitions in one process."""
    unknown = set(only or ()) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"unknown parts {sorted(unknown)}; choose from {', '.join(PARTS)}")
    console = Console()
    for name in only or PARTS:
        with console.status(name):
            rows = PARTS[name](quick)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        facts = provenance({"quick": quick, "part": name}, peak_memory_mib=round(peak), processor=processor())
        suffix = "" if jax.default_backend() == "cpu" else "-" + jax.devices()[0].device_kind.replace(" ", "-")
        write_atomically(out / f"{name}{suffix}.json", json.dumps({"rows": rows, "provenance": facts}, indent=1) + "\n")
        table = pd.DataFrame(rows)
        console.print(f"[bold]{name}[/bold]")
        console.print(table.drop(columns="what").dropna(axis=1, how="all").to_string(index=False, float_format="%.3g"))


def processor() -> str:
    """The model of the processor, and how many cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or "unknown"
    import os

    return f"{model}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"


if __name__ == "__main__":
    typer.run(main)
