"""Spectra of the preconditioned kernel on five architectures, and `alpha` as one step of a network shows it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.architectures_networks import ARCHITECTURES
from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, LABELS, MARKERS, panels

SIZES = {"GradientDescent": 3.5, "Exact": 3.5, "BlockDiagonal": 5.0, "BlockTriDiagonal": 3.5}


def plot(study: Study) -> Figure:
    """One panel an architecture; the last one has the measured `alpha` of block-diagonal steps."""
    figure, axes = panels(len(ARCHITECTURES) + 1, columns=3, width=3.5, height=2.7)
    for ax, (name, architecture) in zip(axes, ARCHITECTURES.items(), strict=False):
        _spectrum(ax, study, name)
        ax.set_title(f"{architecture.label}, L = {architecture.depth}")
        ax.set_xlabel("index of eigenvalue")
    for ax in axes[::3]:
        ax.set_ylabel("eigenvalue of K (infinite width)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SIZES))
    _steps(axes[-1], study)
    return figure


def _spectrum(ax: Axes, study: Study, name: str) -> None:
    for fisher, size in SIZES.items():
        rows = select(study.table, architecture=name, fisher=fisher).sort_values("index")
        ax.plot(
            rows["index"], rows["eigenvalue"], MARKERS[fisher] + "-", color=COLOURS[fisher], label=LABELS[fisher],
            markersize=size, markerfacecolor="none", linewidth=0.8,
        )  # fmt: skip
    ax.set_yscale("log")


def _steps(ax: Axes, study: Study) -> None:
    names = list(ARCHITECTURES)
    found = {step["architecture"]: step["alpha"] for step in study.facts["steps"]}
    place = np.arange(len(names))
    ax.plot(
        place, [ARCHITECTURES[name].depth for name in names], "_", color="0.25", markersize=26, markeredgewidth=1.4,
        label="L, parametrised layers",
    )  # fmt: skip
    ax.plot(place, [found[name] for name in names], MARKERS["BlockDiagonal"], color=COLOURS["BlockDiagonal"],
            label=f"one step of a network, width {study.facts['width']}")  # fmt: skip
    labels = [
        ARCHITECTURES[name].label.replace(" ", "\n", 1).replace("pre-activation\n", "pre-act.\n") for name in names
    ]
    ax.set_xticks(place, labels, fontsize=6)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylim(0, 8)
    ax.set_ylabel(r"$\alpha$ of the block-diagonal Fisher")
    ax.set_title("finite networks, small step")
    ax.legend(fontsize=7, loc="upper center")
