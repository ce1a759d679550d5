"""An environment of its own for every peer, built when it is first needed."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.compile_cache import FOLDER, cache_variables

HERE = Path(__file__).parent
SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip


@functools.cache
def python_of(name: str | None, folder: Path) -> str:
    """The interpreter with the packages of `<name>.txt`; `None` is this one.

    Requirement files are complete and pinned, so that nothing else comes along. Which index they come from is pip's own configuration.

    Raises:
        RuntimeError: the packages cannot be installed; the message has pip's last line.
    """
    if name is None:
        return sys.executable
    pins, home = HERE / f"{name}.txt", folder / name
    python, ready = home / "bin" / "python", home / ".ready"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    if ready.exists() and ready.read_text() == digest:
        return str(python)
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", str(pins)],
    ):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or [run.stderr[-200:]]
            raise RuntimeError(f"cannot install {name}: {errors[-1]}")
    ready.write_text(digest)
    return str(python)


def variables(cache: str | None = None) -> dict[str, str]:
    """Environment variables of a worker: one thread, this checkout's modules, JAX's compilation cache in the folder `cache`."""
    found = {**os.environ, **SINGLE_THREAD, "PYTHONPATH": str(HERE.parent.parent)}
    found.pop(FOLDER, None)
    return found | (cache_variables(cache) if cache else {})
