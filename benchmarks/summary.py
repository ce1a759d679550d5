"""`python -m benchmarks.summary`: the tables and plots of `benchmarks/README.md`, from `benchmarks/results/*.json`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import plots, tables
from benchmarks.results import Results
from figures.style import style
from ntkng.files import write_atomically

HERE = Path(__file__).parent
PLOTS: dict[str, tuple[str, Callable[[Results], Any]]] = {
    "peers-exact": ("peers, exact", lambda found: plots.peers(found, "exact")),
    "peers-kfac": ("peers, K-FAC", lambda found: plots.peers(found, "K-FAC")),
    "floor": ("step", plots.floor),
    "growth": ("growth", plots.growth),
}


def main(
    results: Annotated[Path, typer.Option(help="folder with the JSON files; plots go there too")] = HERE / "results",
    readme: Annotated[Path, typer.Option(help="file to write")] = HERE / "README.md",
) -> None:
    """Write the tables and the plots."""
    import matplotlib.pyplot as plt

    found = Results(results)
    with style():
        for name, (what, draw) in PLOTS.items():
            if found.select(what):
                figure = draw(found)
                figure.savefig(results / f"{name}.png")
                plt.close(figure)
    write_atomically(readme, text(found))


def text(found: Results) -> str:
    """All of the README."""
    columns = {"contestant": "", "N": "N", "seconds": "seconds"}
    return TEXT.format(
        machine=machine(found),
        **{f"plot_{name.replace('-', '_')}": image(found, name) for name in PLOTS},
        targets=tables.targets(found),
        exact=tables.peers(found, "exact"),
        kfac=tables.peers(found, "K-FAC"),
        absences=tables.absences(found),
        memory=tables.memory(found),
        loaded=tables.loaded(found),
        steps=tables.steps(found),
        growth=tables.growth(found),
        kernels=tables.plain(found, "analytic kernel", columns | {"ratio to total NTK": "over the total NTK"}),
        closed=tables.plain(found, "closed form", columns | {"ratio to algebra": "over Cholesky + eigh"}),
        many=tables.plain(found, "many samples", columns | {"ratio": "over one Cholesky", "test loss": "test loss"}),
        compilation=tables.plain(
            found, "compilation",
            {"contestant": "", "first call": "first call, s", "first call, cached": "with a filled cache, s", "ratio": "ratio"},
        ),
        accelerator=tables.plain(found, "accelerator", {"contestant": "", "N": "N", "M": "M", "seconds": "seconds",
                                                        "ratio to floor": "over the floor", "not run": "not run"}),
        accelerator_checks=tables.plain(found, "accelerator check", {"contestant": "", "N": "N", "M": "M", "quantity": "what",
                                                                     "value": "largest", "networks": "networks"}),
    )  # fmt: skip


def image(found: Results, name: str) -> str:
    """The plot, where there is something to plot."""
    return f"![{name}](results/{name}.png)" if found.select(PLOTS[name][0]) else ""


def machine(found: Results) -> str:
    """What everything ran on."""
    facts = found.provenance.get("steps", next(iter(found.provenance.values())))
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"{facts.get('processor', facts['machine'])}; {facts['device']}; {versions}"


TEXT = """<!-- written by `python -m benchmarks.summary` from benchmarks/results/*.json; do not edit -->
# Benchmarks

`make bench` times ntkng against the machine; `make bench-peers` times it beside other libraries; `python -m benchmarks.summary` writes this
page from the results. To renew it, give both `ARGS="--out benchmarks/results"`.

All numbers are medians of CPU seconds (with the interquartile range), on one core, of contestants that take turns in one run; the first call, which
compiles, is apart. Ratios are meant to last, seconds are not. Here: {machine}.

The work is one step of damped natural gradient descent of a ReLU network with three layers, 784 inputs, width M and C outputs, for N samples, in
float32: forward pass, backward signals, Fisher matrix, solve, new weights. Every other library runs in a process and an environment of its own
(`benchmarks/peers/*.txt`), gets the same weights and data, and its step is compared with ours.

## Targets

{targets}

## Exact step beside other libraries

Times over those of ntkng:

{exact}

{plot_peers_exact}

neural-tangents runs on JAX 0.4.25, the last one on which all three of its implementations work; the others on current versions. Peak memory of
each process, MiB ({loaded} of it before the contestant is built):

{memory}

## K-FAC beside other libraries

{kfac}

{plot_peers_kfac}

Left out, and computed differently:

{absences}

## Steps against the machine

The floor of the exact step is its operations over the measured rate of a large matrix product (symmetric Grams counted by half), plus the bytes of
weights, signals and Grams over the measured bandwidth. Approximations that do more work are measured against the same floor. What is above it:
products with only N rows (below the rate of a large one), passes over hidden layers and signals, and the Cholesky factorisation of the
Gram (likewise).

{steps}

{plot_floor}

## Growth

Exponents fitted over the range (and over its last interval); base size N = 200, M = 1024, L = 3, C = 1. From L = 2 to 16 the
hidden layers grow from 1 to 15. The unit-wise step grows faster than its operations per iteration: inputs of deep layers are alike, so that
its conjugate gradients take more iterations there, and beyond a limit it factorises (`ntkng.fisher.unit_iterations`).

{growth}

{plot_growth}

## Kernels and closed forms

{kernels}

Closed forms at 100 times, against one Cholesky factorisation and one eigendecomposition of the same size:

{closed}

Streamed within a memory budget, wall time:

{many}

## Compilation

The library sets no JAX flags; with `JAX_COMPILATION_CACHE_DIR` set, the next process finds its programs compiled (CPU seconds of the first call of
`simulate`, tracing included):

{compilation}

## Accelerators

{accelerator}

The theory of the main paper at that width:

{accelerator_checks}
"""


if __name__ == "__main__":
    typer.run(main)
