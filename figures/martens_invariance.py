"""Figure C5: how the effect of a change of parameters scales with the step size."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE, panels

METHODS = {
    "identity": (PALETTE[7], "v", "-"),
    "Hessian": (PALETTE[1], "s", "-"),
    "damped Fisher": (PALETTE[4], "P", "-"),
    "damped, metric carried along": (PALETTE[4], "P", "--"),
    "empirical Fisher": (PALETTE[3], "D", "-"),
    "Fisher": (PALETTE[0], "o", "-"),
    "Fisher, midpoint rule": (PALETTE[0], "o", "--"),
}


def plot(study: Study) -> Figure:
    """One step and a fixed horizon, log-log, with the fitted slopes; the flows as bars."""
    figure, axes = panels(3, width=4.3, height=3.6)
    table = study.table
    _orders(axes[0], select(table, panel="one step"), "one step of size $\\alpha$")
    _orders(axes[1], select(table, panel="fixed horizon"), "$T/\\alpha$ steps, $T$ fixed")
    _flows(axes[2], select(table, panel="flow"))
    return figure


def _orders(ax: Axes, rows: pd.DataFrame, title: str) -> None:
    for name, (colour, marker, line) in METHODS.items():
        part = select(rows, method=name)
        label = f"{name}: {part.slope.iloc[0]:.2f}"
        ax.plot(part.alpha, part.discrepancy, marker=marker, ls=line, color=colour, label=label)
    ax.set(xscale="log", yscale="log", title=title, xlabel="step size $\\alpha$",
           ylabel="discrepancy $\\|\\zeta(\\gamma) - \\theta\\|$")  # fmt: skip
    # the step sizes halve: labels at each second one
    ticks = sorted(rows.alpha.unique())[::2]
    ax.set_xticks(ticks, [f"{alpha:.2g}" for alpha in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** 0.75, high * 2)  # room for the legend
    ax.legend(fontsize=7, title="slope", title_fontsize=7, loc="lower right")


def _flows(ax: Axes, rows: pd.DataFrame) -> None:
    names = [name for name in METHODS if name in set(rows.method)][::-1]
    values = [select(rows, method=name).discrepancy.iloc[0] for name in names]
    ax.barh(range(len(names)), values, color=[METHODS[name][0] for name in names], height=0.6, left=0)
    for height, value in enumerate(values):
        ax.annotate(f"{value:.1e}", (value, height), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)
    ax.set_yticks(range(len(names)), [name.replace(" Fisher", "\nFisher") for name in names])
    ax.set(
        xscale="log",
        xlim=(1e-16, 1e2),
        title="continuous time: the flows",
        xlabel="discrepancy $\\|\\zeta(\\gamma(T)) - \\theta(T)\\|$",
    )
