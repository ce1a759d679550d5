"""Training inputs spread over several devices; XLA partitions the compiled program accordingly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array


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
