"""What compilation costs, and that JAX's persistent cache spares it to the next process.

The library sets no flags of JAX. Whoever wants the cache sets the environment variable `JAX_COMPILATION_CACHE_DIR` (and
`JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0`, to keep short compilations too), as done here for two processes, one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FOLDER, SHORTEST = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def run(quick: bool) -> list[dict[str, Any]]:
    """One row per approximation: CPU seconds of a program's first call, in a process without and in one with a filled cache."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (first_calls(quick, folder) for _ in range(2))
    return [
        {"what": "compilation", "contestant": name, "first call": cold[name], "first call, cached": warm[name],
         "ratio": warm[name] / cold[name]}
        for name in cold
    ]  # fmt: skip


def cache_variables(folder: str) -> dict[str, str]:
    """Environment variables by which JAX keeps all programs in `folder`."""
    return {FOLDER: folder, SHORTEST: "0"}


def first_calls(quick: bool, folder: str) -> dict[str, float]:
    """Of a fresh process."""
    variables = {**os.environ, **cache_variables(folder), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "benchmarks.compile_cache", *(["quick"] if quick else [])]
    process = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return json.loads(process.stdout.splitlines()[-1])


def main() -> None:
    """Whole trajectories of five steps by `simulate`, float64: one program per approximation."""
    import numpy as np

    import ntkng
    from ntkng.fisher import FISHERS

    samples, width = (20, 64) if "quick" in sys.argv[1:] else (100, 512)
    x = np.random.default_rng(0).normal(size=(samples, 784))
    problem = ntkng.Problem(ntkng.mlp(784, width=width), x, x[:, 0])
    ntkng.simulate(problem, ntkng.GradientDescent(), 0, step_size=1e-9, steps=1)  # drawing weights is compiled here
    seconds = {}
    for fisher in [cls(1e-2) for cls in FISHERS]:
        began = time.process_time()
        ntkng.simulate(problem, fisher, 0, step_size=1e-3, steps=5)
        seconds[fisher.name] = time.process_time() - began
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
