"""Where computations run, and training inputs spread over several devices: XLA partitions the compiled program accordingly."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array


def platform() -> str:
    """Of the device on which computations run here: the user's `jax_default_device`, or else that of JAX's default backend."""
    device: Any = jax.config.jax_default_device  # type: ignore[attr-defined]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def at_home(devices: Sequence[Any] | None, *trees: Any) -> contextlib.AbstractContextManager[Any]:
    """The default device is the first of `devices`, or the one to which some array of `trees` is committed, if any is."""
    homes = list(devices or ())
    for leaf in jax.tree.leaves(trees):
        if isinstance(leaf, jax.Array) and getattr(leaf, "committed", False):
            homes += leaf.devices()
    return jax.default_device(homes[0]) if homes else contextlib.nullcontext()


def spread(devices: Sequence[Any], x: Array, y: Array, x_test: Array | None) -> list[Array | None]:
    """Inputs and targets by rows, one part a device; `x_test`, which is evaluated only, is copied to every device.

    Raises:
        ValueError: no devices, or a number of inputs that is not a multiple of their number.
    """
    if not devices or len(x) % len(devices):
        raise ValueError(
            f"{len(x)} training inputs cannot be spread evenly over {len(devices)} devices; use a multiple of their number, "
            "or fewer devices"
        )
    mesh = Mesh(np.asarray(devices), ("samples",), axis_types=(AxisType.Auto,))
    rows, everywhere = NamedSharding(mesh, PartitionSpec("samples")), NamedSharding(mesh, PartitionSpec())
    own = [jax.device_put(a, rows) for a in (x, y)]
    return [*own, None if x_test is None else jax.device_put(x_test, everywhere)]
