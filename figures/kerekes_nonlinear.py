"""Figure A6: natural gradient flow of tanh networks, and which inputs the Fisher matrix runs over."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE, panels

FISHERS = {"train inputs": PALETTE[1], "train and test inputs": PALETTE[0]}


def plot(study: Study) -> Figure:
    """Test logits, training law, and its violation with too few parameters."""
    figure, axes = panels(3, width=3.9, height=3.2)
    _test_logits(axes[0], select(study.table, panel="test logits"))
    _law(axes[1], select(study.table, panel="law"))
    _violation(axes[2], select(study.table, panel="under-parametrised"))
    return figure


def _test_logits(ax: Axes, rows: pd.DataFrame) -> None:
    for name, colour in FISHERS.items():
        part = select(rows, curve=name)
        for k, (_, line) in enumerate(part.groupby("sample")):
            ax.plot(line.x, line.y, color=colour, lw=1.2, label=f"Fisher over {name}" if k == 0 else None)
    ax.set(title="test logits (72 parameters)", xlabel="time $t$", ylabel="logit of each test input")
    ax.legend(fontsize=7, loc="best")


def _law(ax: Axes, rows: pd.DataFrame) -> None:
    for name, colour in FISHERS.items():
        part = select(rows, curve=name)
        ax.plot(part.x, part.y, color=colour, marker="o", ms=3, lw=0.9, label=f"Fisher over {name}")
    ax.axhline(1e-8, color="0.5", ls=":", lw=1.0)
    ax.annotate("bound of the claim", (0.1, 1.5e-8), fontsize=7, color="0.4")
    ax.set(yscale="log", ylim=(1e-16, 1e-6), title="training law: both Fishers", xlabel="time $t$",
           ylabel="$\\max_n |e^{t} r_n(t) - r_n(0)|$")  # fmt: skip
    ax.legend(fontsize=7, loc="lower right")


def _violation(ax: Axes, rows: pd.DataFrame) -> None:
    ax.plot(rows.x, rows.y, "o", color=PALETTE[3], label="one start each")
    ax.plot(np.median(rows.x), np.median(rows.y), "P", ms=9, color="black", label="median")
    ax.set(xscale="log", yscale="log", title="6 parameters, 8 samples: no law at $t = 0.15$",
           xlabel="$\\max_n |r_n(t) - e^{-t} r_n(0)|$", ylabel="$|e^{t} g(t) - g(0)|\\, /\\, |g(0)|$")  # fmt: skip
    ax.legend(fontsize=7, loc="best")
