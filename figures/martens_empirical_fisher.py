"""Figure C3: what the empirical Fisher does as a preconditioner."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE, panels

ORBITS = {
    0.0: (PALETTE[2], "$\\xi = 0$: Fisher"),
    0.25: (PALETTE[0], "$\\xi = 1/4$"),
    0.5: (PALETTE[1], "$\\xi = 1/2$: square root"),
    1.0: (PALETTE[3], "$\\xi = 1$: empirical Fisher"),
}


def plot(study: Study) -> Figure:
    """Orbits in one dimension, where they end for each power, and the flow of a network."""
    figure, axes = panels(3, width=4.0, height=3.1)
    table = study.table
    _orbits(axes[0], select(table, panel="orbit"), study.facts["alpha"])
    _attractor(axes[1], select(table, panel="attractor"), study.facts["alpha"])
    _flow(axes[2], select(table, panel="flow"))
    return figure


def _orbits(ax: Axes, rows: pd.DataFrame, alpha: float) -> None:
    for xi, (colour, label) in ORBITS.items():
        part = select(rows, curve=xi)
        ax.plot(part.x, part.value, color=colour, lw=1.0, label=label)
    ax.set(yscale="log", title=f"$h = \\theta^2/2$, preconditioner $|\\theta|^{{2\\xi}}$, $\\alpha = {alpha:g}$",
           xlabel="step $k$", ylabel="$|\\theta_k|$", ylim=(1e-6, 3e3))  # fmt: skip
    ax.legend(fontsize=7, ncol=2, loc="upper center")


def _attractor(ax: Axes, rows: pd.DataFrame, alpha: float) -> None:
    theory = rows.drop_duplicates("x")
    attracting, repelling = theory[theory.x <= 0.5], theory[theory.x >= 0.5]
    ax.plot(attracting.x, attracting.theory, color="0.75", lw=5, solid_capstyle="butt")
    ax.plot(rows.x, rows.value, ".", color=PALETTE[3], ms=1.6, mew=0, alpha=0.6, rasterized=True)
    ax.plot(repelling.x, repelling.theory, color="k", ls="--")
    ax.axvline(0.5, color=PALETTE[7], lw=0.9, ls=":")
    ax.set(yscale="log", ylim=(1e-7, 1e6), xlim=(0, 1.02), title="where the orbits end",
           xlabel="power $\\xi$ of the empirical Fisher", ylabel="$|\\theta|$ at late steps")  # fmt: skip
    handles = [
        Line2D([], [], color="0.75", lw=5, label="2-cycle $(\\alpha/2)^{1/2\\xi}$, attracting"),
        Line2D([], [], color="k", ls="--", label="2-cycle, repelling"),
        Line2D([], [], color=PALETTE[3], marker=".", ls="", label="iterates, three starts"),
    ]
    ax.legend(handles=handles, fontsize=7, loc="lower right")


def _flow(ax: Axes, rows: pd.DataFrame) -> None:
    samples = list(dict.fromkeys(rows.curve))
    for n in samples:
        part = select(rows, curve=n)
        first = n == samples[0]
        ax.plot(part.x, part.theory, color=PALETTE[3], lw=1.0, label="theory, $e^2(0) - 2t$" if first else None)
        ax.plot(part.x.iloc[::3], part.value.iloc[::3], "o", color=PALETTE[3], ms=3.5,
                label="empirical Fisher, network" if first else None)  # fmt: skip
        ax.plot(part.x, part.isotropic, color=PALETTE[2], lw=0.9, ls="--",
                label="Fisher, $e^2(0)\\,e^{-2t}$" if first else None)  # fmt: skip
    ax.set(title="flow of a tanh network, one curve a sample", xlabel="time $t$", ylabel="squared residual $e_n^2$")
    ax.set_ylim(0, 1.42 * float(np.max(rows.value)))
    ax.legend(fontsize=7, loc="upper right")
