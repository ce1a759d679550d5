"""Colours and bands shared by the figures on Buffelli et al. 2024."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from figures.style import PALETTE

COLOURS = {"Gauss-Newton": PALETTE[0], "Adam": PALETTE[1], "SGD": PALETTE[7]}
MARKERS = {"Gauss-Newton": "o", "Adam": "s", "SGD": "v"}
OBJECTIVES = {"mse": "mean squared error", "cross-entropy": "cross-entropy"}
THEORY: dict[str, Any] = {"color": "black", "linestyle": ":", "linewidth": 1.2}


def band(axes: Axes, table: pd.DataFrame, x: str, y: str, method: str, *, label: str | None = None, **style: Any):
    """Median over seeds as a line, and all seeds between their smallest and largest value as a band."""
    groups = table.dropna(subset=[y]).groupby(x)[y]
    middle, low, high = groups.median(), groups.agg("min").to_numpy(), groups.agg("max").to_numpy()
    style = {"color": COLOURS[method], **style}
    axes.plot(middle.index, middle, label=label or method, **style)
    if np.any(high > low):
        axes.fill_between(middle.index, low, high, color=style["color"], alpha=0.2, linewidth=0)


def label_decades(axes: Axes, *directions: str) -> None:
    """Label only the powers of ten of logarithmic axes (`"x"`, `"y"`); Matplotlib labels more on short ones."""
    for direction in directions:
        (axes.xaxis if direction == "x" else axes.yaxis).set_minor_formatter(NullFormatter())


def methods(table: pd.DataFrame) -> list[str]:
    """The optimisers in the table, in the order of the palette."""
    present = set(table.method)
    return [m for m in COLOURS if m in present]


def seeds(table: pd.DataFrame) -> str:
    """How many seeds a band covers, for a title."""
    count = table.seed.nunique()
    return "one seed" if count == 1 else f"median and range of {count} seeds"
