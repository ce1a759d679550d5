"""Figure of the unit-wise Fisher matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.style import PALETTE, panels

# activation, outputs: colour, marker
LOOK = {("erf", 1): (PALETTE[0], "o"), ("relu", 1): (PALETTE[1], "s"), ("erf", 3): (PALETTE[2], "^")}
PER_UNIT = r"$C\,(\alpha - 1)\,/\,\sum_{l<L} M_l$"
DISTANCE = r"$\max_t\,|f_t - f_t^{\rm closed}|\,/\,|r_0|$"


def plot(study: Study) -> Any:
    """`alpha` over widths and dampings, training, and distances to the closed form over widths and dampings."""
    parts, facts = {panel: rows for panel, rows in study.table.groupby("panel")}, study.facts
    figure, axes = panels(6, width=3.8, height=3.1)
    _widths(axes[0], parts["alpha against width"], facts["kappa"])
    _dampings(axes[1], parts["alpha against damping"], facts["gamma"])
    for axis, quantity in zip(axes[2:4], ("residual", "test loss"), strict=True):
        _training(axis, parts["training"][parts["training"]["quantity"] == quantity])
    axes[2].set(ylabel=r"$|r_t|\,/\,|r_0|$ (training)", yscale="log")
    axes[2].set_title(rf"(c) training, $M = {facts['width']}$, $\kappa = {facts['kappa']:g}$")
    axes[3].set(ylabel="test loss", title="(d) the same networks on test inputs")
    _distances(axes[4], parts["distance against width"], facts["slopes"])
    _blow_up(axes[5], parts["distance against damping"])
    figure.suptitle(
        f"Unit-wise Fisher matrix, 3 layers, N = {facts['samples']}; bars and bands: 95 % intervals", fontsize=10
    )
    return figure


def _label(activation: str, outputs: int) -> str:
    return f"{activation}, C = {outputs}"


def _widths(axis: Any, table: Any, kappa: float) -> None:
    """Means of finite networks over `1/M`, their extrapolation, and the expectation at infinite width."""
    largest = 1 / table["width"].min()  # of 1/M
    for key, (colour, marker) in LOOK.items():
        rows = table[(table["activation"] == key[0]) & (table["outputs"] == key[1])]
        finite = rows[rows["source"] == "simulation"].groupby("width")["value"].agg(["mean", "std", "count"])
        half = 1.96 * finite["std"] / np.sqrt(finite["count"])
        axis.errorbar(1 / finite.index, finite["mean"], half, color=colour, ls="none", marker=marker, capsize=2)
        ends = {source: rows[rows["source"] == source].iloc[0] for source in ("extrapolated", "predicted")}
        axis.errorbar(0, ends["extrapolated"]["value"], ends["extrapolated"]["half_width"], color=colour, marker=marker,
                      mfc="white", ms=7, capsize=4, clip_on=False, zorder=3)  # fmt: skip
        axis.plot([0, largest], [ends["predicted"]["value"]] * 2, color=colour, label=_label(*key))
    widths = sorted(table["width"].unique())
    axis.set_xticks(
        [1 / width for width in widths], [r"$\infty$" if width == np.inf else f"{width:.0f}" for width in widths]
    )
    axis.set(xlabel=r"width $M$ ($\infty$: networks extrapolated in $1/M$)", ylabel=PER_UNIT, ylim=(0, 1))
    axis.set_title(rf"(a) $\alpha$ at $\kappa = {kappa:g}$")
    axis.legend(title="lines: infinite width", title_fontsize=8, loc="lower right")


def _dampings(axis: Any, table: Any, gamma: Any) -> None:
    """Curves at infinite width, and networks."""
    for key, (colour, marker) in LOOK.items():
        rows = table[(table["activation"] == key[0]) & (table["outputs"] == key[1])]
        curve, finite = (rows[rows["source"] == source] for source in ("predicted", "simulation"))
        curve = curve.sort_values("kappa")
        axis.plot(curve["kappa"], curve["value"], color=colour, label=_label(*key))
        axis.fill_between(curve["kappa"], curve["value"] - curve["half_width"], curve["value"] + curve["half_width"],
                          color=colour, alpha=0.3, lw=0)  # fmt: skip
        axis.plot(finite["kappa"], finite["value"], ls="none", marker=marker, color=colour)
    for value in gamma.values():
        axis.axhline(value, color="0.6", lw=0.8, ls=":", zorder=0)
    axis.set(xscale="log", xlabel=r"damping $\kappa$", ylabel=PER_UNIT, ylim=(0, 1.05))
    axis.set_title(r"(b) $\alpha$ against damping; dotted: $P(\phi'(u) \neq 0)$")
    axis.legend(title="lines: infinite width", title_fontsize=8, loc="lower left")


def _training(axis: Any, table: Any) -> None:
    for activation, rows in table.groupby("activation"):
        colour, marker = LOOK[activation, 1]
        theory, finite = (rows[rows["source"] == source] for source in ("closed form", "simulation"))
        axis.plot(theory["step"], theory["value"], color=colour, label=activation)
        axis.errorbar(finite["step"], finite["value"], finite["half_width"], color=colour, ls="none", marker=marker,
                      capsize=2)  # fmt: skip
    axis.set(xlabel=r"step, $\eta = n / (2\,\mathrm{tr} K)$")
    axis.legend(title="lines: closed form", title_fontsize=8)


def _distances(axis: Any, table: Any, slopes: Any) -> None:
    for activation in sorted(table["activation"].unique()):
        colour, _ = LOOK[activation, 1]
        for on, marker, dashes in (("train", "o", "-"), ("test", "^", "--")):
            rows = table[(table["activation"] == activation) & (table["on"] == on)]
            means = rows.groupby("width")["value"].mean()
            label = f"{activation}, {on}, slope {slopes[activation, on]:.2f}"
            axis.plot(rows["width"], rows["value"], ls="none", marker=marker, ms=3, color=colour, alpha=0.5)
            axis.plot(means.index, means, dashes, color=colour, label=label)
    widths = sorted(table["width"].unique())
    axis.set(xscale="log", yscale="log", xlabel="width $M$", ylabel=DISTANCE, title="(e) distance to the closed form")
    axis.set_ylim(table["value"].min() / 6)
    axis.set_xticks(widths, [f"{width:.0f}" for width in widths])
    axis.minorticks_off()
    axis.legend(fontsize=7, loc="lower left")


def _blow_up(axis: Any, table: Any) -> None:
    for on, marker, dashes in (("train", "o", "-"), ("test", "^", "--")):
        rows = table[table["on"] == on]
        means = rows.groupby("kappa")["value"].mean()
        axis.plot(rows["kappa"], rows["value"], ls="none", marker=marker, ms=3, color=PALETTE[0], alpha=0.5)
        axis.plot(means.index, means, dashes, color=PALETTE[0], label=f"erf, {on}")
    axis.set(xscale="log", yscale="log", xlabel=r"damping $\kappa$", ylabel=DISTANCE)
    axis.set_title(r"(f) undamped steps hold $1/\delta$: no variance")
    axis.legend()
