"""Figure B7: `J R` and its failure modes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import THEORY
from figures.style import PALETTE, panels


def plot(study: Study) -> Figure:
    """Rate against depth, ranks of the projectors, Fisher spectra, deviation against the size of the weights."""
    figure, axes = panels(4, columns=2, width=4.2, height=3.0)
    _rates(axes[0], study)
    _ranks(axes[1], study)
    _spectra(axes[2], study)
    _deviations(axes[3], study)
    return figure


def _rates(ax: Axes, study: Study) -> None:
    rows = select(study.table, kind="rate")
    blocks = rows.blocks.to_numpy(dtype=float)
    ax.plot(blocks, blocks, **THEORY, label=r"$L_b$ blocks")
    ax.plot(blocks, 2 * blocks, color="0.7", linestyle="--", label=r"$2L_b$ half-layers")
    ax.plot(blocks, rows.alpha, "o", color=PALETTE[0], label=r"trace$(JR)/(ND)$")
    ax.set(xlabel=r"number of blocks $L_b$", ylabel=r"$\alpha$", xticks=blocks, title=r"full row rank: $J R=\alpha I$")
    ax.legend()


def _ranks(ax: Axes, study: Study) -> None:
    rows, blocks = select(study.table, kind="case"), study.facts["blocks"]
    positions, width = np.arange(len(rows)), 0.25
    for b in range(blocks):
        offset = positions + (b - (blocks - 1) / 2) * width
        ax.bar(offset, rows[f"rank_{b + 1}"], 0.9 * width, color=PALETTE[b], alpha=0.7, label=f"block {b + 1}")
        label = r"$(\mathrm{rk} A_f+\mathrm{rk} A_g)D/2$" if b == 0 else None
        ax.plot(offset, rows[f"predicted_{b + 1}"], "k_", markersize=9, markeredgewidth=1.6, label=label)
    ax.set(ylabel=r"rank of $J_b R_b$ / $(N D)$", ylim=(0, 1.45), title="failure modes are projectors")
    ax.set_xticks(positions, [n if n.startswith("N") else n.replace(" ", "\n", 1) for n in rows.case])
    ax.legend(ncols=2, loc="upper center", fontsize=7)


def _spectra(ax: Axes, study: Study) -> None:
    for name, label, colour in (("half_layer", "half-layers apart", 3), ("block", "blocks", 0)):
        values = np.sort(study.arrays[name])
        ax.plot(np.arange(1, len(values) + 1) / len(values), values, color=PALETTE[colour], label=label)
    ax.axhline(study.facts["blocks"], **THEORY, label=r"$L_b$")
    ax.set(
        xlabel="share of the eigenvalues",
        ylabel=r"eigenvalue of $J G^+ J^\top$",
        title="block-diagonal Fisher, two ways",
    )
    ax.legend()


def _deviations(ax: Axes, study: Study) -> None:
    rows = select(study.table, kind="deviation")
    choices = (("half-coupled update", 1, "s"), ("half-layer Fisher", 3, "D"), ("block-pair Fisher", 0, "o"))
    for name, colour, marker in choices:
        ax.plot(rows["std"], np.maximum(rows[name], 1e-16), marker=marker, color=PALETTE[colour], label=name)
    ax.set(xscale="log", yscale="log", xlabel="standard deviation of the weights", ylabel=r"deviation from $L_b I$")
    ax.set(title="isotropy at small weights", ylim=(1e-16, 1e6))
    ax.legend(fontsize=7)
