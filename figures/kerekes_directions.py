"""Figure A2: directions of natural gradient flow and gradient flow on separable data."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.kerekes_style import ARCHITECTURES, NATURAL
from figures.style import PALETTE, panels

TARGETS = {"u*": "linear programme $u^*$", "l2": "$\\ell_2$ maximum margin", "l1": "$\\ell_1$ maximum margin"}


def plot(study: Study) -> Figure:
    """Angles to three limits against the loss; margins and asymptote against time."""
    figure, axes = panels(6, width=3.9, height=3.0)
    table = study.table
    for ax, (target, name) in zip(axes, TARGETS.items(), strict=False):
        _angles(ax, select(table, panel="angles", target=target), name)
    axes[0].legend(fontsize=7, loc="lower left")
    _margins(axes[3], select(table, panel="margins"))
    _asymptote(axes[4], select(table, panel="asymptote"))
    _starts(axes[5], select(table, panel="starts"), study)
    return figure


def _angles(ax: Axes, rows: pd.DataFrame, target: str) -> None:
    for name, part in rows.groupby("curve", sort=False):
        known = part[part.x > 0.5]
        look = ARCHITECTURES.get(str(name).removeprefix("GD, "), NATURAL)
        ax.plot(known.x, known.y, label=name, **look)
    ax.set(xscale="log", yscale="log", ylim=(1e-3, 180), title=f"angle to the {target}",
           xlabel="$-\\log$ loss", ylabel="angle (degrees)")  # fmt: skip


def _margins(ax: Axes, rows: pd.DataFrame) -> None:
    for kind, colour in (("inactive", "0.7"), ("active", PALETTE[0])):
        part = select(rows, curve=kind)
        for k, (_, line) in enumerate(part.groupby("sample")):
            ax.plot(line.x, line.y, color=colour, lw=1.0, label=f"{kind} samples" if k == 0 else None)
    end = rows.x.max()
    ax.plot([0, end], [0, end], color="black", ls=":", lw=1.0, label="slope 1")
    ax.set(title="margins along natural gradient flow", xlabel="time $t$", ylabel="margin $m_n(t)$")
    ax.legend(fontsize=7)


def _asymptote(ax: Axes, rows: pd.DataFrame) -> None:
    error, predicted = select(rows, curve="error"), select(rows, curve="predicted", minimum={"x": 8.0})
    ax.plot(error.x, error.y, color=PALETTE[0], lw=2.4, label="$|w(t) - (t u^* + b^*)|$")
    ax.plot(predicted.x, predicted.y, color=PALETTE[1], ls="--", label="first-order correction")
    ax.axvline(40, color="0.6", lw=0.8, ls=":")
    ax.annotate("checked at $t = 40$", (40, 1.0), xytext=(4, 0), textcoords="offset points", fontsize=7, color="0.4")
    ax.set(yscale="log", ylim=(1e-15, 1e3), title="error of the asymptote", xlabel="time $t$", ylabel="distance")
    ax.legend(fontsize=7, loc="lower left")


def _starts(ax: Axes, rows: pd.DataFrame, study: Study) -> None:
    facts = study.facts
    ax.plot(rows.x, rows.y, "o", ms=3, color="0.6", alpha=0.7, label="limits $u^*$ from other starts")
    ax.plot(facts["u-l2"], facts["u-l1"], "P", ms=8, color="black", label="limit $u^*$ of the flow shown here")
    ax.plot(0, facts["l1-l2"], "o", ms=7, color=PALETTE[0], label="$\\ell_2$ maximum margin")
    ax.plot(facts["l1-l2"], 0, "D", ms=6, color=PALETTE[3], label="$\\ell_1$ maximum margin")
    top = max(rows.x.max(), rows.y.max())
    ax.set(title="the limit depends on the start", xlabel="angle to the $\\ell_2$ maximum margin (degrees)",
           ylabel="angle to the $\\ell_1$ maximum margin (degrees)", xlim=(-2, None), ylim=(-2, 1.45 * top))  # fmt: skip
    ax.legend(fontsize=7, loc="upper left")
