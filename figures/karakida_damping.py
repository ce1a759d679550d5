"""Figure of the damping analysis."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, PALETTE, panels


def plot(study: Study) -> Any:
    """Training at three dampings, the spectrum of the damped tri-diagonal pattern, and K-FAC's split."""
    table = study.table
    figure, axes = panels(6, width=3.7, height=3.0)
    training = table[table["panel"] == "training"]
    for axis, name in zip(axes, ("Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC"), strict=False):
        _training(axis, training[training["fisher"] == name], name)
    _spectrum(axes[4], table[table["panel"] == "spectrum"])
    _split(axes[5], table[table["panel"] == "split"])
    facts = study.facts
    figure.suptitle(
        f"Damped natural gradient descent, {facts['depth']} layers, N = {facts['samples']}; (a)-(d): width "
        f"{facts['width']}, mean of {facts['seeds']} networks, bars: 95 % intervals",
        fontsize=10,
    )
    return figure


def _training(axis: Any, rows: Any, name: str) -> None:
    for index, (kappa, part) in enumerate(rows.groupby("kappa")):
        colour = PALETTE[index]
        theory, simulation = (part[part["source"] == source] for source in ("theory", "simulation"))
        axis.plot(theory["step"], theory["residual"], color=colour, label=rf"$N\rho = {kappa:g}\,\bar\lambda$")
        axis.errorbar(
            simulation["step"], simulation["residual"], simulation["half_width"], color=colour, ls="none",
            marker=MARKERS[name], capsize=2,
        )  # fmt: skip
    axis.set(xlabel="step", ylabel=r"$|r_t|\,/\,|r_0|$ (training)", title=f"({'abcd'[_index(name)]}) {LABELS[name]}")
    axis.set_yscale("log")
    axis.legend(title="lines: closed form", title_fontsize=8)


def _index(name: str) -> int:
    return ("Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC").index(name)


def _spectrum(axis: Any, rows: Any) -> None:
    for name, part in rows.groupby("fisher"):
        for column, dashes in (("largest", "-"), ("smallest", "--")):
            label = LABELS[name] if column == "largest" else None
            axis.plot(part["rho"], part[column], dashes, color=COLOURS[name], label=label)
    _windows(axis, rows[rows["fisher"] == "BlockTriDiagonal"])
    axis.axhline(0, color="0.6", lw=0.8)
    axis.set(xscale="log", xlabel=r"damping $\rho$", ylabel="extreme eigenvalues of $K$")
    axis.set_yscale("symlog", linthresh=1.0)
    axis.set_title("(e) poles of the tri-diagonal pattern (L = 3, N = 12)")
    axis.legend(loc="lower right", title="largest (—), smallest (- -)", title_fontsize=8)


def _windows(axis: Any, rows: Any) -> None:
    """Shade the dampings at which the verdict is ill-posed, half a grid step on either side."""
    grid, bad = rows["rho"].to_numpy(), (rows["verdict"] == "ill-posed").to_numpy()
    middles = np.sqrt(grid[:-1] * grid[1:])
    left, right = np.r_[grid[0], middles], np.r_[middles, grid[-1]]
    label: str | None = "ill-posed"
    for low, high in zip(left[bad], right[bad], strict=True):
        axis.axvspan(low, high, color="0.88", lw=0, label=label, zorder=0)
        label = None


def _split(axis: Any, rows: Any) -> None:
    for index, (layer, part) in enumerate(rows.groupby("layer")):
        limit = part.groupby("width")["limit"].first()
        axis.plot(limit.index, limit, color=PALETTE[index], label=f"layer {int(layer)}")
        shift = 1.03 ** (np.asarray(part["seed"], float) - part["seed"].mean())
        axis.plot(part["width"] * shift, part["pi"], ls="none", marker="o", ms=3, color=PALETTE[index], alpha=0.7)
    axis.set(xscale="log", yscale="log", xlabel="width $M$", ylabel=r"$\pi = \rho_A / \sqrt{\rho}$")
    axis.set_title(r"(f) K-FAC's $\pi$ rule")
    axis.set_ylim(top=30)
    axis.legend(title="lines: infinite width, dots: networks", title_fontsize=8, loc="upper left", ncols=3)
