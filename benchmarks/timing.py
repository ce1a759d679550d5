"""How everything is timed: all contestants alternate in one process, warm-up apart, process CPU seconds, medians."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one contestant.

    Attributes:
        median: of the repetitions, CPU seconds of the process (wall seconds on an accelerator).
        spread: interquartile range.
        first: of the first call, which compiles.
    """

    median: float
    spread: float
    first: float


def clock() -> float:
    """CPU seconds of this process, which other processes hardly disturb; wall time on an accelerator."""
    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()


def race(contestants: Mapping[str, Callable[[], Any]], repetitions: int = 7) -> dict[str, Timing]:
    """Time all contestants in turns, so that a slow moment of the machine meets all of them alike.

    Without repetitions the first call is what counts: for work of minutes, beside which compilation is nothing.
    """
    first, seconds = {}, {name: [] for name in contestants}
    for name, call in contestants.items():
        first[name] = _once(call)
    for _ in range(repetitions):
        for name, call in contestants.items():
            seconds[name].append(_once(call))
    return {
        name: Timing(float(np.median(s)), float(np.subtract(*np.percentile(s, [75, 25]))), first[name])
        for name, s in ((name, turns or [first[name]]) for name, turns in seconds.items())
    }


def _once(call: Callable[[], Any]) -> float:
    start = clock()
    jax.block_until_ready(call())
    return clock() - start
