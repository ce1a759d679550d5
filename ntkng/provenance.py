"""Where a result came from: versions, device, precision, commit, arguments."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("ntkng", "jax", "jaxlib", "neural-tangents", "numpy", "scipy")
NUMERIC = (  # settings of JAX that change numbers and that a program can set for a while
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_default_matmul_precision",
    "jax_numpy_dtype_promotion",
)
FIXED = (
    "jax_random_seed_offset",
    "jax_high_dynamic_range_gumbel",
    "jax_softmax_custom_jvp",
    "jax_allow_f16_reductions",
)


def provenance(arguments: Mapping[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """Versions, device, JAX settings that change numbers, commit and time, as a JSON-able dictionary.

    Args:
        arguments: what the computation was called with.
        **facts: more entries, such as `seed=0` or `dtype="float64"`.
    """
    return {
        "versions": versions(),
        "device": device(),
        "machine": f"{platform.system()} {platform.machine()}",
        "x64": bool(_setting("jax_enable_x64")),
        "matmul_precision": str(_setting("jax_default_matmul_precision")),
        # seeds alone do not fix random numbers: the generator and its partitioning do too
        "prng": f"{_setting('jax_default_prng_impl')}, partitionable={_setting('jax_threefry_partitionable')}",
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": [Path(part).name if index == 0 else part for index, part in enumerate(getattr(sys, "argv", []))],
        "arguments": dict(arguments or {}),
        **facts,
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that compute."""
    return {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}


def device() -> str:
    """Platform and kind of the device on which JAX computes unless told otherwise."""
    import jax

    default = jax.config.jax_default_device  # type: ignore[attr-defined]
    found = jax.devices(default)[0] if isinstance(default, str) else default or jax.devices()[0]
    return f"{found.platform}: {found.device_kind}"


def numeric_settings() -> dict[str, str]:
    """Everything outside of a program that changes its numbers: versions, ntkng's source, settings of JAX, the device."""
    flags = {name: str(_setting(name)) for name in (*NUMERIC, *FIXED)}
    return {**versions(), **flags, "device": device(), "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""), "source": source()}


def _setting(name: str) -> Any:
    import jax

    return getattr(jax.config, name, None)


@functools.cache
def source() -> str:
    """A hash of ntkng's source files: its version stays the same during development; empty inside of an archive."""
    files = sorted(Path(__file__).resolve().parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest() if files else ""


def commit() -> str:
    """The git commit of the checkout that ntkng runs from, with `+` when it has changes; else the version.

    An installed ntkng often lies inside somebody else's repository, whose commit says nothing about it.
    """
    folder = Path(__file__).resolve().parent
    version = f"version {_version('ntkng')}"
    try:
        if (
            _git(folder, "ls-files", "--full-name", "--error-unmatch", Path(__file__).name)
            != f"ntkng/{Path(__file__).name}"
        ):
            return version
        project = tomllib.loads((folder.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        if project != "ntkng":
            return version
        return _git(folder, "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return version


def _git(folder: Path, *arguments: str) -> str:
    # git's variables, set inside of its hooks, would name another repository
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    run = subprocess.run(
        ["git", *arguments], cwd=folder, env=own, capture_output=True, text=True, timeout=5, check=True
    )  # fmt: skip
    return run.stdout.strip()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
