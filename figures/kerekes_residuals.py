"""Figure A3: decay of residuals and gradients along natural gradient flow."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE, panels


def plot(study: Study) -> Figure:
    """Few samples, many samples, four exponential families."""
    figure, axes = panels(3, width=3.9, height=3.2)
    _few(axes[0], select(study.table, panel="N <= d"))
    _many(axes[1], select(study.table, panel="N > d"))
    _families(axes[2], select(study.table, panel="families"))
    return figure


def _few(ax: Axes, rows: pd.DataFrame) -> None:
    for colour, (name, rate) in zip(PALETTE, (("exact", 1), ("block-diagonal", 3)), strict=False):
        part = select(rows, curve=name)
        for k, (_, line) in enumerate(part.groupby("sample")):
            label = f"{name} Fisher, {rate} layers" if rate > 1 else f"{name} Fisher"
            ax.plot(line.x, line.y, color=colour, lw=1.0, label=label if k == 0 else None)
        t = np.array([0, part.x.max()])
        ax.plot(t, np.exp(-rate * t), color="black", ls=":", lw=1.2, label="$e^{-t}$, $e^{-3t}$" if rate == 1 else None)
    ax.set(
        yscale="log", ylim=(1e-10, 3), title="6 samples, 9 dimensions", xlabel="time $t$", ylabel="residuals $r_n(t)$"
    )
    ax.legend(fontsize=7, loc="lower left")


def _many(ax: Axes, rows: pd.DataFrame) -> None:
    for k, (_, line) in enumerate(select(rows, curve="residual").groupby("sample")):
        ax.plot(line.x, line.y, color="0.75", lw=0.9, label="residuals $r_n$, separable" if k == 0 else None)
    for colour, name in zip(PALETTE, ("gradient, separable", "gradient, not separable"), strict=False):
        part = select(rows, curve=name)
        ax.plot(part.x, part.y, color=colour, lw=2.0, label=name.replace("gradient", "gradient $|g|$"))
        ax.plot(part.x, part.y.iloc[0] * np.exp(-part.x), color="black", ls=":", lw=1.2,
                label="$|g(0)|\\, e^{-t}$" if colour == PALETTE[0] else None)  # fmt: skip
    ax.set(yscale="log", ylim=(1e-13, 3e1), title="more samples (15, 40) than dimensions (5)", xlabel="time $t$",
           ylabel="residual, norm of the gradient")  # fmt: skip
    ax.legend(fontsize=7, loc="lower left")


def _families(ax: Axes, rows: pd.DataFrame) -> None:
    for colour, marker, (name, part) in zip(PALETTE, "osD^", rows.groupby("curve", sort=False), strict=False):
        ax.plot(part.x, part.y, marker=marker, ms=3, lw=0.9, color=colour, label=name)
    ax.axhline(1e-9, color="0.5", ls=":", lw=1.0)
    ax.annotate("bound of the claim", (0.1, 1.5e-9), fontsize=7, color="0.4")
    ax.set(yscale="log", ylim=(1e-17, 1e-7), title="four families, 3 outputs", xlabel="time $t$",
           ylabel="$\\max |e^{t}(\\mu(t) - y) - (\\mu(0) - y)|$")  # fmt: skip
    ax.legend(fontsize=7, loc="lower right", ncol=2)
