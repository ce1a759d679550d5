"""`alpha` of the block-diagonal Fisher against the depth of a residual network: it counts the parametrised layers."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analyses.study import Study
from figures.style import COLOURS, MARKERS


def plot(study: Study) -> Figure:
    """The line `alpha = L`, the spectra at infinite width, and one step of a network; relative errors on the right."""
    table, facts = study.table, study.facts
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.1), width_ratios=(1.3, 1))
    layers, colour = table["layers"], COLOURS["BlockDiagonal"]
    left.plot(layers, layers, "-", color="0.4", lw=1, label=r"$\alpha = L$")
    left.plot(
        layers, table["infinite"], "o", color=colour, fillstyle="none", markersize=9, label="infinite width: tr K / N"
    )
    left.plot(
        layers,
        table["finite"],
        MARKERS["BlockDiagonal"],
        color=colour,
        label=f"one step of a network, width {facts['width']}",
    )
    left.set_ylabel(r"$\alpha$ of the block-diagonal Fisher")
    left.legend(loc="upper left")
    left.set_title(f"residual MLP of L - 2 blocks, digits 3 and 8, N = {facts['samples']}")
    spread = (table["largest"] - table["smallest"]) / layers
    right.plot(
        layers, spread.clip(lower=1e-16), "o-", color=colour, fillstyle="none", label=r"$(k_{\max} - k_{\min})\,/\,L$"
    )
    error = (table["finite"] / layers - 1).abs()
    right.plot(layers, error, MARKERS["BlockDiagonal"] + "-", color=colour, label=r"network: $|\alpha / L - 1|$")
    right.set_yscale("log")
    right.set_ylim(1e-16, 1e-1)
    right.set_ylabel("relative error")
    right.legend(loc="upper right")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("parametrised layers L")
    return figure
