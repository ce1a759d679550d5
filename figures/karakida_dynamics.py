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
FLOOR = 1e-9  # of the training loss where theory reaches 0 in one step
LAST = {"1/(2 alpha)": 8, "1/alpha": 5}


def plot(study: Study) -> Figure:
    """One row a problem; training and test loss at half of the optimal step size, and at the optimal one."""
    figure, axes = plt.subplots(len(ROWS), len(PANELS), figsize=(11.2, 5.4))
    for row, name in zip(axes, ROWS, strict=True):
        for ax, (multiple, on) in zip(row, PANELS, strict=True):
            _panel(ax, select(study.table, problem=name, multiple=multiple, on=on))
            ax.set_xlim(-0.3, LAST[multiple] + 0.3)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            if on == "train":
                ax.set_yscale("log")
                if multiple == "1/alpha":
                    ax.set_ylim(bottom=FLOOR)
            else:
                ax.set_ylim(bottom=0)
        row[0].set_ylabel(f"{ROWS[name]}, N = {study.facts['samples'][name]}\nloss")
    for ax, (multiple, on) in zip(axes[0], PANELS, strict=True):
        ax.set_title(f"{'training' if on == 'train' else 'test'} loss, {ETA[multiple]}")
    for ax in axes[-1]:
        ax.set_xlabel("step")
    _legend(figure, study)
    return figure


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    on, multiple = table["on"].iloc[0], table["multiple"].iloc[0]
    for order, name in enumerate(SIZES):
        theory, simulated = (select(table, fisher=name, source=s).sort_values("step") for s in ("theory", "simulation"))
        colour = COLOURS[name]
        # theory at 1/alpha is exactly 0 from step 1 on, up to rounding: let its line leave the panel
        values = theory["loss"].clip(lower=1e-40)
        is_shared = on == "train" and name != "GradientDescent"
        if not is_shared:
            ax.plot(theory["step"], values, color=colour, zorder=2)
        elif name == "Exact":
            ax.plot(theory["step"], values, color="0.25", lw=1.2, zorder=2)
        ax.errorbar(
            simulated["step"], simulated["loss"], simulated["half_width"], fmt=MARKERS[name], color=colour,
            markersize=SIZES[name], markerfacecolor=colour if name == "KFAC" else "none", markeredgewidth=1.3,
            elinewidth=0.7, zorder=3 + order,
        )  # fmt: skip
    if on == "train":
        text = "one line: all four\napproximations" if multiple == "1/(2 alpha)" else "theory: zero\nafter one step"
        ax.annotate(text, (0.04, 0.06), xycoords="axes fraction", fontsize=8, color="0.25")


def _legend(figure: Figure, study: Study) -> None:
    handles = [
        Line2D([], [], color=COLOURS[name], marker=MARKERS[name], markersize=min(size, 7.5), markeredgewidth=1.3,
               markerfacecolor=COLOURS[name] if name == "KFAC" else "none", label=LABELS[name])
        for name, size in SIZES.items()
    ]  # fmt: skip
    facts = study.facts
    handles += [
        Line2D([], [], color="0.25", label="line: infinite-width theory"),
        Line2D([], [], color="0.25", ls="", marker="o", markerfacecolor="none", markeredgewidth=1.3,
               label=f"marker: {facts['seeds']} networks, width {facts['width']}, 95 %"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.2, handlelength=1.8)
