"""Figure C1: expected risk of stochastic iterations, closed forms and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.style import PALETTE, panels

METRICS = {"1": (PALETTE[7], "v", "B = I"), "H": (PALETTE[0], "o", "B = H")}
ASYMPTOTIC = {
    "c/(k+a), B = 1, slow": (PALETTE[3], "-", "$c/(k+a)$, B = I, $2c\\lambda_{\\min}=0.4$"),
    "c/(k+a), B = 1": (PALETTE[1], "-", "$c/(k+a)$, B = I, $2c\\lambda_{\\min}=2$"),
    "averaged, B = 1": (PALETTE[7], "--", "averaged, B = I"),
    "averaged, B = H": (PALETTE[0], "--", "averaged, B = H"),
    "1/(k+a), B = H": (PALETTE[2], "-", "$1/(k+a)$, B = H"),
}


def plot(study: Study) -> Figure:
    """Six panels: constant, harmonic, averaged; the bias of the average; k E h; streaming logistic regression."""
    figure, axes = panels(6, width=3.7, height=3.0)
    table = study.table
    for ax, kind, title in zip(
        axes[:3], ("constant", "harmonic", "averaged"),
        ("constant step", "step $c/(k+a)$", "average of the iterates, constant step"), strict=True,
    ):  # fmt: skip
        for metric in METRICS:
            curve = select(table, panel=f"{kind} theory", curve=metric)
            ax.plot(curve.k, curve.theory, color=METRICS[metric][0], label=f"theory, {METRICS[metric][2]}")
            _points(ax, select(table, panel=kind, curve=metric), *METRICS[metric][:2])
        _finish(ax, title, "steps $k$", "expected risk $\\mathrm{E}\\,h_k$")
    for metric, floor in study.facts["floors"].items():
        axes[0].axhline(floor, color=METRICS[metric][0], lw=0.9, ls=":", label=f"floor, {METRICS[metric][2]}")
    k = np.array([30.0, select(table, panel="averaged").k.max()])
    for ax in axes[1:3]:
        ax.plot(k, study.facts["efficient"] / k, color="k", lw=0.9, ls=":", label="tr$(H^{-1}\\Sigma)/2k$")
    _bias(axes[3], select(table, panel="bias"))
    _asymptotic(axes[4], select(table, panel="asymptotic"), study.facts["efficient"])
    streaming = select(table, panel="streaming")
    axes[5].plot(streaming.k, streaming.theory, color=PALETTE[2], label="quadratic theory, $F^{-1}/(k+20)$")
    axes[5].plot(streaming.k, streaming.bound, color="k", lw=0.9, ls=":", label="Cramér–Rao, $n/2k$")
    _points(axes[5], streaming, PALETTE[2], "s")
    _finish(axes[5], "streaming logistic regression", "samples $k$", "expected risk")
    for ax in (*axes[:3], axes[5]):
        ax.errorbar([], [], [], color="0.3", marker="o", ls="", capsize=2, label="Monte Carlo ± 3 standard errors")
    for ax in axes:
        ax.legend(fontsize=7)
    return figure


def _points(ax: Axes, rows: pd.DataFrame, colour, marker: str) -> None:
    ax.errorbar(rows.k, rows.measured, 3 * rows.error, color=colour, marker=marker, ls="", capsize=2)


def _bias(ax: Axes, rows: pd.DataFrame) -> None:
    for metric, (colour, _, label) in METRICS.items():
        part = select(rows, curve=metric)
        ax.plot(part.k, part.theory, color=colour, label=f"bias, {label}")
        ax.plot(part.k, part.bound, color=colour, ls="--", lw=1.0, label=f"smallest of 3 bounds, {label}")
    _finish(ax, "averaged: what the start contributes", "steps $k$", "bias of $\\mathrm{E}\\,h$")


def _asymptotic(ax: Axes, rows: pd.DataFrame, efficient: float) -> None:
    for name, (colour, line, label) in ASYMPTOTIC.items():
        part = select(rows, curve=name)
        ax.plot(part.k, part.k * part.theory / efficient, color=colour, ls=line, label=label)
    ax.axhline(1.0, color="k", lw=0.9, ls=":")
    _finish(ax, "distance from efficiency", "steps $k$", "$2k\\,\\mathrm{E}\\,h_k\\,/\\,$tr$(H^{-1}\\Sigma)$")
    ax.set_ylim(0.5)


def _finish(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set(xscale="log", yscale="log", title=title, xlabel=x, ylabel=y)
