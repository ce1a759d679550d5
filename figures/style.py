"""How every figure looks: one style, one colour and marker for each Fisher approximation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import matplotlib.pyplot as plt
import seaborn as sns

PALETTE = sns.color_palette("colorblind")
COLOURS: dict[str, tuple[float, float, float]] = {
    "GradientDescent": PALETTE[7],
    "Exact": PALETTE[0],
    "BlockDiagonal": PALETTE[1],
    "BlockTriDiagonal": PALETTE[2],
    "KFAC": PALETTE[3],
    "UnitWise": PALETTE[4],
}
MARKERS = {
    "GradientDescent": "v",
    "Exact": "o",
    "BlockDiagonal": "s",
    "BlockTriDiagonal": "^",
    "KFAC": "D",
    "UnitWise": "P",
}
LABELS = {
    "GradientDescent": "gradient descent",
    "Exact": "exact Fisher",
    "BlockDiagonal": "block-diagonal",
    "BlockTriDiagonal": "block tri-diagonal",
    "KFAC": "K-FAC",
    "UnitWise": "unit-wise",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Matplotlib settings of all figures, for the time of a `with` block."""
    settings = {
        "figure.dpi": 150,
        "savefig.dpi": 150,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        "lines.markersize": 4.5,
        "svg.hashsalt": "ntkng",
        "pdf.fonttype": 42,
    }
    with sns.axes_style("ticks"), plt.rc_context(settings):
        yield


def panels(count: int, *, columns: int = 3, width: float = 3.4, height: float = 2.7):
    """A figure with `count` axes in rows of at most `columns`; returns `(figure, list of axes)`."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.remove()
    return figure, flat[:count]
