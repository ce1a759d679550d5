"""Figure A5: test error against the number of samples."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.kerekes_test_error import DIMENSION, METHODS
from analyses.seeds import mean_with_interval
from analyses.study import Study
from figures.style import PALETTE, panels


def plot(study: Study) -> Figure:
    """Means with 95 % intervals, and the high-dimensional formula."""
    figure, (ax,) = panels(1, columns=1, width=5.6, height=3.9)
    for colour, marker, (method, label) in zip(PALETTE, "osD", METHODS.items(), strict=False):
        groups = list(study.table[study.table.method == method].groupby("gamma"))
        x = np.array([gamma for gamma, _ in groups], dtype=float)
        found = [mean_with_interval(rows.error) for _, rows in groups]
        y, half = np.array([m for m, _ in found]), np.array([h or 0.0 for _, h in found])
        ax.plot(
            x, y, marker=marker, color=colour, lw=1.0, label=label.replace("l1", "$\\ell_1$").replace("l2", "$\\ell_2$")
        )
        ax.fill_between(x, y - half, y + half, color=colour, alpha=0.25, lw=0)
    ax.plot(study.arrays["gamma"], study.arrays["theory"], color="black", ls="--", lw=1.2,
            label="natural gradient flow, $d \\to \\infty$ (formula)")  # fmt: skip
    ax.axvline(1.0, color="0.6", lw=0.8, ls=":")
    ax.set(title=f"labels $\\mathrm{{sign}}(w_*\\!\\cdot x)$, 3 non-zero components of {DIMENSION}",
           xlabel="samples over dimensions $N/d$", ylabel="test error (fraction of wrong labels)", ylim=(0, 0.52))  # fmt: skip
    ax.legend(loc="lower left", fontsize=7.5)
    return figure
