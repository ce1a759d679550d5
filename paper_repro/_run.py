"""Runs figures: analysis, table, report, drawing, all written atomically."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ntkng.provenance import provenance
from ntkng.report import Claim, Report, merge, write_atomically
from paper_repro.paper import FigureSpec, Paper, Settings, Study

T = TypeVar("T")
FORMATS = ("png", "pdf", "svg")


class RichProgress:
    """Progress bars on the terminal, one a loop; each disappears when its loop is done."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, console=console, transient=True)

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield `items`, advancing a bar."""
        task = self.bars.add_task(description, total=total)
        try:
            for item in items:
                yield item
                self.bars.advance(task)
        finally:
            self.bars.remove_task(task)


def run_figure(paper: Paper, spec: FigureSpec, settings: Settings, out: Path, formats: tuple[str, ...]) -> Report:
    """Run one figure and write `<out>/<paper>/<figure>.{csv,npz,png,...}`; returns its claims, prefixed."""
    start = time.perf_counter()
    study = spec.analysis(settings)
    folder = out / paper.key
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{spec.key}.csv", study.table.to_csv(index=False))
    if study.arrays:
        save_arrays(folder / f"{spec.key}.npz", study)
    draw(spec, study, folder, formats)
    seconds = round(time.perf_counter() - start, 1)
    facts = {**study.report.provenance, "seconds": seconds}
    return dataclasses.replace(study.report, provenance=facts).prefixed(f"{paper.key}/{spec.key}")


def save_arrays(path: Path, study: Study) -> None:
    """Write the study's arrays beside its table."""
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **{name: np.asarray(array) for name, array in study.arrays.items()})
    temporary.replace(path)


def draw(spec: FigureSpec, study: Study, folder: Path, formats: tuple[str, ...]) -> None:
    """Render the figure in each format, without the metadata that changes from run to run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from figures.style import style

    with style():
        figure = spec.draw(study)
        for kind in formats:
            metadata: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
            temporary = folder / f".{spec.key}.tmp.{kind}"
            figure.savefig(temporary, format=kind, metadata=metadata)
            temporary.replace(folder / f"{spec.key}.{kind}")
        plt.close(figure)


def run(
    chosen: list[tuple[Paper, FigureSpec]], settings: Settings, out: Path, formats: tuple[str, ...], console: Console
) -> Report:
    """Run the chosen figures one after another; write `report.json` and `report.md`; return the merged report.

    A figure that raises is reported as a failed claim, and the others still run.
    """
    progress = RichProgress(console)
    settings = dataclasses.replace(settings, progress=progress)
    arguments = {"quick": settings.quick, "full": settings.full, "figures": [f"{p.key}/{f.key}" for p, f in chosen]}
    facts = provenance(arguments, seed=settings.seed)
    reports: list[Report] = []
    timing: dict[str, Any] = {}
    with progress.bars:
        for paper, spec in chosen:
            console.print(f"[bold]{paper.key}[/bold] / {spec.key}: {spec.title}")
            start = time.perf_counter()
            try:
                report = run_figure(paper, spec, settings, out, formats)
            except Exception as error:
                console.print_exception(max_frames=6)
                broken = Claim.holds("runs", False, "the figure is computed and drawn", note=repr(error))
                report = Report(spec.title, (broken,)).prefixed(f"{paper.key}/{spec.key}")
            timing[f"{paper.key}/{spec.key}"] = round(time.perf_counter() - start, 1)
            reports.append(report)
            show(report, timing[f"{paper.key}/{spec.key}"], console)
            merged = merge("ntkng paper reproduction", reports, {**facts, "seconds": timing})
            merged.to_json(out / "report.json")  # after every figure: nothing is lost when the run is stopped
            write_atomically(out / "report.md", merged.to_markdown())
    return merge("ntkng paper reproduction", reports, {**facts, "seconds": timing})


def copy_renderings(chosen: list[tuple[Paper, FigureSpec]], out: Path, gallery: Path) -> None:
    """Copy the PNG of each chosen figure to `<gallery>/<paper>/<figure>.png`."""
    for paper, spec in chosen:
        source, target = out / paper.key / f"{spec.key}.png", gallery / paper.key / f"{spec.key}.png"
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def show(report: Report, seconds: float, console: Console) -> None:
    """Print one line, and the failures in full."""
    good = sum(bool(claim) for claim in report.claims)
    colour = "green" if report else "red"
    console.print(f"  [{colour}]{good}/{len(report.claims)} claims hold[/{colour}] ({seconds:.0f} s)")
    for claim in report.failures:
        console.print(f"  [red]{claim.verdict}[/red] {claim.name}: {claim.value:.5g}, bound {claim.bound} {claim.note}")
