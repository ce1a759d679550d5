"""A worker process, spoken to one line at a time, with limits on its time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any


class NotRunError(Exception):
    """A contestant that gives no result, and why."""


class Worker:
    """One process that answers commands (see `benchmarks.peers.worker`)."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables
        )
        self._buffer = b""

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer, within this many seconds of wall time.

        Raises:
            NotRunError: an error, a dead process, or no answer in time (the process is stopped then).
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise NotRunError(self._death()) from None
        answer = json.loads(self._line(seconds))
        if "error" in answer:
            raise NotRunError(_in_words(answer["error"]))
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _line(self, seconds: float) -> bytes:
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            if not select.select([self.process.stdout], [], [], seconds)[0]:
                self.process.kill()
                raise NotRunError(f"more than {seconds:.0f} s")
            part = os.read(self.process.stdout.fileno(), 2**16)
            if not part:
                raise NotRunError(self._death())
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _death(self) -> str:
        return f"its process ended with code {self.process.wait()}, perhaps out of memory"


def _in_words(error: str) -> str:
    signs = (
        "MemoryError",
        "RESOURCE_EXHAUSTED",
        "Unable to allocate",
        "can't allocate",
        "not enough memory",
        "Out of memory",
    )
    return f"out of memory ({error})" if any(sign in error for sign in signs) else error
