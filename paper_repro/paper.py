"""The nouns of a reproduction: a `Paper` has figures, each an analysis, a plot and claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analyses.study import Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureSpec", "Paper", "Settings", "Study"]


@dataclasses.dataclass(frozen=True)
class FigureSpec:
    """One figure: what computes it and what draws it.

    Attributes:
        key: unique in its paper; the file name of the rendering.
        title: one line, as printed in the progress display and in the report.
        analysis: `Settings -> Study` (a table and a report with the figure's claims); no plotting.
        plot: `"figures.module:function"`, imported only when drawing; the function maps a `Study` to a Figure.
    """

    key: str
    title: str
    analysis: Callable[[Settings], Study]
    plot: str

    def draw(self, study: Study) -> Figure:
        """Import the plotting function and draw `study`."""
        import importlib

        module, function = self.plot.split(":")
        draw: Callable[[Any], Figure] = getattr(importlib.import_module(module), function)
        return draw(study)


@dataclasses.dataclass(frozen=True)
class Paper:
    """A paper and its figures. A module of `paper_repro` that defines `PAPER` is found by itself.

    Attributes:
        key: as given on the command line, such as `"karakida-osawa-2020"`.
        title: of the paper.
        bibtex: how to cite it; empty where there is no paper.
        figures: in the order in which they run.
    """

    key: str
    title: str
    bibtex: str
    figures: tuple[FigureSpec, ...]

    def figure(self, key: str) -> FigureSpec:
        """The figure with this key; `ValueError` with the known keys otherwise."""
        for spec in self.figures:
            if spec.key == key:
                return spec
        raise ValueError(f"{self.key} has no figure {key!r}; choose from {[spec.key for spec in self.figures]}")
