"""Progress bars of the one script, for figures computed here or in other processes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")
_numbers = itertools.count()


class Bars:
    """The bars on the terminal; loops report to it as events `(kind, loop, description, total)`."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, console=console, transient=True)
        self._tasks: dict[Any, Any] = {}

    def handle(self, event: tuple[str, Any, str, int | None]) -> None:
        """Start, advance or stop the bar of one loop."""
        kind, loop, description, total = event
        if kind == "start":
            self._tasks[loop] = self.bars.add_task(description, total=total)
        elif kind == "advance":
            self.bars.advance(self._tasks[loop])
        else:
            self.bars.remove_task(self._tasks.pop(loop))


class Reported:
    """A `Progress` whose loops report to `put`: a queue between processes, or `Bars.handle` itself."""

    def __init__(self, put: Any, prefix: str) -> None:
        self.put, self.prefix = put, prefix

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield `items`, reporting each."""
        loop = (os.getpid(), next(_numbers))
        text = f"{self.prefix}: {description}"
        self.put(("start", loop, text, total))
        try:
            for item in items:
                yield item
                self.put(("advance", loop, text, total))
        finally:
            self.put(("stop", loop, text, total))
