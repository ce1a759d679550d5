"""A grid of independent runs: each finished point is kept, an interrupted sweep resumes, any executor will do.

A point is kept under a hash of everything that its numbers depend on: the function with its code, closure, defaults and what they
read (`ntkng.fingerprint`), the arguments, and the settings of JAX, versions and device (`ntkng.provenance.numeric_settings`).
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any

import jax

from ntkng.files import writable_folder, write_atomically
from ntkng.fingerprint import fingerprint
from ntkng.provenance import NUMERIC, numeric_settings

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

    Rows are what JSON makes of them, whether or not they come from the cache: tuples are lists, keys are strings.

    Args:
        function: returns a JSON-able mapping, or a list of them (several rows a point); importable by name for executors that
            run in other processes.
        points: keyword arguments, JSON-able.
        cache: folder where each finished point is written at once, as JSON; found points are not run again, damaged ones are,
            with a warning. `None` keeps nothing.
        executor: a process pool, a Dask client's executor, ...; `None` runs one after another. JAX's settings go with the
            points.
        track: `(iterable, description, total) -> iterator`, a progress display such as `Settings.track`.
        description: for the progress display.

    Raises:
        TypeError: a point or result that JSON cannot hold; with a cache, a function that cannot be identified.
        ValueError: a cache that cannot be written, before anything is run.
    """
    points = [dict(point) for point in points]
    plain = [_plain(point, "point") for point in points]
    paths: list[Path | None] = [None] * len(points)
    if cache is not None:
        folder, own = writable_folder(cache), (fingerprint(function), numeric_settings())
        paths = [folder / f"{_name(function)}-{fingerprint((own, point))[:40]}.json" for point in points]
    rows = {index: found for index, path in enumerate(paths) if (found := _load(path, plain[index])) is not None}
    waiting = [(index, point) for index, point in enumerate(points) if index not in rows]
    runs: Iterable[tuple[int, Any]] = _run(function, waiting, executor)
    for index, result in runs if track is None else track(runs, description, len(waiting)):
        results = [result] if isinstance(result, Mapping) else list(result)
        rows[index] = [{**plain[index], **_plain(row, "result")} for row in results]
        if (path := paths[index]) is not None:
            write_atomically(path, json.dumps(rows[index]))
    return [row for index in range(len(points)) for row in rows[index]]


def _run(function: Any, waiting: Sequence[tuple[int, Point]], executor: Executor | None) -> Iterator[tuple[int, Any]]:
    if executor is None:
        for index, point in waiting:
            yield index, function(**point)
        return
    settings = {name: getattr(jax.config, name) for name in NUMERIC}
    futures = {executor.submit(_elsewhere, settings, function, point): index for index, point in waiting}
    for future in as_completed(futures):
        yield futures[future], future.result()


def _elsewhere(settings: Mapping[str, Any], function: Any, point: Point) -> Any:
    """Run a point in a worker under the settings of the process that asked for it."""
    with contextlib.ExitStack() as stack:
        for name, value in settings.items():
            stack.enter_context(getattr(jax, name.removeprefix("jax_"))(value))
        return function(**point)


def _plain(row: Any, what: str) -> dict[str, Any]:
    try:
        if not isinstance(row, Mapping):
            raise TypeError(f"it is of type {type(row).__name__}")
        return json.loads(json.dumps(dict(row)))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"a {what} of a sweep must be a mapping that JSON can hold, got {row!r}: {error}; "
            "turn arrays and their entries into Python's numbers with .tolist()"
        ) from error


def _name(function: Any) -> str:
    """For people who look into the folder."""
    name = getattr(function, "__name__", type(function).__name__)
    return re.sub(r"\W+", "_", name)[:60]


def _load(path: Path | None, point: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows kept for a point, or `None`; what is damaged is as good as not there."""
    if path is None or not path.exists():
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(rows, list) and all(isinstance(row, dict) and point.keys() <= row.keys() for row in rows):
            return rows
        problem: Any = "no list of rows"
    except (OSError, ValueError) as error:
        problem = error
    warnings.warn(f"the kept point {path} is damaged ({problem}) and is computed again", stacklevel=3)
    return None
