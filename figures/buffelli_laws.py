"""Figure B8: the laws of Gauss-Newton in function space."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.buffelli_laws import LAWS, worst_errors
from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import THEORY, label_decades
from figures.style import PALETTE, panels


def plot(study: Study) -> Figure:
    """Residual paths, the tail of the loss, and the order in the learning rate."""
    figure, (paths, tail, order) = panels(3, width=3.7, height=3.0)
    laws = select(study.table, kind="law")
    for law, colour, marker in zip(LAWS, PALETTE, "osD^", strict=False):
        rows = select(laws, law=law.name, seed=laws.seed.min(), effective_rate=max(law.effective_rates))
        start = rows.measured.iloc[0]
        every = max(1, len(rows) // 12)
        paths.plot(rows.time[::every], rows.measured[::every] / start, marker, color=colour, label=law.name)
        paths.plot(rows.time, rows.predicted / start, color=colour, linewidth=1)
        errors = worst_errors(study.table, law.name)
        order.plot(errors.index, errors, marker=marker, color=colour, label=law.name)
    rates = np.array([0.002, 0.04])
    order.plot(rates, 0.5 * rates, **THEORY, label="slope 1")
    rows = select(study.table, kind="tail")
    tail.plot(rows.time, rows.measured, "o", color=PALETTE[3], markersize=3, label="network")
    tail.plot(rows.time, rows.predicted, color="black", linewidth=1, label="Lambert W")
    late = select(rows, {"time": 3.0})
    tail.plot(late.time, 0.5 / late.time, **THEORY, label=r"$1/(2 L_b t)$")
    paths.set(ylim=(0, 1.05), xlabel=r"time $L_b t=\eta L_b k$", ylabel="residual / initial residual")
    paths.set_title("residual laws")
    tail.set(
        xscale="log", yscale="log", xlabel=r"time $L_b t$", ylabel="cross-entropy", title="two classes, identity metric"
    )
    order.set(xscale="log", yscale="log", xlabel=r"effective rate $\eta L_b$", ylabel="relative error of the residual")
    order.set_title("the laws are exact to first order")
    order.set(xlim=(8e-4, 6e-2), ylim=(1e-4, 0.1))
    label_decades(order, "x", "y")
    for ax in (paths, tail, order):
        ax.legend(fontsize=7)
    return figure
