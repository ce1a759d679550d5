"""Block-diagonal training of five architectures: losses at the largest width, and distances to the closed form against width."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from analyses.architectures_networks import ARCHITECTURES
from analyses.seeds import mean_with_interval
from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE

TITLES = {"pooled_cnn": "CNN, global pooling", "residual_cnn": "pre-act. residual CNN"}
ON = {"train": (PALETTE[0], "o", "training"), "test": (PALETTE[1], "s", "test")}


def plot(study: Study) -> Figure:
    """One column an architecture."""
    figure, axes = plt.subplots(2, len(ARCHITECTURES), figsize=(2.5 * len(ARCHITECTURES), 5.0))
    for column, (name, architecture) in zip(axes.T, ARCHITECTURES.items(), strict=True):
        _losses(column[0], study, name)
        _distances(column[1], study, name)
        column[0].set_title(f"{TITLES.get(name, architecture.label)}, L = {architecture.depth}", fontsize=9)
    axes[0, 0].set_ylabel("loss / initial loss")
    axes[1, 0].set_ylabel(r"$\max_t\ |f_t - f_t^{\rm closed}|\ /\ |r_0|$")
    axes[0, 0].legend(fontsize=7, loc="lower left")
    facts = study.facts
    figure.suptitle(
        f"block-diagonal Fisher, $\\eta = 1/(2L)$, digits 3 and 8, N = {facts['samples']}: lines are theory, markers the mean of "
        f"{facts['networks']} networks with 95 % intervals", fontsize=9,
    )  # fmt: skip
    return figure


def _losses(ax: Axes, study: Study, name: str) -> None:
    width, steps = max(study.facts["widths"][name]), np.arange(study.facts["steps"] + 1)
    rows = select(study.table, architecture=name, width=width)
    for on, (colour, marker, label) in ON.items():
        theory = [np.exp(np.log(rows[f"theory_{on}_{step}"]).mean()) for step in steps]
        logs = [mean_with_interval(np.log(rows[f"simulated_{on}_{step}"])) for step in steps]
        means = np.exp([mean for mean, _ in logs])
        low, high = (np.exp([mean + sign * (half or 0) for mean, half in logs]) for sign in (-1, 1))
        ax.plot(steps, theory, "-", color=colour, lw=1.2)
        ax.errorbar(
            steps, means, (means - low, high - means), fmt=marker, color=colour, fillstyle="none", elinewidth=0.8,
            label=f"{label} loss",
        )  # fmt: skip
    ax.set_yscale("log")
    ax.set_xlabel(f"step (width {width})")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _distances(ax: Axes, study: Study, name: str) -> None:
    widths = np.array(study.facts["widths"][name], float)
    for on, (colour, marker, label) in ON.items():
        logs = [mean_with_interval(np.log(select(study.table, architecture=name, width=width)[on])) for width in widths]
        means, halves = np.array([mean for mean, _ in logs]), np.array([half or 0 for _, half in logs])
        slope = study.facts["slopes"][name, on]
        text = f"{label}: slope {slope.value:.2f} ± {slope.half_width():.2f}"
        ax.plot(widths, np.exp(means), marker + "-", color=colour, label=text)
        ax.fill_between(widths, np.exp(means - halves), np.exp(means + halves), color=colour, alpha=0.15, lw=0)
    guide = np.exp(means[0]) * (widths / widths[0]) ** -0.5
    ax.plot(widths, 1.6 * guide, ":", color="0.4", label=r"$\propto M^{-1/2}$")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(widths, [f"{width:g}" for width in widths])
    ax.xaxis.set_minor_locator(NullLocator())
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.45)  # room for the legend
    ax.set_xlabel("width (channels)")
    ax.legend(fontsize=6.5, loc="upper right")
