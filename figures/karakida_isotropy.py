"""`K / alpha` as heat maps, and its spectrum, gradient descent against the approximations."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS

PROBLEM = "digits"
LIMIT = 1.2  # of the colour scale; the diagonal of an isotropic kernel is 1


def plot(study: Study) -> Figure:
    """Rows: infinite width and one network; columns: approximations; below: spectra on both problems."""
    table = study.table
    fishers = list(dict.fromkeys(table["fisher"]))
    sources = {"infinite": "infinite width", "finite": f"one network, M = {study.facts['width']}"}
    figure = plt.figure(figsize=(1.75 * len(fishers) + 0.8, 6.4))
    grid = figure.add_gridspec(3, 2 * len(fishers), height_ratios=(1, 1, 1.25))
    heat = []
    for row, (source, title) in enumerate(sources.items()):
        for column, fisher in enumerate(fishers):
            axes = figure.add_subplot(grid[row, 2 * column : 2 * column + 2])
            image = axes.imshow(study.arrays[f"{PROBLEM}/{source}/{fisher}"], vmin=-LIMIT, vmax=LIMIT, cmap="RdBu_r")
            axes.set_xticks([])
            axes.set_yticks([])
            heat.append(axes)
            if row == 0:
                axes.set_title(LABELS[fisher], fontsize=9)
            if column == 0:
                axes.set_ylabel(f"{title}\nsample n", fontsize=8)
    figure.colorbar(image, ax=heat, label=r"$K / \alpha$ (digits)", shrink=0.8, aspect=30)
    for half, name in enumerate(dict.fromkeys(table["problem"])):
        axes = figure.add_subplot(grid[2, half * len(fishers) : (half + 1) * len(fishers)])
        spectra(axes, table[table["problem"] == name])
        axes.set_title(f"{name}, N = {study.facts['samples']}")
        if half == 0:
            axes.legend(loc="upper right", fontsize=7)
    return figure


def spectra(axes: plt.Axes, table) -> None:
    """Eigenvalues over `alpha`: lines at infinite width, markers for the network."""
    for fisher, rows in table.groupby("fisher", sort=False):
        for source, part in rows.groupby("source", sort=False):
            values = np.sort(part["eigenvalue"] / part["alpha"])[::-1]
            style = "-" if source == "infinite" else MARKERS[fisher]
            label = LABELS[fisher] if source == "finite" else None
            axes.plot(np.arange(1, len(values) + 1), values, style, color=COLOURS[fisher], label=label,
                      markersize=4, fillstyle="none", markevery=3)  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("index of the eigenvalue (markers: network, lines: infinite width)", fontsize=8)
    axes.set_ylabel(r"eigenvalue $k / \alpha$")
