"""Figure C2: which curvature matrices equal the Fisher."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE, panels

MATRICES = {
    "Gauss-Newton": (PALETTE[0], "o"),
    "Hessian": (PALETTE[1], "s"),
    "empirical Fisher": (PALETTE[3], "D"),
}
ROUNDING = 1e-17  # where exact zeros are drawn


def plot(study: Study) -> Figure:
    """Distances from the Fisher for each loss; the counterexample; the approach to interpolation."""
    figure, axes = panels(3, width=4.0, height=3.1)
    table = study.table
    _identities(axes[0], select(table, panel="identity"))
    _counterexample(axes[1], select(table, panel="counterexample"))
    _interpolation(axes[2], select(table, panel="interpolation"))
    return figure


def _identities(ax: Axes, rows: pd.DataFrame) -> None:
    losses = list(dict.fromkeys(rows.loss))
    for matrix, (colour, marker) in MATRICES.items():
        part = select(rows, matrix=matrix)
        shift = {"Hessian": -0.15, "empirical Fisher": 0.15}.get(matrix, 0.0)  # they would hide each other
        heights = [losses.index(loss) + shift for loss in part.loss]
        ax.plot(np.maximum(part.value, ROUNDING), heights, marker, color=colour, ms=6, label=matrix)
    ax.axvline(1e-12, color="k", lw=0.9, ls=":", label="claimed equal below")
    ax.set_yticks(range(len(losses)), [loss.replace(", ", ",\n") for loss in losses])
    ax.set(xscale="log", xlim=(1e-17, 1e2), ylim=(len(losses) - 0.5, -0.5), title="distance from the Fisher $F$",
           xlabel="$\\|\\,\\cdot - F\\,\\|\\;/\\;\\|F\\|$")  # fmt: skip
    ax.legend(loc="center", bbox_to_anchor=(0.53, 0.56), fontsize=7)


def _counterexample(ax: Axes, rows: pd.DataFrame) -> None:
    fisher, hessian = select(rows, matrix="Fisher").sort_values("x"), select(rows, matrix="loss Hessian")
    # the target is y = H_L mu^2
    counts = np.round(hessian.value * hessian.x**2).astype(int)
    ax.scatter(
        hessian.x, hessian.value, color=PALETTE[0], s=14, marker="o", label="$H_L = y/\\mu^2$ at the training counts"
    )
    ax.plot(fisher.x, fisher.value, color=PALETTE[1], label="$F_R = 1/\\mu$, summed over outcomes")
    grid = np.linspace(fisher.x.min(), fisher.x.max(), 200)
    for y in range(1, min(4, counts.max()) + 1):
        ax.plot(grid, y / grid**2, color=PALETTE[0], lw=0.6, alpha=0.5)
        ax.annotate(f"y={y}", (grid[-1], y / grid[-1] ** 2), fontsize=7, color=PALETTE[0], xytext=(7, 0),
                    textcoords="offset points", va="center")  # fmt: skip
    ax.set(title="counts with identity link: not equal", xlabel="output $\\mu$", ylabel="curvature of the loss",
           ylim=(-0.15, 1.1 * max(hessian.value.max(), fisher.value.max())))  # fmt: skip
    ax.legend(fontsize=7)


def _interpolation(ax: Axes, rows: pd.DataFrame) -> None:
    colours = {"Fisher": PALETTE[2], "Hessian - Fisher": PALETTE[1], "empirical Fisher": PALETTE[3]}
    slopes = {"Fisher": 0, "Hessian - Fisher": 1, "empirical Fisher": 2}
    for matrix, colour in colours.items():
        part = select(rows, matrix=matrix)
        ax.plot(
            part.x, part.value, "o-", color=colour, label=f"{matrix.replace(' - ', ' − ')} (slope {slopes[matrix]})"
        )
    ax.set(xscale="log", yscale="log", title="towards interpolation (Gaussian)", xlabel="residual, relative to the start",
           ylabel="Frobenius norm")  # fmt: skip
    ax.legend(fontsize=7)
