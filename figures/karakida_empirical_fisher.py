"""Figure of the empirical Fisher."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.karakida_mini_batch import lines
from figures.style import PALETTE, panels

DAMPED = {  # label, colour, marker, line
    "Exact": ("true Fisher", PALETTE[0], "o", "-"),
    "EmpiricalFisher": ("empirical", PALETTE[3], "D", "-"),
    "EmpiricalFisher, block-diagonal": ("empirical, block-diagonal", PALETTE[1], "s", "-"),
    "Exact, little damping": ("true, little damping", PALETTE[0], "v", ":"),
    "EmpiricalFisher, little damping": ("empirical, little damping", PALETTE[3], "^", ":"),
}


def plot(study: Study) -> Any:
    """The spectrum of `K`, the flow that fits one sample after another, and damped training."""
    parts = {panel: rows for panel, rows in study.table.groupby("panel")}
    figure, axes = panels(3, width=3.8, height=3.2)
    _spectrum(axes[0], parts["spectrum"])
    _flow(axes[1], parts["flow"])
    _damped(axes[2], parts["damped"])
    facts = study.facts
    figure.suptitle(
        f"the empirical Fisher on N = {facts['samples']} digits; {facts['depth']} layers, width {facts['width']}, "
        f"{facts['seeds']} networks",
        fontsize=10,
    )
    return figure


def _spectrum(axis: Any, rows: Any) -> None:
    part = rows[rows["of"] == "Exact"]
    for name, colour, label in (("Exact", PALETTE[0], "true Fisher"), ("EmpiricalFisher", PALETTE[3], "empirical")):
        chosen = part[part["fisher"] == name]
        axis.plot(chosen["index"] + 1, chosen["expected"], color=colour, lw=4, alpha=0.3)
        axis.plot(chosen["index"] + 1, chosen["value"], ".", color=colour, label=label)
    axis.set(yscale="log", xlabel="mode, sorted", ylabel="eigenvalue of $K$")
    axis.set_title(r"(a) $K = I$ and $K = \mathrm{diag}(1/e_n^2)$")
    axis.legend(title="bands: theory", title_fontsize=8)


def _flow(axis: Any, rows: Any) -> None:
    theory, simulation = (rows[rows["source"] == source] for source in ("theory", "simulation"))
    for index, (sample, part) in enumerate(theory.groupby("sample")):
        colour = PALETTE[index % len(PALETTE)]
        axis.plot(part["time"], part["value"], color=colour, lw=1)
        measured = simulation[simulation["sample"] == sample].iloc[:: max(len(part) // 8, 1)]
        axis.plot(measured["time"], measured["value"], ".", color=colour, ms=4)
    axis.plot([], [], color="0.4", lw=1, label=r"$\sqrt{e_n(0)^2 - 2t}$")
    axis.plot([], [], ".", color="0.4", label="one network, small steps")
    axis.set(xlabel="time, in units of the first sample's fitting time", ylabel="$|e_n(t)|$")
    axis.set_ylim(0, 1.35 * float(np.max(rows["value"])))
    axis.set_title("(b) its flow: one sample after another")
    axis.legend()


def _damped(axis: Any, rows: Any) -> None:
    for name, (label, colour, marker, dashes) in DAMPED.items():
        lines(axis, rows[rows["fisher"] == name], "step", colour, marker, label, dashes)
    axis.set(yscale="log", xlabel="step", ylabel=r"$|r_t|\,/\,|r_0|$ (training)")
    axis.set_title("(c) damped training")
    axis.legend(title="lines: iteration, markers: networks", title_fontsize=7, fontsize=7, loc="lower left")
