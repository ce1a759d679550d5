"""Where a result came from: versions, device, precision, commit, arguments."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("ntkng", "jax", "jaxlib", "neural-tangents", "numpy", "scipy")


def provenance(arguments: Mapping[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """Versions, device, JAX settings that change numbers, commit and time, as a JSON-able dictionary.

    Args:
        arguments: what the computation was called with.
        **facts: more entries, such as `seed=0` or `dtype="float64"`.
    """
    import jax

    device = jax.devices()[0]
    return {
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "device": f"{device.platform}: {device.device_kind}",
        "machine": f"{platform.system()} {platform.machine()}",
        "x64": bool(_setting("jax_enable_x64")),
        "matmul_precision": str(_setting("jax_default_matmul_precision")),
        # seeds alone do not fix random numbers: the generator and its partitioning do too
        "prng": f"{_setting('jax_default_prng_impl')}, partitionable={_setting('jax_threefry_partitionable')}",
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "arguments": dict(arguments or {}),
        **facts,
    }


def _setting(name: str) -> Any:
    import jax

    return getattr(jax.config, name)


def commit() -> str:
    """The git commit of the checkout that ntkng runs from, with `+` when it has changes; else the version."""
    folder = Path(__file__).resolve().parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
        return run.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"version {_version('ntkng')}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
