"""Figure A4: matrix completion by gradient flow and natural gradient flow."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.kerekes_style import ARCHITECTURES
from figures.style import PALETTE, panels

FISHERS = {"all": "Fisher over all entries", "observed": "Fisher over the observed entries"}


def plot(study: Study) -> Figure:
    """Unobserved error of gradient flow, of natural gradient flow, and the observed error of the latter."""
    figure, axes = panels(3, width=3.9, height=3.2)
    _gradient(axes[0], select(study.table, panel="gradient flow"))
    _natural(axes[1], select(study.table, panel="natural gradient flow"))
    _observed(axes[2], select(study.table, panel="observed"))
    return figure


def _gradient(ax: Axes, rows: pd.DataFrame) -> None:
    for name, part in rows.groupby("curve", sort=False):
        later = part[part.x > 0]
        ax.plot(later.x, later.y, label=name, **ARCHITECTURES[str(name)])
    ax.set(xscale="log", yscale="log", title="gradient flow", xlabel="time $t$",
           ylabel="RMSE on unobserved entries\n(over that of predicting 0)")  # fmt: skip
    ax.legend(loc="lower left")


def _natural(ax: Axes, rows: pd.DataFrame) -> None:
    for colour, (key, label) in zip(PALETTE, FISHERS.items(), strict=False):
        part = select(rows, curve=key)
        ax.plot(part.x, part.y, color=colour, label=label)
    ax.set(title="natural gradient flow: unobserved", xlabel="time $t$",
           ylabel="RMSE on unobserved entries\n(over that of predicting 0)", yscale="log")  # fmt: skip
    ax.legend(loc="upper right", bbox_to_anchor=(1.0, 0.93))


def _observed(ax: Axes, rows: pd.DataFrame) -> None:
    for colour, width, (key, label) in zip(PALETTE, (4.0, 1.6), FISHERS.items(), strict=False):
        part = select(rows, curve=key)
        ax.plot(part.x, part.y, color=colour, lw=width, label=label)
    t = np.array([0.0, rows.x.max()])
    ax.plot(t, np.exp(-t), color="black", ls=":", label="$e^{-t}$")
    ax.set(yscale="log", title="natural gradient flow: observed", xlabel="time $t$",
           ylabel="error on observed entries\n(over its initial value)")  # fmt: skip
    ax.legend(loc="lower left")
