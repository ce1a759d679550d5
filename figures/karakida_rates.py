"""Figure of the analysis of rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.seeds import mean_with_interval
from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, panels

NAMES = ("Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC", "UnitWise")
SIZES = dict(zip(NAMES, (10, 7.5, 5, 2.5, 4), strict=True))  # hollow, one inside the other where they coincide


def plot(study: Study) -> Any:
    """One rate for all approximations, its error against the step size, and gradient descent mode by mode."""
    parts = {panel: rows for panel, rows in study.table.groupby("panel")}
    figure, axes = panels(4, columns=2, width=4.3, height=3.1)
    _paths(axes[0], parts["paths"])
    _errors(axes[1], parts["rates"])
    _descent(axes[2], parts["descent"])
    _modes(axes[3], parts["modes"])
    facts = study.facts
    figure.suptitle(
        f"(a), (b) synthetic, (c), (d) digits; N = {facts['samples']}, {facts['depth']} layers, relu, width {facts['width']}, "
        f"{facts['networks']} networks",
        fontsize=10,
    )
    return figure


def _paths(axis: Any, rows: Any) -> None:
    steps = np.arange(rows["step"].max() + 1)
    axis.plot(steps, 0.5**steps, color="0.8", lw=4, zorder=0, label="$2^{-t}$")
    for name in NAMES:
        part = rows[(rows["fisher"] == name) & (rows["source"] == "simulation")]
        if len(part):
            axis.plot(part["step"], part["value"], ls="none", marker=MARKERS[name], ms=SIZES[name], fillstyle="none",
                      color=COLOURS[name], label=LABELS[name])  # fmt: skip
    axis.set(yscale="log", xlabel="step", ylabel=r"$|r_t|\,/\,|r_0|$ (training)")
    axis.set_title(r"(a) $\eta = 1/(2\alpha)$")
    axis.legend(fontsize=7)


def _errors(axis: Any, rows: Any) -> None:
    names = [name for name in NAMES if (rows["fisher"] == name).any()]
    for index, name in enumerate(names):
        for contraction, part in rows[rows["fisher"] == name].groupby("contraction"):
            value, half = mean_with_interval(100 * (part["ratio"] - 1))
            shift = 0.025 * (index - (len(names) - 1) / 2)
            axis.errorbar(contraction + shift, value, half, color=COLOURS[name], marker=MARKERS[name], capsize=2, ls="none",
                          label=LABELS[name] if contraction == rows["contraction"].min() else None)  # fmt: skip
    axis.axhline(0, color="0.6", lw=0.8, zorder=0)
    for edge in (-5, 5):
        axis.axhline(edge, color="0.6", lw=0.8, ls=":", zorder=0)
    axis.text(rows["contraction"].max(), 5.2, r"$\alpha$ off by 5 %", fontsize=7, color="0.4", ha="right")
    axis.set(
        xlabel=r"$c = \eta\,\alpha$ (shifted apart)",
        ylabel=r"error of the fitted $\eta k$ in %",
        ylim=(-6.5, 6.5),
    )
    axis.set_xticks(sorted(rows["contraction"].unique()))
    axis.set_title(r"(b) rate $|1 - c|$: fitted against predicted")
    axis.legend(fontsize=7, ncols=2, loc="upper left", bbox_to_anchor=(0, 0.9))


def _descent(axis: Any, rows: Any) -> None:
    theory, simulation = (rows[rows["source"] == source] for source in ("theory", "simulation"))
    colour = COLOURS["GradientDescent"]
    axis.plot(theory["step"], theory["value"], color=colour, label="closed form")
    chosen = simulation.iloc[:: max(len(simulation) // 16, 1)]
    halves = np.minimum(chosen["half_width"], 0.9 * chosen["value"])  # the axis is logarithmic
    axis.errorbar(chosen["step"], chosen["value"], halves, color=colour, ls="none", marker="v", capsize=2,
                  label="networks")  # fmt: skip
    axis.set(yscale="log", xlabel=r"step, $\eta = 1/k_{\max}$", ylabel=r"$|r_t|\,/\,|r_0|$ (training)")
    axis.set_title("(c) gradient descent: many rates")
    axis.legend()


def _modes(axis: Any, rows: Any) -> None:
    ends = np.array([rows["predicted"].min(), rows["predicted"].max()])
    axis.plot(ends, ends, color="0.6", lw=0.8, label=r"$\eta k_i$, spectrum of $\Theta / N$")
    axis.plot(
        rows["predicted"], rows["value"], ls="none", marker="v", color=COLOURS["GradientDescent"], label="networks"
    )
    axis.set(xscale="log", yscale="log", xlabel=r"predicted $\eta k_i$", ylabel="fitted per mode")
    axis.set_title(r"(d) gradient descent: $1 - \eta k_i$ mode by mode")
    axis.legend()
