"""The only import of neural-tangents: its analytic part, on current JAX, without TensorFlow.

neural-tangents 0.6.5 uses JAX internals that are gone (in `empirical`) and imports TensorFlow (in `experimental`),
both from its `__init__.py`. ntkng needs neither, so the package is entered into `sys.modules` without running that
file, and only `stax`, `Kernel` and `requirements` (what a layer of one's own needs) are imported. JAX itself is not
patched. A neural-tangents that the user has already imported is used as it is.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.metadata
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import jax

TRIED = "0.6.5"
TRIED_JAX = ((0, 8), (0, 11))  # first and last minor version tried


def _version() -> str:
    try:
        return importlib.metadata.version("neural-tangents")
    except importlib.metadata.PackageNotFoundError as error:
        # ModuleNotFoundError so that optional use can be told from a broken install
        raise ModuleNotFoundError(f"ntkng needs neural-tangents: pip install neural-tangents=={TRIED}") from error


def check_versions(neural_tangents: str, jax_version: str) -> None:
    """Refuse a neural-tangents, and warn of a JAX, outside what was tried.

    Raises:
        ImportError: naming the version found, the version expected and the command that installs it.
    """
    if neural_tangents != TRIED:
        raise ImportError(
            f"got neural-tangents {neural_tangents}, expected {TRIED} (its internals are used): "
            f"pip install neural-tangents=={TRIED}"
        )
    minor = tuple(int(part) for part in jax_version.split(".")[:2])
    first, last = TRIED_JAX
    if not first <= minor <= last:
        warnings.warn(
            f"ntkng was tried on JAX {first[0]}.{first[1]} to {last[0]}.{last[1]}, got {jax_version}; "
            "run its tests before trusting results",
            stacklevel=2,
        )


def lenient(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of neural-tangents, which promotes ranks and types and makes legacy keys, under any settings of the user."""

    @functools.wraps(function)  # also copies what neural-tangents notes on it, such as `input_req`
    def call(*args: Any, **kwargs: Any) -> Any:
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"), jax.legacy_prng_key("allow"):
            return function(*args, **kwargs)

    return call


def _import() -> tuple[types.ModuleType, type, types.ModuleType]:
    check_versions(_version(), jax.__version__)
    if "neural_tangents" not in sys.modules:
        spec = importlib.machinery.PathFinder.find_spec("neural_tangents")
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"ntkng needs neural-tangents: pip install neural-tangents=={TRIED}")
        package = types.ModuleType("neural_tangents", "neural_tangents, analytic part (imported by ntkng)")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__, package.__file__ = spec, spec.origin
        sys.modules["neural_tangents"] = package
    try:
        stax_module = importlib.import_module("neural_tangents.stax")
        kernel_module = importlib.import_module("neural_tangents._src.utils.kernel")
        requirements_module = importlib.import_module("neural_tangents._src.stax.requirements")
    except BaseException:
        for name in [name for name in sys.modules if name.split(".")[0] == "neural_tangents"]:
            del sys.modules[name]
        raise
    return stax_module, kernel_module.Kernel, requirements_module


stax, Kernel, requirements = _import()
