"""How every figure looks: one style, one colour and marker for each Fisher approximation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import matplotlib.pyplot as plt
import matplotlib.style
import seaborn as sns
from matplotlib.backends import backend_agg

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
    """How all figures are drawn, for the time of a `with` block, whatever the user's own settings are.

    Matplotlib's defaults and these settings on top of them, with the fonts that come with it; pyplot draws without a window.
    Settings and backend are the user's again afterwards, and figures that were opened inside are closed.
    """
    settings = {
        "font.sans-serif": ["DejaVu Sans"],
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
    with _without_window(), matplotlib.style.context(["default", sns.axes_style("ticks"), settings]):
        yield


@contextlib.contextmanager
def _without_window() -> Iterator[None]:
    """`plt.switch_backend` would load the user's backend, close figures in some versions, and change the defaults."""
    own, opened = plt._backend_mod, set(plt.get_fignums())
    plt._backend_mod = backend_agg._BackendAgg
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - opened:
            plt.close(number)
        plt._backend_mod = own


def panels(count: int, *, columns: int = 3, width: float = 3.4, height: float = 2.7):
    """A figure with `count` axes in rows of at most `columns`; returns `(figure, list of axes)`."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.remove()
    return figure, flat[:count]
