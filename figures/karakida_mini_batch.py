"""Figure of mini-batches and the empirical Fisher."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, PALETTE, panels

NAMES = ("Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC")
WHERE = {"on the batch": ("o", PALETTE[0]), "off the batch": ("s", PALETTE[1]), "test": ("^", PALETTE[2])}
DAMPED = {
    "Exact": ("true Fisher", PALETTE[0], "o"),
    "EmpiricalFisher": ("empirical", PALETTE[3], "D"),
    "EmpiricalFisher, block-diagonal": ("empirical, block-diagonal", PALETTE[1], "s"),
}


def plot(study: Study) -> Any:
    """Residuals over mini-batch steps, the first step, passes, and the empirical Fisher."""
    parts = {panel: rows for panel, rows in study.table.groupby("panel")}
    figure, axes = panels(6, width=3.7, height=3.0)
    _residuals(axes[0], parts["residual"], study.facts)
    _first_step(axes[1], parts["first step"])
    _passes(axes[2], parts["passes"])
    _spectrum(axes[3], parts["spectrum"])
    _flow(axes[4], parts["flow"])
    _damped(axes[5], parts["damped"])
    facts = study.facts
    figure.suptitle(
        f"(a)-(c) mini-batches of {facts['batch']} of N = {facts['samples']} digits; (d)-(f) the empirical Fisher; width "
        f"{facts['width']}, {facts['seeds']} networks",
        fontsize=10,
    )
    return figure


def _lines(axis: Any, rows: Any, x: str, colour: Any, marker: str, label: str, dashes: str = "-") -> None:
    theory, simulation = (rows[rows["source"] == source] for source in ("theory", "simulation"))
    axis.plot(theory[x], theory["value"], dashes, color=colour, label=label)
    axis.errorbar(simulation[x], simulation["value"], simulation["half_width"], color=colour, ls="none", marker=marker,
                  capsize=2)  # fmt: skip


def _residuals(axis: Any, rows: Any, facts: Any) -> None:
    for name in NAMES:
        part = rows[rows["fisher"] == name]
        _lines(axis, part, "step", COLOURS[name], MARKERS[name], LABELS[name])
    per_pass = facts["samples"] // facts["batch"]
    for boundary in range(0, facts["passes"] * per_pass + 1, per_pass):
        axis.axvline(boundary, color="0.9", lw=0.8, zorder=0)
    axis.set(
        yscale="log", xlabel=r"step on a batch, $\eta = 1/\alpha$", ylabel=r"$|r_t|\,/\,|r_0|$ (all training inputs)"
    )
    axis.set_title("(a) passes over the batches")
    axis.legend(title="lines: iteration, markers: networks", title_fontsize=8, loc="lower left")


def _first_step(axis: Any, rows: Any) -> None:
    part = rows[rows["fisher"] == "BlockDiagonal"]
    for where, (marker, colour) in WHERE.items():
        chosen = part[part["where"] == where]
        axis.plot(chosen["predicted"], chosen["simulated"], ls="none", marker=marker, color=colour, label=where)
    ends = [part["predicted"].min(), part["predicted"].max()]
    axis.plot(ends, ends, color="0.6", lw=0.8, zorder=0)
    axis.set(xlabel="change of $f$, predicted", ylabel="change of $f$, one network")
    axis.set_title("(b) first step, block-diagonal")
    axis.legend()


def _passes(axis: Any, rows: Any) -> None:
    _lines(axis, rows, "pass", COLOURS["Exact"], "o", "exact Fisher")
    bound = rows.groupby("pass")["bound"].first()
    axis.plot(bound.index, bound, color="0.6", ls="--", label=f"bound, rate {rows['rate'].iloc[0]:.2f} per pass")
    axis.set(yscale="log", xlabel="pass", ylabel=r"$|r|_{\Theta^{-1}}$, relative")
    axis.set_title("(c) block Kaczmarz, $\\eta = 1$")
    axis.set_xticks(bound.index)
    axis.legend()


def _spectrum(axis: Any, rows: Any) -> None:
    part = rows[rows["of"] == "Exact"]
    for name, colour, label in (("Exact", PALETTE[0], "true Fisher"), ("EmpiricalFisher", PALETTE[3], "empirical")):
        chosen = part[part["fisher"] == name]
        axis.plot(chosen["index"] + 1, chosen["expected"], color=colour, lw=4, alpha=0.3)
        axis.plot(chosen["index"] + 1, chosen["value"], ".", color=colour, label=label)
    axis.set(yscale="log", xlabel="mode, sorted", ylabel="eigenvalue of $K$")
    axis.set_title(r"(d) $K = I$ and $K = \mathrm{diag}(1/e_n^2)$")
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
    axis.set_title("(e) its flow: one sample after another")
    axis.legend()


def _damped(axis: Any, rows: Any) -> None:
    for name, (label, colour, marker) in DAMPED.items():
        _lines(axis, rows[rows["fisher"] == name], "step", colour, marker, label)
    axis.set(yscale="log", xlabel="step", ylabel=r"$|r_t|\,/\,|r_0|$ (training)")
    axis.set_title("(f) damped training")
    axis.legend(title="lines: iteration, markers: networks", title_fontsize=8)
