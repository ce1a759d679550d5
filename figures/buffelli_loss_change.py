"""Figure B3: how much of a batch's loss its own update removes."""

from __future__ import annotations

from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import OBJECTIVES, THEORY, band, methods, seeds
from figures.style import panels


def plot(study: Study) -> Figure:
    """One panel an objective."""
    figure, axes = panels(2, columns=2, width=3.9, height=3.0)
    for ax, (objective, title) in zip(axes, OBJECTIVES.items(), strict=True):
        table = select(study.table, objective=objective)
        for method in methods(table):
            band(ax, select(table, method=method), "epoch", "percent_change", method)
        ax.set(xlabel="epoch", ylabel="change of the batch loss (%)", title=title)
    facts = study.facts
    axes[0].axhline(facts["full_rank_percent"], **THEORY, label=r"$J R = L_b I$: $100((1-\eta L_b)^2-1)$")
    axes[0].axhline(
        facts["projector_percent"],
        **{**THEORY, "linestyle": "--"},
        label=r"from the projectors: $|(I-\eta J R)\epsilon|^2$",
    )
    axes[0].set_ylim(-56, 12)
    axes[1].set_ylim(-30, 5)
    axes[0].legend(loc="upper right", fontsize=6.5, ncols=2)
    axes[1].legend()
    figure.suptitle(f"Change of the batch loss by its own update, digits ({seeds(study.table)})", fontsize=10)
    return figure
