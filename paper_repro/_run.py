"""Runs figures, in one process or several: analysis, table, report, drawing, all written atomically."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import queue
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from ntkng.files import writable_folder, write_atomically
from ntkng.provenance import provenance
from ntkng.report import Claim, Report, measured
from paper_repro._progress import Bars, Reported
from paper_repro.paper import FigureSpec, Paper, Settings, Study

FORMATS = ("png", "pdf", "svg")
Chosen = list[tuple[Paper, FigureSpec]]


@dataclasses.dataclass(frozen=True)
class Run:
    """How to run: sizes, where to write, what to render.

    Attributes:
        settings: of the analyses; their progress is replaced.
        out: folder of figures, tables and reports.
        formats: some of `FORMATS`.
        platform: JAX platform of worker processes, or `None` for what JAX finds.
    """

    settings: Settings
    out: Path
    formats: tuple[str, ...] = ("png",)
    platform: str | None = None


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
    arrays: dict[str, Any] = {name: np.asarray(array) for name, array in study.arrays.items()}
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)


def draw(spec: FigureSpec, study: Study, folder: Path, formats: tuple[str, ...]) -> None:
    """Render the figure in each format, without the metadata that changes from run to run."""
    from figures.style import style

    with style():
        figure = spec.draw(study)
        for kind in formats:
            metadata: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
            temporary = folder / f".{spec.key}.tmp.{kind}"
            figure.savefig(temporary, format=kind, metadata=metadata)
            temporary.replace(folder / f"{spec.key}.{kind}")


def prepare(chosen: Chosen, plan: Run, gallery: Path | None = None) -> None:
    """Make every folder that will be written.

    Raises:
        ValueError: one cannot be written, or a folder lies where a file goes.
    """
    folders = [plan.out, *dict.fromkeys(plan.out / paper.key for paper, _ in chosen)]
    folders += [folder for folder in (plan.settings.cache, gallery) if folder is not None]
    for folder in folders:
        writable_folder(folder)
    files = [plan.out / "report.json", plan.out / "report.md"]
    kinds = ("csv", "npz", *plan.formats)
    files += [plan.out / paper.key / f"{spec.key}.{kind}" for paper, spec in chosen for kind in kinds]
    for file in files:
        if file.is_dir():
            raise ValueError(f"cannot write the file {file}: it is a folder; choose another one")


def run(chosen: Chosen, plan: Run, console: Console, jobs: int = 1) -> Report:
    """Run the chosen figures; write `report.json` and `report.md` after each; return the merged report.

    A figure that raises is reported as a failed claim, and the others still run.
    """
    bars = Bars(console)
    settings = plan.settings
    arguments = {"quick": settings.quick, "full": settings.full, "figures": [f"{p.key}/{f.key}" for p, f in chosen]}
    facts = provenance(arguments, seed=settings.seed, jobs=jobs)
    known = Report("", (), facts).to_dict()["provenance"]
    done: dict[str, tuple[Report, float]] = {}
    merged = Report("ntkng paper reproduction", (), facts)
    with bars.bars:
        for name, report, seconds in _finished(chosen, plan, bars, min(jobs, len(chosen))):
            done[name] = report, seconds
            show(name, report, seconds, console)
            order = {key: done[key] for p, f in chosen if (key := f"{p.key}/{f.key}") in done}
            own = {key: {**_other(report, known), "seconds": seconds} for key, (report, seconds) in order.items()}
            merged = Report(
                merged.title,
                tuple(claim for report, _ in order.values() for claim in report.claims),
                {**facts, "figures": own},
            )
            merged.to_json(plan.out / "report.json")  # after every figure: nothing is lost when the run is stopped
            write_atomically(plan.out / "report.md", merged.to_markdown())
    return merged


def _other(report: Report, known: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a figure that are not those of the whole run, such as its sizes."""
    return {key: value for key, value in report.to_dict()["provenance"].items() if value != known.get(key)}


def _finished(chosen: Chosen, plan: Run, bars: Bars, jobs: int) -> Iterator[tuple[str, Report, float]]:
    """Figures as they finish, with their names and times."""
    names = [(paper.key, spec.key) for paper, spec in chosen]
    if jobs <= 1:
        for paper, figure in names:
            report, seconds = _one(paper, figure, plan, bars.handle)
            yield f"{paper}/{figure}", report, seconds
        return
    context = multiprocessing.get_context("spawn")  # JAX is not safe to fork
    with context.Manager() as manager, ProcessPoolExecutor(jobs, mp_context=context) as pool:
        events = manager.Queue()
        running: dict[Future[Any], str] = {
            pool.submit(_one, paper, figure, plan, events.put): f"{paper}/{figure}" for paper, figure in names
        }
        while running:
            complete, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            _drain(events, bars)
            for future in complete:
                yield running.pop(future), *future.result()


def _drain(events: Any, bars: Bars) -> None:
    while True:
        try:
            bars.handle(events.get_nowait())
        except queue.Empty:
            return


def configure(plan: Run) -> None:
    """Set JAX up in this process: the platform, and a cache of compiled programs for the other processes and later runs."""
    import jax

    if plan.platform is not None:
        jax.config.update("jax_platforms", plan.platform)
    if plan.settings.cache is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(plan.settings.cache / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _one(paper_key: str, figure_key: str, plan: Run, put: Any) -> tuple[Report, float]:
    """Run one figure by its names, in this process; an exception becomes a failed claim."""
    from paper_repro.registry import paper as find

    configure(plan)
    start = time.perf_counter()
    paper = find(paper_key)
    spec = paper.figure(figure_key)
    settings = dataclasses.replace(plan.settings, progress=Reported(put, figure_key))
    try:
        report = run_figure(paper, spec, settings, plan.out, plan.formats)
    except Exception as error:
        import traceback

        lines = "".join(traceback.format_exception(error)[-3:])
        broken = Claim.holds("runs", False, "the figure is computed and drawn", note=f"{error!r}\n{lines}")
        report = Report(spec.title, (broken,)).prefixed(f"{paper_key}/{figure_key}")
    return report, round(time.perf_counter() - start, 1)


def copy_renderings(chosen: Chosen, out: Path, gallery: Path) -> None:
    """Copy the PNG of each chosen figure to `<gallery>/<paper>/<figure>.png`."""
    for paper, spec in chosen:
        source, target = out / paper.key / f"{spec.key}.png", gallery / paper.key / f"{spec.key}.png"
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def show(name: str, report: Report, seconds: float, console: Console) -> None:
    """Print one line, and the failures in full; never broken at the terminal's width, so that it can be searched."""
    good = sum(bool(claim) for claim in report.claims)
    line = Text(f"{name}: ").append(f"{good}/{len(report.claims)} claims hold", style="green" if report else "red")
    console.print(line.append(f" ({seconds:.0f} s)"), soft_wrap=True)
    for claim in report.failures:
        text = f"  {claim.verdict}: {claim.name}: {measured(claim)}, bound {claim.bound} {claim.note}"
        console.print(Text(text, style="red"), soft_wrap=True)
