"""Figure B6: cross-entropy and the power-law tail of the identity metric."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import THEORY, band, label_decades, methods, seeds
from figures.style import PALETTE, panels


def plot(study: Study) -> Figure:
    """Training loss on log-log axes, held-out loss and accuracy; the first epoch of the exact Hessian."""
    figure, (train, test, accuracy) = panels(3)
    table = select(study.table, {"epoch": 1}, objective="cross-entropy")
    for method in methods(table):
        rows = select(table, method=method)
        for ax, column in ((train, "train_loss"), (test, "test_loss"), (accuracy, "test_accuracy")):
            band(ax, rows, "epoch", column, method)
    gn = select(table, method="Gauss-Newton")
    epochs = np.array([5, gn.epoch.max()])
    level = 1.7 * select(gn, epoch=10).train_loss.median() * 10
    train.plot(epochs, level / epochs, **THEORY, label=r"slope $-1$: loss $\sim 1/(\alpha t)$")
    exact = select(study.table, objective="cross-entropy-exact", epoch=1)
    if not np.isfinite(exact.train_loss).any():
        text = "exact Hessian: not finite within epoch 1"
        train.text(0.98, 0.97, text, transform=train.transAxes, ha="right", va="top", fontsize=7, color=PALETTE[3])
    train.set(xscale="log", yscale="log", xlabel="epoch", ylabel="cross-entropy", title="training loss", ylim=(5e-5, 8))
    test.set(yscale="log", xlabel="epoch", ylabel="cross-entropy", title="held-out loss")
    accuracy.set(xlabel="epoch", ylabel="accuracy", title="held-out accuracy", ylim=(0.8, 1.005))
    test.set_ylim(0.02, 1.2)
    label_decades(test, "y")
    train.legend(loc="lower left", fontsize=7)
    figure.suptitle(f"Cross-entropy with the identity as Hessian, digits ({seeds(table)})", fontsize=10)
    return figure
