"""What every analysis takes (`Settings`) and returns (`Study`)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pandas as pd

from ntkng.report import Report

T = TypeVar("T")


class Progress(Protocol):
    """Something that shows how far a loop is."""

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield `items`, showing the progress under `description`."""
        ...


class Silent:
    """A `Progress` that shows nothing."""

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield `items`."""
        yield from items


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to run an analysis.

    Attributes:
        quick: smaller widths and fewer seeds, with bounds that fit them; for a first look.
        full: larger widths and more seeds than the default.
        seed: of everything random.
        cache: folder in which finished points are kept, so that an interrupted run resumes; `None` keeps nothing.
        progress: shows how far a run is.
    """

    quick: bool = False
    full: bool = False
    seed: int = 0
    cache: Path | None = None
    progress: Progress = dataclasses.field(default_factory=Silent)

    def __post_init__(self) -> None:
        if self.quick and self.full:
            raise ValueError("got quick and full at once; choose one of them")

    def choose(self, quick: T, default: T, full: T | None = None) -> T:
        """The value for the chosen size; `full` falls back on `default`."""
        if self.quick:
            return quick
        return full if self.full and full is not None else default

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Loop over `items` with progress."""
        with contextlib.suppress(TypeError):
            total = len(items) if total is None else total  # type: ignore[arg-type]
        return self.progress.track(items, description, total)


@dataclasses.dataclass(frozen=True)
class Study:
    """The result of an analysis.

    Attributes:
        table: long-form measurements, one row a point; saved as CSV beside the figure.
        report: the claims that the figure must pass.
        arrays: larger arrays that the plot needs (heat maps, curves); saved as NPZ.
        facts: small extras for the plot, such as fitted slopes.
    """

    table: pd.DataFrame
    report: Report
    arrays: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
