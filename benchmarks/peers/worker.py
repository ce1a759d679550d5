"""A contestant's process: commands in and answers out, one JSON object a line, on the standard streams.

`{"do": "setup", "method": .., "samples": N, "width": M, "outputs": C}` builds a contestant and makes one step, which compiles; the answer holds
its CPU seconds as `first`. `{"do": "go"}` puts the initial weights back and makes one step; the answer holds its CPU `seconds`, the `checksum`
of `benchmarks.peers.work` and the process's `peak` memory in MiB, with what it held before the contestant was built as `base`.
A failure is answered by `{"error": ..}`.

Standard library and NumPy only: this runs in every contestant's environment.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from benchmarks.peers import work


class Contestant(Protocol):
    """One method at one size."""

    def reset(self) -> None:
        """Put the initial weights back."""

    def step(self) -> None:
        """Make the step, and return when it is done."""

    def weights(self) -> list[np.ndarray]:
        """The weights now, `[fan-in, units]` a layer."""


Methods = Mapping[str, Callable[[work.Work], Contestant]]


def serve(methods: Methods) -> None:
    """Answer commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    state = _State(methods)
    for line in sys.stdin:
        try:
            answer = state.answer(json.loads(line))
        except Exception as error:  # whatever a library raises is a result of the benchmark
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        answers.write(json.dumps(answer) + "\n")


class _State:
    def __init__(self, methods: Methods) -> None:
        self.methods = methods
        self.work: work.Work | None = None
        self.contestant: Contestant | None = None
        self.base = 0.0

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "setup":
            self.work = work.make(command["samples"], command["width"], command["outputs"])
            self.base = peak()
            self.contestant = self.methods[command["method"]](self.work)
            return {"first": self.timed()}
        seconds = self.timed()
        assert self.work is not None
        assert self.contestant is not None
        top = peak()  # before the checksum, which needs memory of its own
        found = work.checksum(self.work, self.contestant.weights())
        return {"seconds": seconds, "checksum": found, "peak": top, "base": self.base}

    def timed(self) -> float:
        if self.contestant is None:
            raise RuntimeError("no contestant; send setup first")
        self.contestant.reset()
        start = time.process_time()
        self.contestant.step()
        return time.process_time() - start


def peak() -> float:
    """Largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
