"""Distance between simulation and closed form against width: means over networks, 95 % bands, fitted slopes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.seeds import mean_with_interval
from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, LABELS, MARKERS, panels


def plot(study: Study) -> Figure:
    """Training inputs on the left, test inputs on the right, with the slopes that are claimed."""
    figure, axes = panels(2, columns=2, width=3.9, height=3.2)
    for ax, on in zip(axes, ("train", "test"), strict=True):
        _panel(ax, study, on)
        ax.set_title("training inputs" if on == "train" else "test inputs")
        ax.set_xlabel("hidden width M")
    axes[0].set_ylabel(r"$\max_t\ |f_t - f_t^{\rm closed}|\ /\ |r_0|$")
    facts = study.facts
    figure.suptitle(
        f"synthetic, N = {facts['samples']}, 3 layers, relu, $\\eta = 1/(2\\alpha)$: mean of {facts['seeds']} networks, "
        "95 % bands", fontsize=9,
    )  # fmt: skip
    return figure


def _panel(ax: Axes, study: Study, on: str) -> None:
    widths = np.array(study.facts["widths"], float)
    for fisher in dict.fromkeys(study.table["fisher"]):
        logs = [mean_with_interval(np.log(select(study.table, fisher=fisher, width=width)[on])) for width in widths]
        means, halves = np.array([mean for mean, _ in logs]), np.array([half or 0 for _, half in logs])
        slope = study.facts["slopes"][fisher, on]
        label = f"{LABELS[fisher]}: slope {slope.value:.2f} ± {slope.half_width():.2f}"
        ax.plot(widths, np.exp(means), MARKERS[fisher] + "-", color=COLOURS[fisher], label=label)
        ax.fill_between(widths, np.exp(means - halves), np.exp(means + halves), color=COLOURS[fisher], alpha=0.15, lw=0)
    low, high = ax.get_ylim()
    ax.plot(widths, 0.6 * high * (widths / widths[0]) ** -0.5, ":", color="0.4", label=r"$\propto M^{-1/2}$")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(widths, [f"{width:g}" for width in widths])
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
    ax.legend(fontsize=7, loc="upper right")
