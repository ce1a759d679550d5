"""Figure A1: trajectories of a two-dimensional predictor under gradient flow and natural gradient flow."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.kerekes_style import ARCHITECTURES
from figures.style import panels


def plot(study: Study) -> Figure:
    """Gradient flow, natural gradient flow, and the case in which the depth returns."""
    figure, axes = panels(3, width=3.9, height=3.5)
    table = study.table
    _plane(axes[0], select(table, panel="GD"), "gradient flow: one trajectory a depth")
    _ray(axes[0], np.zeros(2), study.facts["l2"], "$\\ell_2$ maximum margin")
    _plane(axes[1], select(table, panel="NGF"), "natural gradient flow: one trajectory", nested=True)
    _ray(axes[1], study.facts["b"], study.facts["u"], "asymptote $t\\, u^* + b^*$")
    for ax in axes[:2]:
        ax.legend(fontsize=7, loc="best")
    _few_samples(axes[2], select(table, panel="few samples"))
    return figure


def _plane(ax: Axes, rows: pd.DataFrame, title: str, *, nested: bool = False) -> None:
    for k, (name, look) in enumerate(ARCHITECTURES.items()):
        part = select(rows, curve=name)
        # coinciding curves are drawn ever thinner, so that each of them can be seen
        width = 7.5 - 1.6 * k if nested else 1.6
        ax.plot(
            part.x, part.y, color=look["color"], ls="-" if nested else look["ls"], lw=width, label=name, zorder=k + 2
        )
    start = rows.iloc[0]
    ax.plot(start.x, start.y, "o", color="black", ms=6, zorder=9, label="start")
    ax.set(title=title, xlabel="predictor component $\\beta_1$", ylabel="predictor component $\\beta_2$")


def _ray(ax: Axes, origin: np.ndarray, direction: np.ndarray, label: str) -> None:
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    ends = origin + np.outer([0.0, 1e3], direction)
    ax.plot(ends[:, 0], ends[:, 1], color="black", lw=1.0, ls=":", zorder=8, label=label)
    ax.set(xlim=(left, right), ylim=(low, high))


def _few_samples(ax: Axes, rows: pd.DataFrame) -> None:
    for name in list(ARCHITECTURES)[1:]:
        for fisher, marker in (("training inputs", "o"), ("inputs that span the space", "s")):
            part = select(rows, curve=name, fisher=fisher)
            ax.plot(part.t, part.y, marker=marker, ms=3, lw=0.9, color=ARCHITECTURES[name]["color"],
                    label=name if marker == "o" else None)  # fmt: skip
    ax.set(yscale="log", ylim=(1e-17, 1e2), title="fewer samples (5) than dimensions (8)", xlabel="time $t$",
           ylabel="relative distance of $\\beta$ from depth 1")  # fmt: skip
    ax.annotate("Fisher over the training inputs", (0.3, 1e-3), fontsize=8)
    ax.annotate("Fisher over inputs that span the space", (0.3, 1e-10), fontsize=8)
    ax.legend(fontsize=7, loc="center right", bbox_to_anchor=(1.0, 0.62), ncol=2)
