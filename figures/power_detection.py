"""Planted errors against checks: the share of runs in which a check fails, as it should."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from analyses.power_checks import CHECKS
from analyses.power_detection import rates, summary
from analyses.study import Study

COLUMNS = (*CHECKS, "any")
NAMES = {
    "trajectory": "trajectories", "rate": "rate", "kernels": "kernels", "isotropy": "isotropy",
    "dense oracle": "dense oracle", "own kernels": "own kernels", "any": "any of them",
}  # fmt: skip


def plot(study: Study) -> Figure:
    """One row an error, one column a check; grey where a check does not touch the error."""
    table = rates(study.table).reindex(columns=list(COLUMNS))
    sizes = summary(study.table).set_index(["side", "error"])["size"]
    half = -(-len(table) // 2)
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.19 * half + 1.7))
    colours = plt.get_cmap("viridis").copy()
    colours.set_bad("0.9")
    for ax, part in zip(axes, (table.iloc[:half], table.iloc[half:]), strict=True):
        image = _panel(ax, part, sizes, colours)
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01)
    bar.set_label("share of runs in which the check fails, as it should")
    facts = study.facts
    figure.suptitle(
        f"Planted errors (size) against checks of default size; {facts['runs']} runs a setting with fresh networks, "
        f"{facts['runs with simulation errors']} for errors of the simulation.  Grey: does not apply.", fontsize=9,
    )  # fmt: skip
    return figure


def _panel(ax: Axes, part, sizes, colours: Colormap):
    values = part.to_numpy(float)
    image = ax.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap=colours, aspect="auto")
    labels = []
    for side, error in part.index:
        size = sizes[side, error]
        prefix = "simulation: " if side == "simulation" else ""
        labels.append(f"{prefix}{error}" + (f"  ({100 * size:.0f} %)" if size < 1 else ""))
    ax.set_yticks(range(len(labels)), labels, fontsize=7)
    ax.set_xticks(range(len(COLUMNS)), [NAMES[name] for name in COLUMNS], rotation=35, ha="left", fontsize=7.5)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for row, column in zip(*np.nonzero(np.isfinite(values) & (values < 1)), strict=True):
        value = values[row, column]
        colour = "white" if value < 0.6 else "black"
        ax.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=6, color=colour)
    ax.hlines(np.arange(1, len(part)) - 0.5, -0.5, len(COLUMNS) - 0.5, color="white", lw=0.5)
    ax.vlines(np.arange(1, len(COLUMNS)) - 0.5, -0.5, len(part) - 0.5, color="white", lw=0.5)
    ax.axvline(len(CHECKS) - 0.5, color="white", lw=3)
    for name in ("left", "bottom"):
        ax.spines[name].set_visible(False)
    return image
