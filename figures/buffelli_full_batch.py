"""Figure B1: loss, accuracy and loss change per step of full-batch training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import THEORY, band, methods, seeds
from figures.style import panels


def plot(study: Study) -> Figure:
    """Three panels over the steps."""
    figure, (loss, accuracy, change) = panels(3)
    table, rate = study.table, study.facts["effective_rate"]
    for method in reversed(methods(table)):
        rows = select(table, method=method)
        band(loss, rows, "step", "train_loss", method)
        band(accuracy, rows, "step", "train_accuracy", method)
        band(change, rows, "step", "percent_change", method)
    gn = select(table, method="Gauss-Newton")
    steps = np.arange(gn.step.max() + 1)
    start = select(gn, step=0).train_loss.median()
    loss.plot(steps, start * (1 - rate) ** (2 * steps), **THEORY, label=r"$(1-\eta L_b)^{2k}$")
    loss.axhline(0.1, color="0.8", linewidth=0.8, zorder=0)
    change.axhline(study.facts["theory_percent"], **THEORY, label=r"$100\,((1-\eta L_b)^2-1)$")
    loss.set(yscale="log", xlabel="step", ylabel="training loss (MSE)", ylim=(1e-6, 90), title="training loss")
    accuracy.set(xlabel="step", ylabel="training accuracy", ylim=(0, 1.03), title="training accuracy")
    change.set(
        xlabel="step", ylabel="loss change per step (%)", ylim=(-62, 62), title="loss change (first steps clipped)"
    )
    loss.legend()
    change.legend(loc="upper right", handlelength=1.2, fontsize=7, ncols=2)
    figure.suptitle(f"Full batch, 256 digits, full row rank ({seeds(table)})", fontsize=10)
    return figure
