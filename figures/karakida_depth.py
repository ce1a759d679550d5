"""`alpha` against depth: formulas as lines, infinite width as open and a finite network as filled markers."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS


def plot(study: Study) -> Figure:
    """K-FAC on the left axis' own panel, since its `alpha` grows with N."""
    table, samples = study.table, study.facts["samples"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.2), width_ratios=(1.4, 1))
    for fisher, rows in table.groupby("fisher", sort=False):
        axes = right if fisher == "KFAC" else left
        for source, part in rows.groupby("source", sort=False):
            is_finite = source == "finite"
            axes.plot(
                part["depth"], part["alpha"], MARKERS[fisher], color=COLOURS[fisher],
                fillstyle="full" if is_finite else "none", markersize=4 if is_finite else 9,
            )  # fmt: skip
            if not is_finite:
                axes.plot(part["depth"], part["expected"], "-", color=COLOURS[fisher], label=LABELS[fisher], zorder=0)
    for depth in sorted({d for d in table["depth"] if d % 3 == 2}):
        left.axvspan(depth - 0.25, depth + 0.25, color="0.92", zorder=-1, lw=0)
    left.set_title("shaded: depth 3s + 2, singular pattern, limit of vanishing damping", fontsize=8)
    right.set_title(f"N = {samples}: N (L - 1) + 1")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("depth L (parametrised layers)")
        axes.set_ylabel(r"$\alpha = \mathrm{tr}\,K / N$")
    handles, _ = left.get_legend_handles_labels()
    handles += right.get_legend_handles_labels()[0]
    grey = {"color": "0.3", "marker": "o", "linestyle": "none"}
    handles += [
        Line2D([], [], fillstyle="none", markersize=9, label="infinite width", **grey),
        Line2D([], [], markersize=4, label=f"one network, width {study.facts['width']}", **grey),
    ]
    left.legend(handles=handles, loc="upper left")
    left.set_ylim(top=left.get_ylim()[1] * 1.15)
    return figure
