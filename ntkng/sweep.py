"""A grid of independent runs: each finished point is kept, an interrupted sweep resumes, any executor will do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any

from ntkng.provenance import PACKAGES, _version
from ntkng.report import write_atomically

Point = Mapping[str, Any]
Result = Mapping[str, Any]
Track = Callable[[Iterable[Any], str, int], Iterator[Any]]


def sweep(
    function: Callable[..., Result | Sequence[Result]],
    points: Sequence[Point],
    *,
    cache: str | Path | None = None,
    executor: Executor | None = None,
    track: Track | None = None,
    description: str = "sweep",
) -> list[dict[str, Any]]:
    """Call `function(**point)` for every point; returns one row per result, the point's entries included.

    Args:
        function: importable by name; returns a JSON-able mapping, or a list of them (several rows a point).
        points: keyword arguments, JSON-able.
        cache: folder where each finished point is written at once, as JSON under a hash of the function's name, the
            point and the package versions; found points are not run again. `None` keeps nothing.
        executor: a process pool, a Dask client's executor, ...; `None` runs one after another.
        track: `(iterable, description, total) -> iterator`, a progress display such as `Settings.track`.
        description: for the progress display.

    Raises:
        TypeError: a point or result that JSON cannot hold.
    """
    folder = None if cache is None else Path(cache)
    rows: dict[int, list[dict[str, Any]]] = {}
    waiting = []
    for index, point in enumerate(points):
        found = _load(folder, function, point)
        if found is None:
            waiting.append((index, point))
        else:
            rows[index] = found
    runs: Iterable[tuple[int, Any]] = _run(function, waiting, executor)
    for index, result in runs if track is None else track(runs, description, len(waiting)):
        rows[index] = _rows(points[index], result)
        _save(folder, function, points[index], rows[index])
    return [row for index in range(len(points)) for row in rows[index]]


def _run(function: Any, waiting: list[tuple[int, Point]], executor: Executor | None) -> Iterator[tuple[int, Any]]:
    if executor is None:
        for index, point in waiting:
            yield index, function(**point)
        return
    futures = {executor.submit(function, **point): index for index, point in waiting}
    for future in as_completed(futures):
        yield futures[future], future.result()


def _rows(point: Point, result: Any) -> list[dict[str, Any]]:
    results = [result] if isinstance(result, Mapping) else list(result)
    rows = [{**point, **row} for row in results]
    json.dumps(rows)  # refuses here what could not be kept
    return rows


def _path(folder: Path, function: Any, point: Point) -> Path:
    name = f"{function.__module__}.{function.__qualname__}"
    versions = {package: _version(package) for package in PACKAGES}
    text = json.dumps([name, dict(point), versions], sort_keys=True)
    return folder / f"{function.__name__}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"


def _load(folder: Path | None, function: Any, point: Point) -> list[dict[str, Any]] | None:
    if folder is None:
        return None
    path = _path(folder, function, point)
    return json.loads(path.read_text()) if path.exists() else None


def _save(folder: Path | None, function: Any, point: Point, rows: list[dict[str, Any]]) -> None:
    if folder is not None:
        write_atomically(_path(folder, function, point), json.dumps(rows))
