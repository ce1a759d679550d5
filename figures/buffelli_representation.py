"""Figure B4: movement of the tangent kernel and of the representations."""

from __future__ import annotations

from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import MARKERS, OBJECTIVES, band, methods, seeds
from figures.style import panels


def plot(study: Study) -> Figure:
    """One row an objective; kernel rate, kernel cosine, and CKA of the first, middle and last block."""
    blocks = study.facts["blocks"]
    chosen = sorted({1, (blocks + 1) // 2, blocks})
    columns = ["ntk_rate", "ntk_cosine", *(f"cka_{b}" for b in chosen)]
    titles = ["NTK: rate of change", "NTK: cosine with initial", *(f"CKA, block {b}" for b in chosen)]
    figure, axes = panels(2 * len(columns), columns=len(columns), width=2.5, height=2.4)
    for row, (objective, name) in enumerate(OBJECTIVES.items()):
        table = select(study.table, objective=objective)
        for ax, column, title in zip(axes[row * len(columns) :], columns, titles, strict=False):
            for method in methods(table):
                band(ax, select(table, method=method), "epoch", column, method, marker=MARKERS[method], markersize=3)
            ax.set(title=title, xlabel="epoch")
            if column == "ntk_rate":
                ax.set(yscale="log", ylabel=f"{name}\n" + r"$|\Delta\Theta|/|\Theta|$ per epoch")
            elif column == "ntk_cosine":
                ax.set_ylabel("cosine")
            elif column == "cka_1":
                ax.set_ylabel("CKA with initial output")
    axes[-1].legend(fontsize=7)
    figure.suptitle(f"Movement of kernel and representations, held-out digits ({seeds(study.table)})", fontsize=10)
    return figure
