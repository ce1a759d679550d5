"""Figure of the tri-diagonal pattern at depths 3s + 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.karakida_singular import ALPHA, SINGULAR
from analyses.study import Study
from figures.style import PALETTE, panels

COLOUR = {2: PALETTE[0], 5: PALETTE[1]}


def plot(study: Study) -> Any:
    """`alpha` over depths, the limit of vanishing damping, losses, and distances over widths."""
    parts = {panel: rows for panel, rows in study.table.groupby("panel")}
    figure, axes = panels(4, columns=2, width=4.2, height=3.0)
    _alpha(axes[0], parts["isotropy"])
    _limit(axes[1], parts["limit"])
    _losses(axes[2], parts["training"][parts["training"]["width"] == study.facts["width"]])
    _widths(axes[3], parts["width"], study.facts["slopes"])
    facts = study.facts
    figure.suptitle(
        f"Block tri-diagonal Fisher where the pattern is singular (L = 3s + 2), N = {facts['samples']}; bars: 95 % intervals",
        fontsize=10,
    )
    axes[2].set_title(f"(c) training at width {facts['width']}, {facts['seeds']} networks")
    return figure


def _alpha(axis: Any, rows: Any) -> None:
    depths = sorted(rows["depth"].unique())
    axis.plot(depths, [ALPHA[int(depth)] for depth in depths], color="0.75", lw=5, label=r"$1^\top T^+ 1$", zorder=0)
    for marker, (source, part) in zip("ox", rows.groupby("source"), strict=False):
        axis.plot(part["depth"], part["alpha"], ls="none", marker=marker, ms=8, mew=1.5, mfc="none", color=PALETTE[0],
                  label=source)  # fmt: skip
    for depth in depths:
        if depth % 3 == 2:
            axis.axvspan(depth - 0.3, depth + 0.3, color=PALETTE[1], alpha=0.2, lw=0)
    axis.set(xlabel="layers L (shaded: T singular)", ylabel=r"$\alpha = \mathrm{tr} K / NC$", title="(a) isotropy")
    axis.set_xticks(depths)
    axis.set_yticks(sorted(set(ALPHA.values())))
    axis.legend()


def _limit(axis: Any, rows: Any) -> None:
    for depth in SINGULAR:
        for on, marker, label in (("train", "o", "K"), ("cross", "s", "K'")):
            part = rows[(rows["depth"] == depth) & (rows["on"] == on)]
            axis.plot(part["kappa"], part["distance"], marker=marker, color=COLOUR[depth],
                      ls="-" if on == "train" else "--", label=f"L = {depth}, ${label}$")  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel=r"damping $N\rho$ / mean eigenvalue of $\Theta_l$")
    axis.set(ylabel="relative distance to the limit", title=r"(b) the limit $\rho \to 0$ is linear")
    axis.legend()


def _losses(axis: Any, rows: Any) -> None:
    for depth in SINGULAR:
        for on, marker, dashes in (("train", "o", "-"), ("test", "^", "--")):
            part = rows[(rows["depth"] == depth) & (rows["on"] == on)]
            theory, simulation = (part[part["source"] == source] for source in ("theory", "simulation"))
            axis.plot(theory["step"], theory["loss"], dashes, color=COLOUR[depth], label=f"L = {depth}, {on}")
            axis.errorbar(simulation["step"], simulation["loss"], simulation["half_width"], color=COLOUR[depth],
                          ls="none", marker=marker, capsize=2)  # fmt: skip
    axis.set(yscale="log", xlabel=r"step, $\eta = 1/(2\alpha)$", ylabel="loss")
    axis.legend(title="lines: closed form, markers: networks", title_fontsize=8, ncols=2)


def _widths(axis: Any, rows: Any, slopes: Any) -> None:
    for depth in SINGULAR:
        for on, marker, dashes in (("train", "o", "-"), ("test", "^", "--")):
            part = rows[(rows["depth"] == depth) & (rows["on"] == on)]
            means = part.groupby("width")["distance"].mean()
            label = f"L = {depth}, {on}" + (f", slope {slopes[depth]:.2f}" if on == "train" else "")
            axis.plot(part["width"], part["distance"], ls="none", marker=marker, ms=3, color=COLOUR[depth], alpha=0.5)
            axis.plot(means.index, means, dashes, color=COLOUR[depth], label=label)
    widths = np.array(sorted(rows["width"].unique()), float)
    axis.plot(widths, 0.02 * (widths / widths[0]) ** -0.5, ":", color="0.5", label=r"$M^{-1/2}$")
    axis.set(xscale="log", yscale="log", xlabel="width $M$", ylabel=r"$\max_t\,|f_t - f_t^{\rm closed}|\,/\,|r_0|$")
    axis.set_xticks(widths, [f"{width:.0f}" for width in widths])
    axis.minorticks_off()
    axis.set_ylim(bottom=3e-5)
    axis.set_title("(d) distance to the closed form")
    axis.legend(fontsize=7, loc="lower left", ncols=2)
