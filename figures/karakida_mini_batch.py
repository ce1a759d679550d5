"""Figure of mini-batches."""

from __future__ import annotations

from typing import Any

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, PALETTE, panels

NAMES = ("Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC")
WHERE = {"on the batch": ("o", PALETTE[0]), "off the batch": ("s", PALETTE[1]), "test": ("^", PALETTE[2])}


def plot(study: Study) -> Any:
    """Residuals over mini-batch steps, the first step on and off the batch, and passes."""
    parts = {panel: rows for panel, rows in study.table.groupby("panel")}
    figure, axes = panels(3, width=3.8, height=3.2)
    _residuals(axes[0], parts["residual"], study.facts)
    _first_step(axes[1], parts["first step"])
    _passes(axes[2], parts["passes"])
    facts = study.facts
    figure.suptitle(
        f"mini-batches of {facts['batch']} of N = {facts['samples']} digits; {facts['depth']} layers, width {facts['width']}, "
        f"{facts['seeds']} networks",
        fontsize=10,
    )
    return figure


def lines(axis: Any, rows: Any, x: str, colour: Any, marker: str, label: str, dashes: str = "-") -> None:
    """Theory as a line, simulation as markers with intervals."""
    theory, simulation = (rows[rows["source"] == source] for source in ("theory", "simulation"))
    axis.plot(theory[x], theory["value"], dashes, color=colour, label=label)
    axis.errorbar(simulation[x], simulation["value"], simulation["half_width"], color=colour, ls="none", marker=marker,
                  capsize=2)  # fmt: skip


def _residuals(axis: Any, rows: Any, facts: Any) -> None:
    for name in NAMES:
        part = rows[rows["fisher"] == name]
        if part.empty:
            continue
        lines(axis, part, "step", COLOURS[name], MARKERS[name], LABELS[name])
    per_pass = facts["samples"] // facts["batch"]
    for boundary in range(0, facts["passes"] * per_pass + 1, per_pass):
        axis.axvline(boundary, color="0.9", lw=0.8, zorder=0)
    axis.set(
        yscale="log", xlabel=r"step on a batch, $\eta = 1/\alpha$", ylabel=r"$|r_t|\,/\,|r_0|$ (all training inputs)"
    )
    axis.set_title("(a) passes over the batches")
    axis.legend(title="lines: iteration, markers: networks", title_fontsize=7, fontsize=7, loc="lower left")


def _first_step(axis: Any, rows: Any) -> None:
    name = "BlockDiagonal" if (rows["fisher"] == "BlockDiagonal").any() else rows["fisher"].iloc[0]
    part = rows[rows["fisher"] == name]
    for where, (marker, colour) in WHERE.items():
        chosen = part[part["where"] == where]
        axis.plot(chosen["predicted"], chosen["simulated"], ls="none", marker=marker, color=colour, label=where)
    ends = [part["predicted"].min(), part["predicted"].max()]
    axis.plot(ends, ends, color="0.6", lw=0.8, zorder=0)
    axis.set(xlabel="change of $f$, predicted", ylabel="change of $f$, one network")
    axis.set_title(f"(b) first step, {LABELS[name]}")
    axis.legend()


def _passes(axis: Any, rows: Any) -> None:
    lines(axis, rows, "pass", COLOURS["Exact"], "o", "exact Fisher")
    bound = rows.groupby("pass")["bound"].first()
    axis.plot(bound.index, bound, color="0.6", ls="--", label=f"bound, rate {rows['rate'].iloc[0]:.2f} per pass")
    axis.set(yscale="log", xlabel="pass", ylabel=r"$|r|_{\Theta^{-1}}$, relative")
    axis.set_title("(c) block Kaczmarz, $\\eta = 1$")
    axis.set_xticks(bound.index)
    axis.legend()
