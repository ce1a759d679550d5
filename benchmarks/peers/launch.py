"""`python -m benchmarks.peers.launch MODULE GIB`: a worker on one core, before it imports anything, with a limit on its memory."""

from __future__ import annotations

import os
import resource
import runpy
import sys


def main() -> None:
    """Restrict this process, then become the worker."""
    module, gib = sys.argv[1], float(sys.argv[2])
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    limit = int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
