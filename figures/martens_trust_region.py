"""Figure C4: damping as a trust region, the KL ball, and damped modes of the neural tangent kernel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE, panels


def plot(study: Study) -> Figure:
    """Step length against damping, exact divergence against radius, decay rates against damping."""
    figure, axes = panels(3, width=4.0, height=3.1)
    table = study.table
    _length(axes[0], select(table, panel="length"))
    _divergence(axes[1], select(table, panel="divergence"))
    _rates(axes[2], select(table, panel="rates"))
    return figure


def _length(ax: Axes, rows: pd.DataFrame) -> None:
    line, points = select(rows, curve="r(lam)"), select(rows, curve="trust region")
    ax.plot(line.x, line.value, color=PALETTE[0], label="Tikhonov: $|(F + \\lambda I)^{-1} g|$")
    ax.plot(points.x, points.value, "o", color=PALETTE[1], label="trust region of that radius\n(constrained optimiser)")
    ax.set(xscale="log", yscale="log", title="damping is a trust region", xlabel="damping $\\lambda$",
           ylabel="step length (radius $r$)")  # fmt: skip
    ax.legend(fontsize=7)


def _divergence(ax: Axes, rows: pd.DataFrame) -> None:
    for colour, marker, (name, part) in zip(PALETTE, "os^D", rows.groupby("curve", sort=False), strict=False):
        ax.plot(part.x, np.abs(part.value / part.x - 1), marker + "-", color=colour, label=name)
    low, high = rows.x.min(), rows.x.max()
    ax.plot([low, high], [1e-3, 1e-3 * np.sqrt(high / low)], color="k", lw=0.9, ls=":", label="slope 1/2")
    ax.set(xscale="log", yscale="log", title="natural-gradient step in a KL ball",
           xlabel="radius $\\varepsilon$ (nats)", ylabel="|exact KL $/\\,\\varepsilon$ − 1|")  # fmt: skip
    ax.legend(fontsize=7)


def _rates(ax: Axes, rows: pd.DataFrame) -> None:
    values = np.sort(rows.curve.unique())
    colours = sns.color_palette("viridis", len(values))
    for colour, theta in zip(colours, values, strict=True):
        part = select(rows, curve=theta)
        ends = theta in (values[0], values[-1])
        ax.plot(part.x, part.theory, color=colour, lw=1.0, label=f"theory, $\\theta_i$ = {theta:g}" if ends else None)
        ax.plot(part.x, part.value, "o", color=colour, ms=2.5, label="dense solve" if theta == values[-1] else None)
    ax.set(xscale="log", title="decay rates of the modes", xlabel="damping $\\lambda$",
           ylabel="rate $\\theta_i/(\\theta_i + \\lambda)$")  # fmt: skip
    ax.set_ylim(-0.05, 1.12)
    ax.annotate("isotropic", (0.03, 0.93), xycoords="axes fraction", fontsize=8)
    ax.annotate("gradient descent", (0.98, 0.16), xycoords="axes fraction", fontsize=8, ha="right")
    ax.legend(fontsize=7, loc="upper right", bbox_to_anchor=(1.03, 0.95), handlelength=1.2)
