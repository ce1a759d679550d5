"""Training dynamics: lines are the infinite-width theory, markers are finite networks."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, LABELS, MARKERS

PANELS = (("1/(2 alpha)", "train"), ("1/(2 alpha)", "test"), ("1/alpha", "train"), ("1/alpha", "test"))
ETA = {"1/(2 alpha)": r"$\eta = 1/(2\alpha)$", "1/alpha": r"$\eta = 1/\alpha$"}
ROWS = {"synthetic": "synthetic ($M_0=784$)", "digits": "digits 3 and 8 ($M_0=64$)"}
# nested, so that markers on top of each other stay visible
SIZES = {"GradientDescent": 5.5, "Exact": 10.0, "BlockDiagonal": 7.5, "BlockTriDiagonal": 5.5, "KFAC": 2.8}
FLOOR = 1e-13  # of the training loss where theory reaches 0 in one step
LAST = {"1/(2 alpha)": 8, "1/alpha": 5}


def plot(study: Study) -> Figure:
    """One row a problem; training and test loss at half of the optimal step size, and at the optimal one."""
    figure, axes = plt.subplots(len(ROWS), len(PANELS), figsize=(11.2, 5.2))
    for row, name in zip(axes, ROWS, strict=True):
        for ax, (multiple, on) in zip(row, PANELS, strict=True):
            table = select(study.table, problem=name, multiple=multiple, on=on)
            _panel(ax, table.query("step <= @LAST[@multiple]"), multiple, on)
        row[0].set_ylabel(f"{ROWS[name]}, N = {study.facts['samples'][name]}\nloss / initial loss")
    for ax, (multiple, on) in zip(axes[0], PANELS, strict=True):
        ax.set_title(f"{'training' if on == 'train' else 'test'} loss, {ETA[multiple]}")
    for ax in axes[-1]:
        ax.set_xlabel("step")
    _legend(figure, study)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, multiple: str, on: str) -> None:
    for order, name in enumerate(SIZES):
        theory, simulated = (select(table, fisher=name, source=s).sort_values("step") for s in ("theory", "simulation"))
        colour = COLOURS[name]
        if on == "test" or name == "GradientDescent":
            ax.plot(theory["step"], theory["relative"], color=colour, zorder=2)
        elif name == "Exact":  # all four approximations have this line; at 1/alpha it is 0 from step 1 on
            ax.plot(theory["step"], theory["relative"], color="0.25", zorder=2)
        means = simulated["relative"]
        bars = means - simulated["relative_low"], simulated["relative_high"] - means
        ax.plot(
            simulated["step"], means, MARKERS[name], color=colour, markersize=SIZES[name], markeredgewidth=1.3,
            markerfacecolor=colour if name == "KFAC" else "none", zorder=3 + order,
        )  # fmt: skip
        shift = 0.07 * (order - 2) if on == "test" else 0.0  # side by side, where they are long
        ax.errorbar(simulated["step"] + shift, means, bars, fmt="none", ecolor=(*colour, 0.6), elinewidth=0.9, zorder=1)
    ax.set_xlim(-0.35, LAST[multiple] + 0.35)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if on == "test":
        ax.set_ylim(0, 1.25)
        return
    is_whole = multiple == "1/alpha"
    ax.set_yscale("log")
    ax.set_ylim(FLOOR if is_whole else 4e-6, 4)
    text, place = ("theory: 0 after\none step", (0.47, 0.45)) if is_whole else ("all four on\none line", (0.06, 0.1))
    ax.annotate(text, place, xycoords="axes fraction", fontsize=8, color="0.25")


def _legend(figure: Figure, study: Study) -> None:
    labels = LABELS | {"GradientDescent": r"gradient descent (own best $\eta$)"}
    handles = [
        Line2D([], [], color=COLOURS[name], marker=MARKERS[name], markersize=min(size, 7.5), markeredgewidth=1.3,
               markerfacecolor=COLOURS[name] if name == "KFAC" else "none", label=labels[name])
        for name, size in SIZES.items()
    ]  # fmt: skip
    facts = study.facts
    handles += [
        Line2D([], [], color="0.25", label="lines: infinite-width theory"),
        Line2D([], [], color="0.25", ls="", marker="o", markersize=6, markerfacecolor="none", markeredgewidth=1.3,
               label=f"markers: {facts['seeds']} networks, M = {facts['width']}, 95 %"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.0, handlelength=1.6)
