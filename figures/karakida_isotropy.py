"""`K / alpha` as heat maps, and its spectrum, gradient descent against the approximations."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, LABELS, MARKERS

PROBLEM = "digits"
LIMIT = 1.2  # of the colour scale; the diagonal of an isotropic kernel is 1
SIZES = {"GradientDescent": 4.5, "Exact": 8.5, "BlockDiagonal": 6.5, "BlockTriDiagonal": 4.5, "KFAC": 2.5}


def plot(study: Study) -> Figure:
    """Above: rows infinite width and one network, columns approximations; below: spectra on both problems."""
    fishers = list(dict.fromkeys(study.table["fisher"]))
    figure = plt.figure(figsize=(1.85 * len(fishers) + 0.6, 6.9), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.55, 1))
    _heat_maps(above, study, fishers)
    axes = below.subplots(1, 2)
    for ax, name in zip(axes, dict.fromkeys(study.table["problem"]), strict=True):
        _spectra(ax, select(study.table, problem=name), fishers)
        ax.set_title(f"{name}, N = {study.facts['samples']}")
    axes[1].legend(loc="upper right", fontsize=7, title="lines: infinite width, markers: network", title_fontsize=7)
    return figure


def _heat_maps(above, study: Study, fishers: list[str]) -> None:
    titles = {"infinite": "infinite width", "finite": f"one network, M = {study.facts['width']}"}
    axes = above.subplots(len(titles), len(fishers))
    order = np.asarray(study.arrays[f"{PROBLEM}/order"])
    image = None
    for row, (source, title) in zip(axes, titles.items(), strict=True):
        row[0].set_ylabel(f"{title}\nsample, sorted by class", fontsize=8)
        for ax, fisher in zip(row, fishers, strict=True):
            kernel = np.asarray(study.arrays[f"{PROBLEM}/{source}/{fisher}"])[np.ix_(order, order)]
            image = ax.imshow(kernel, vmin=-LIMIT, vmax=LIMIT, cmap="RdBu_r")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(True)
    for ax, fisher in zip(axes[0], fishers, strict=True):
        ax.set_title(LABELS[fisher], fontsize=9)
    assert image is not None
    above.colorbar(image, ax=axes, label=r"$K / \alpha$ on the digits", shrink=0.85, aspect=30)


def _spectra(ax: Axes, table: pd.DataFrame, fishers: list[str]) -> None:
    for fisher in fishers:
        for source in ("infinite", "finite"):
            part = select(table, fisher=fisher, source=source)
            values = np.sort(part["eigenvalue"].to_numpy() / part["alpha"].to_numpy())[::-1]
            is_finite = source == "finite"
            ax.plot(
                np.arange(1, len(values) + 1), values, MARKERS[fisher] if is_finite else "-", color=COLOURS[fisher],
                label=LABELS[fisher] if is_finite else None, markersize=SIZES[fisher], markevery=3,
                fillstyle="full" if fisher == "KFAC" else "none",
            )  # fmt: skip
    ax.set_yscale("log")
    ax.set_xlabel("index of the eigenvalue")
    ax.set_ylabel(r"eigenvalue $k / \alpha$")
