"""Loss after one step against the step size: lines from theory, markers from networks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.seeds import mean_with_interval
from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, LABELS, MARKERS, panels


def plot(study: Study) -> Figure:
    """Against `eta`, where each approximation has its own scale; against `eta alpha`, where all agree; minima by width."""
    figure, (left, right, last) = panels(3, columns=3, width=3.5, height=3.1)
    at_width = select(study.table, width=study.facts["width"])
    for fisher in dict.fromkeys(at_width["fisher"]):
        groups = [part for _, part in select(at_width, fisher=fisher).groupby("factor")]
        for axes, key in ((left, "eta"), (right, "factor")):
            x = np.array([part[key].mean() for part in groups])
            simulated = [mean_with_interval(part["after"] / part["before"]) for part in groups]
            means, halves = (np.array(column, float) for column in zip(*simulated, strict=True))
            theory = np.array([(part["predicted"] / part["before"]).mean() for part in groups])
            fine = np.linspace(x.min(), x.max(), 200)
            axes.plot(fine, np.maximum(np.polyval(np.polyfit(x, theory, 2), fine), 1e-7), color=COLOURS[fisher])
            axes.errorbar(
                x, means, np.minimum(halves, 0.9 * means), fmt=MARKERS[fisher], color=COLOURS[fisher],
                fillstyle="none", capsize=2, label=LABELS[fisher],
            )  # fmt: skip
        left.axvline(groups[0]["eta"].mean() / groups[0]["factor"].mean(), color=COLOURS[fisher], ls=":", lw=1)
    left.set_xscale("log")
    left.set_xlabel(r"step size $\eta$ (dotted: $1/\alpha$)")
    right.axvline(1, color="0.4", ls=":", lw=1)
    right.set_xlabel(r"$\eta\,\alpha$")
    for axes in (left, right):
        axes.set_yscale("log")
        axes.set_ylim(1e-5, 2)
        axes.set_ylabel("training loss after one step / before")
    locations(last, study)
    last.legend(loc="upper left")
    facts = study.facts
    figure.suptitle(
        f"synthetic, N = {facts['samples']}, {facts['depth']} layers, relu, M = {facts['width']}: lines from infinite-width theory, "
        f"markers {facts['seeds']} networks, 95 %", fontsize=9,
    )  # fmt: skip
    return figure


def locations(axes: Axes, study: Study) -> None:
    """Location of the minimum at each width: it tends to 1."""
    for fisher, found in study.facts["minima"].items():
        groups = [(width, mean_with_interval(part["location"])) for width, part in found.groupby("width")]
        x = np.array([width**-0.5 for width, _ in groups])
        means = [mean for _, (mean, _) in groups]
        halves = [half or 0 for _, (_, half) in groups]
        axes.errorbar(
            x,
            means,
            halves,
            fmt=MARKERS[fisher] + "-",
            color=COLOURS[fisher],
            capsize=2,
            fillstyle="none",
            label=LABELS[fisher],
        )
    axes.axhline(1, color="0.4", ls=":", lw=1)
    axes.set_xlim(left=0)
    axes.set_xlabel(r"$M^{-1/2}$ (M: hidden width)")
    axes.set_ylabel(r"location of the minimum, $\eta\,\alpha$")
