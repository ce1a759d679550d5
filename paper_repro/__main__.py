"""The one script: `python -m paper_repro [--paper K] [--figure F] [--quick|--full] [--out DIR]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# plain help and errors: boxes are broken at the terminal's width, and need more than ASCII
app = typer.Typer(add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    paper: Annotated[list[str] | None, typer.Option(help="key of a paper; repeat for several (default: all)")] = None,
    figure: Annotated[list[str] | None, typer.Option(help="key of a figure; repeat for several")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="small widths and few seeds, for a first look")] = False,
    full: Annotated[bool, typer.Option("--full", help="larger widths and more seeds than the default")] = False,
    device: Annotated[str, typer.Option(help="cpu, gpu, or auto (what JAX finds)")] = "auto",
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    out: Annotated[Path, typer.Option(help="folder for figures, tables and reports")] = Path("out"),
    formats: Annotated[str, typer.Option(help="comma-separated: png, pdf, svg")] = "png,pdf",
    cache: Annotated[bool, typer.Option(help="keep finished points and resume from them")] = True,
    gallery: Annotated[Path | None, typer.Option(help="also copy the PNG renderings into this folder")] = None,
    jobs: Annotated[int, typer.Option(help="figures computed at the same time, each in its own process")] = 0,
    list_: Annotated[bool, typer.Option("--list", help="list papers and figures, run nothing")] = False,
) -> None:
    """Regenerate the figures of the papers and check every claim; exit status 1 when a claim fails."""
    import jax

    from paper_repro._run import FORMATS, Run, Settings, copy_renderings, prepare, run
    from paper_repro.registry import papers

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal shows what it can  # type: ignore[attr-defined]
    platforms = {"auto": None, "cpu": "cpu", "gpu": "cuda"}
    if device not in platforms:
        raise typer.BadParameter(f"got {device!r}, expected cpu, gpu or auto", param_hint="--device")
    if platforms[device] is not None:
        jax.config.update("jax_platforms", platforms[device])
    chosen_formats = tuple(formats.split(","))
    if not set(chosen_formats) <= set(FORMATS):
        raise typer.BadParameter(f"got {formats!r}, expected some of {FORMATS}", param_hint="--formats")
    if quick and full:
        raise typer.BadParameter("got --quick and --full; choose one of them")
    known = papers()
    for key in paper or []:
        if key not in known:
            raise typer.BadParameter(f"unknown paper {key!r}; choose from {sorted(known)}", param_hint="--paper")
    chosen = [
        (p, f) for k, p in known.items() if not paper or k in paper for f in p.figures if not figure or f.key in figure
    ]
    unknown = sorted(set(figure or []) - {f.key for _, f in chosen})
    if unknown:
        raise typer.BadParameter(f"no figure is called {', '.join(unknown)}; see --list", param_hint="--figure")
    if list_:
        for p, f in chosen:
            typer.echo(f"{p.key} / {f.key}: {f.title}")
        return
    size = "quick" if quick else "full" if full else "default"
    folder = out / "cache" / size if cache else None
    settings = Settings(quick=quick, full=full, seed=seed, cache=folder)
    plan = Run(settings, out, chosen_formats, platforms[device])
    try:
        prepare(chosen, plan, gallery)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if jobs < 1:  # one process a core, but a single one on an accelerator, which processes cannot share well
        jobs = min(os.cpu_count() or 1, 4) if jax.default_backend() == "cpu" else 1
    report = run(chosen, plan, Console(), jobs)
    if gallery is not None:
        copy_renderings(chosen, out, gallery)
    typer.echo(f"{len(report.claims)} claims, {len(report.failures)} not passed; see {out / 'report.md'}")
    raise typer.Exit(0 if report else 1)


if __name__ == "__main__":
    app()
