"""Distance between simulation and closed form against width: means over networks, 95 % bands, fitted slopes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.seeds import mean_with_interval
from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, panels


def plot(study: Study) -> Figure:
    """Train on the left, with the slopes that are claimed; test on the right."""
    figure, axes = panels(2, columns=2, width=3.8, height=3.1)
    for panel, on in zip(axes, ("train", "test"), strict=True):
        for fisher, rows in study.table.groupby("fisher", sort=False):
            groups = [(width, mean_with_interval(part[on])) for width, part in rows.groupby("width")]
            widths = np.array([width for width, _ in groups])
            means = np.array([mean for _, (mean, _) in groups])
            halves = np.array([half or 0 for _, (_, half) in groups])
            label = LABELS[fisher]
            if on == "train":
                slope = study.facts["slopes"][fisher]
                label += f": slope {slope.value:.2f} ± {slope.half_width():.2f}"
            panel.plot(widths, means, MARKERS[fisher] + "-", color=COLOURS[fisher], label=label)
            low = np.maximum(means - halves, 0.3 * means)  # a band that reaches 0 has no place on a log axis
            panel.fill_between(widths, low, means + halves, color=COLOURS[fisher], alpha=0.15, lw=0)
        top = panel.get_ylim()[1]
        panel.plot(widths, 0.55 * top * (widths / widths[0]) ** -0.5, ":", color="0.4", label=r"$\propto M^{-1/2}$")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xlabel("hidden width M")
        panel.set_title(f"{on} inputs")
        low, high = panel.get_ylim()
        panel.set_ylim(low, high * (high / low) ** 0.45)  # room for the legend
        panel.legend(fontsize=7, loc="upper right")
    axes[0].set_ylabel(r"$\max_t\ |f_t - f_t^{\rm closed}|\ /\ |r_0|$")
    facts = study.facts
    title = (
        f"synthetic, N = {facts['samples']}, 3 layers, relu, step 1/(2α), mean of {facts['seeds']} networks, 95 % bands"
    )
    figure.suptitle(title, fontsize=9)
    return figure
