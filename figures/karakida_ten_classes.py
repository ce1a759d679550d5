"""Figure of the ten-class analysis."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, panels

NAMES = ("GradientDescent", "Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC")
SIZES = dict(zip(NAMES, (4.5, 10, 7.5, 5, 2.5), strict=True))  # hollow, one inside the other where they coincide


def plot(study: Study) -> Any:
    """Residuals, accuracies on train and test, and test outputs of one network against the closed form."""
    names = [name for name in NAMES if (study.table["fisher"] == name).any()]
    figure, axes = panels(4, columns=2, width=4.3, height=3.1)
    labels = {"residual": r"$|r_t|\,/\,|r_0|$ (training)", "train": "training accuracy", "test": "test accuracy"}
    for index, (axis, what) in enumerate(zip(axes, labels, strict=False)):
        _paths(axis, study.table[study.table["what"] == what], names)
        axis.set(xlabel=r"step, $\eta = 1/(2 k_{\max})$", ylabel=labels[what], title=f"({'abc'[index]}) {labels[what]}")
    axes[0].set_title("(a) residual")
    axes[0].set_yscale("log")
    axes[0].legend(title="lines: closed form, markers: networks", title_fontsize=7, fontsize=7, loc="lower left")
    _outputs(axes[3], study.arrays, names)
    facts = study.facts
    figure.suptitle(
        f"ten digits, C = 10, N = {facts['samples']}, {facts['tests']} test inputs; {facts['depth']} layers, width "
        f"{facts['width']}, {facts['seeds']} networks", fontsize=10,
    )  # fmt: skip
    return figure


def _paths(axis: Any, rows: Any, names: list[str]) -> None:
    for name in names:
        part = rows[rows["fisher"] == name]
        theory, simulation = (part[part["source"] == source] for source in ("theory", "simulation"))
        axis.plot(theory["step"], theory["value"], color=COLOURS[name])
        axis.plot(simulation["step"], simulation["value"], ls="none", marker=MARKERS[name], ms=SIZES[name], fillstyle="none",
                  color=COLOURS[name], label=LABELS[name])  # fmt: skip


def _outputs(axis: Any, arrays: Any, names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        one, other = (np.asarray(arrays[f"{name}/{source}"]).ravel() for source in ("predicted", "simulated"))
        chosen = rng.choice(len(one), 150, replace=False)
        axis.plot(one[chosen], other[chosen], ls="none", marker=MARKERS[name], ms=2.5, alpha=0.6, color=COLOURS[name])
    axis.axline((0, 0), slope=1, color="0.6", lw=0.8, zorder=0)
    axis.set(xlabel="test outputs, closed form", ylabel="one network", title="(d) test outputs after the last step")
