"""Figure of K-FAC with low input dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.style import PALETTE, panels

COLOUR = {"Forster": PALETTE[3], "sphere": PALETTE[0]}
LABEL = {"Forster": "Forster transform", "sphere": "sphere"}


def plot(study: Study) -> Any:
    """Leverages, spectrum of `K`, residuals and test losses, with and without the transform."""
    facts = study.facts
    figure, axes = panels(4, columns=2, width=4.2, height=3.0)
    samples = np.arange(1, facts["samples"] + 1)
    for name, colour in COLOUR.items():
        axes[0].plot(samples, np.sort(study.arrays[f"leverage {name}"])[::-1], ".", color=colour, label=LABEL[name])
        axes[1].plot(samples, np.sort(study.arrays[f"spectrum {name}"])[::-1], ".", color=colour, label=LABEL[name])
    axes[0].axhline(facts["dimension"] / facts["samples"], color="0.6", lw=0.8, label="d/N", zorder=0)
    axes[1].axhline(facts["alpha"], color="0.6", lw=0.8, label=r"$\alpha = N(L-2) + d + 1$", zorder=0)
    axes[0].set(xlabel="sample, sorted", ylabel="leverage", title="(a) diagonal of the hat matrix")
    axes[1].set(xlabel="mode, sorted", ylabel="eigenvalue of $K$", title="(b) K-FAC's preconditioned kernel")
    for axis in axes[:2]:
        axis.legend()
    residual, loss = (study.table[study.table["quantity"] == quantity] for quantity in ("residual", "test loss"))
    law = facts["fraction"] ** residual["step"]
    _path(axes[2], residual.assign(value=residual["value"] / law, half_width=residual["half_width"] / law))
    axes[2].axhline(1, color="0.6", lw=0.8, zorder=0)
    _path(axes[3], loss)
    for axis in axes[2:]:
        axis.set(xlabel=r"step $t$, $\eta = 1/(2\alpha)$")
        axis.legend(title="lines: closed form, markers: networks", title_fontsize=8)
    axes[2].set(ylabel=r"$|r_t|\,/\,(1 - \eta\alpha)^t |r_0|$ (training)", title="(c) one rate, or many")
    axes[3].set(ylim=(0, None))
    axes[3].set(ylabel="test loss", title="(d) test inputs, transformed by the same R")
    figure.suptitle(
        f"K-FAC on digits: N = {facts['samples']} samples in d = {facts['dimension']} dimensions, {facts['depth']} layers, "
        f"width {facts['width']}, {facts['seeds']} networks, bars: 95 % intervals",
        fontsize=10,
    )
    return figure


def _path(axis: Any, rows: Any) -> None:
    for name, colour in COLOUR.items():
        part = rows[rows["inputs"] == name]
        theory, simulation = (part[part["source"] == source] for source in ("theory", "simulation"))
        axis.plot(theory["step"], theory["value"], color=colour, label=LABEL[name])
        axis.errorbar(simulation["step"], simulation["value"], simulation["half_width"], color=colour, ls="none",
                      marker="D" if name == "Forster" else "o", capsize=2)  # fmt: skip
