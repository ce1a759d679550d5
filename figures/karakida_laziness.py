"""Figure of the laziness analysis."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.karakida_laziness import KERNELS
from analyses.seeds import mean_with_interval
from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, LABELS, MARKERS, panels

SYMBOLS = {"Theta": r"$\Theta$", **{name: rf"$\Theta_{{{name[6:]}}}$" for name in KERNELS[1:]}}


def plot(study: Study) -> Any:
    """Displacements of parameters over steps and widths, and changes of the NTK and its layers against width."""
    table = study.table
    names = list(dict.fromkeys(table["fisher"]))
    figure, axes = panels(2 + len(KERNELS), columns=3, width=3.6, height=3.0)
    _steps(axes[0], table[table["width"] == table["width"].max()], names)
    for index, what in enumerate(("displacement", *KERNELS)):
        _widths(axes[index + 1], study, names, what)
        title = "displacement of the parameters" if what == "displacement" else f"change of {SYMBOLS[what]}"
        axes[index + 1].set_title(f"({chr(ord('b') + index)}) {title}")
    axes[1].set_ylabel(r"$|\theta_T - \theta_0|$")
    for axis, what in zip(axes[2:], KERNELS, strict=True):
        symbol = SYMBOLS[what].strip("$")
        axis.set_ylabel(rf"$|{symbol}(T) - {symbol}(0)|\,/\,|{symbol}(0)|$")
    facts = study.facts
    figure.suptitle(
        rf"synthetic, N = {facts['samples']}, {facts['depth']} layers, relu, $\eta = 1/(2 k_{{\max}})$, T = {facts['steps']} "
        f"steps; mean of {facts['networks']} networks or more, 95 % intervals", fontsize=10,
    )  # fmt: skip
    return figure


def _steps(axis: Any, rows: Any, names: list[str]) -> None:
    for name in names:
        part = rows[rows["fisher"] == name].groupby("step")
        axis.plot(part["displacement"].mean(), ls="none", marker=MARKERS[name], color=COLOURS[name], label=LABELS[name])
        if name != "UnitWise":
            axis.plot(part["predicted"].mean(), color=COLOURS[name])
    axis.set(xlabel="step", ylabel=r"$|\theta_t - \theta_0|$", title=f"(a) displacement, M = {rows['width'].iloc[0]}")
    axis.legend(title="lines: closed form, markers: networks", title_fontsize=7, fontsize=7)
    axis.set_ylim(top=1.5 * rows["displacement"].max())


def _widths(axis: Any, study: Study, names: list[str], what: str) -> None:
    widths = np.array(study.facts["widths"], float)
    for name in names:
        last = [select(study.table, fisher=name, width=width, step=study.facts["steps"]) for width in widths]
        means, halves = zip(*(mean_with_interval(np.log(part[what])) for part in last), strict=True)
        centre, spread = np.array(means), np.array([half or 0 for half in halves])
        label = f"{LABELS[name]}: {study.facts['slopes'][name, what].value:.2f}"
        axis.plot(widths, np.exp(centre), marker=MARKERS[name], color=COLOURS[name], label=label)
        axis.fill_between(
            widths, np.exp(centre - spread), np.exp(centre + spread), color=COLOURS[name], alpha=0.15, lw=0
        )
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    if what == "displacement":
        axis.set_ylim(0.2 * low, 3 * high)
    else:
        axis.plot(widths, 0.7 * high * (widths / widths[0]) ** -0.5, ":", color="0.5")
        axis.text(widths[0], 0.75 * high, r"$\propto M^{-1/2}$", fontsize=7, color="0.4")
        axis.set_ylim(low * (low / high) ** 0.45, 1.3 * high)
    axis.set_xticks(widths, [f"{width:g}" for width in widths])
    axis.set_xlabel("hidden width M")
    axis.legend(
        title="slopes", title_fontsize=7, fontsize=7, loc="lower left", ncols=2 if what == "displacement" else 1
    )
