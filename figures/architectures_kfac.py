"""K-FAC's spectrum with and without shared weights: isotropic for dense layers, not for convolutions."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.architectures_kfac import NAMES, VARIANTS
from analyses.architectures_networks import ARCHITECTURES
from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, PALETTE, panels

FLOOR = 1e-4
STYLES = {
    "undamped, expand": (COLOURS["KFAC"], "D-"),
    "undamped, reduce": (PALETTE[4], "D-"),
    "damped, expand": (COLOURS["KFAC"], "o--"),
    "damped, reduce": (PALETTE[4], "o--"),
    "block-diagonal": (COLOURS["BlockDiagonal"], "s-"),
}


def plot(study: Study) -> Figure:
    """One panel an architecture: eigenvalues over their mean; networks beside infinite width where weights are shared."""
    names = sorted(NAMES, key=lambda name: ARCHITECTURES[name].shares_weights)
    cases = [(name, "infinite") for name in names]
    cases += [(name, "network") for name in names if ARCHITECTURES[name].shares_weights]
    figure, axes = panels(len(cases), columns=2, width=4.3, height=2.7)
    for ax, (name, source) in zip(axes, cases, strict=True):
        _panel(ax, study, name, source)
    facts = study.facts
    figure.suptitle(
        "Undamped K-FAC is exactly isotropic only without shared weights: "
        f"digits 3 and 8, N = {facts['samples']}, damping {facts['damping']:g}",
        fontsize=9,
    )
    return figure


def _panel(ax: Axes, study: Study, name: str, source: str) -> None:
    table = select(study.table, architecture=name, source=source)
    for variant in (variant for variant in VARIANTS if variant in table["variant"].unique()):
        rows = select(table, variant=variant).sort_values("index")
        colour, marker = STYLES[variant]
        ax.plot(
            rows["index"] + 1, (rows["eigenvalue"] / rows["mean"]).clip(lower=FLOOR), marker, color=colour, markersize=4,
            fillstyle="full" if variant == "block-diagonal" else "none",
            label=f"{variant}: {rows['off_isotropy'].iloc[0]:.1g}",
        )  # fmt: skip
    where = "infinite width" if source == "infinite" else f"one network, {study.facts['width']} channels"
    ax.set_title(f"{ARCHITECTURES[name].label}, {where}", fontsize=9)
    ax.set_yscale("log")
    ax.set_ylim(FLOOR, 3e3)
    ax.set_xlabel("index of eigenvalue")
    ax.set_ylabel("eigenvalue of K / their mean")
    ax.legend(
        fontsize=6.5,
        loc="upper left",
        ncols=2,
        title="K-FAC, block-diagonal: off-isotropy |K - αI| / |K|",
        title_fontsize=6.5,
    )
