"""Figures B2, B5 and B10: training and held-out curves of mini-batch training."""

from __future__ import annotations

from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import COLOURS, band, methods, seeds
from figures.style import panels


def plot(study: Study) -> Figure:
    """Loss and accuracy, training and held-out (B2 and B10)."""
    figure, axes = panels(4, columns=2, width=3.8)
    columns = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
    titles = ("training loss", "held-out loss", "training accuracy", "held-out accuracy")
    for ax, column, title in zip(axes, columns, titles, strict=True):
        for method in methods(study.table):
            band(ax, select(study.table, method=method), "epoch", column, method)
        ax.set(xlabel="epoch", title=title)
        if column.endswith("loss"):
            ax.set(yscale="log", ylabel=study.facts["loss"])
        else:
            ax.set(ylabel="accuracy", ylim=study.facts.get("accuracy_range"))
    axes[0].legend()
    figure.suptitle(f"{study.facts['title']} ({seeds(study.table)})", fontsize=10)
    return figure


def no_bottleneck(study: Study) -> Figure:
    """Training loss, held-out loss and loss change without and with the inverted bottleneck (B5)."""
    figure, axes = panels(3)
    columns = ("train_loss", "test_loss", "percent_change")
    titles = ("training loss", "held-out loss", "loss change of an update")
    for ax, column, title in zip(axes, columns, titles, strict=True):
        for method in methods(study.table):
            for bottleneck, line in ((False, "-"), (True, "--")):
                rows = select(study.table, method=method, bottleneck=bottleneck)
                label = f"{method}, {'with' if bottleneck else 'without'}"
                band(ax, rows, "epoch", column, method, label=label, color=COLOURS[method], linestyle=line)
        ax.set(xlabel="epoch", title=title)
    for ax in axes[:2]:
        ax.set(yscale="log", ylabel="loss (MSE)", ylim=(0.008, 8))
    axes[2].set(ylabel="change of the batch loss (%)", ylim=(-55, 2))
    axes[0].legend(fontsize=7)
    figure.suptitle(f"Without and with the inverted bottleneck, digits ({seeds(study.table)})", fontsize=10)
    return figure
