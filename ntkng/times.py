"""Step numbers and times of closed forms: whole, at least 0, or infinity for the limit of training."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.fisher.preconditioned import Stability
from ntkng.precision import AnyArray
from ntkng.validation import real_array


def require_limit(times: Float[AnyArray, "T"], verdict: Stability) -> None:
    """Refuse an infinite time where the modes have no limit: they diverge, alternate for ever, or `K` is indefinite."""
    if np.isinf(np.asarray(times)).any() and verdict.verdict != "converges":
        raise ValueError(f"there is no limit after infinitely long training, as it does not converge: {verdict.remedy}")


def step_times(steps: Any, flow: bool) -> Array:
    """`[0, 1, .., steps]` from a number of steps; given step numbers, or times of the flow, are checked."""
    if isinstance(steps, (bool, np.bool_)):
        raise TypeError(
            f"steps must be a number of steps, or an array of step numbers or times, got {steps}; use 1, say"
        )
    if isinstance(steps, (int, np.integer)):
        steps = np.arange(steps + 1) if steps >= 0 else [steps]
    endless = _is_infinite(steps)
    finite = np.where(endless, 0, steps) if np.any(endless) else steps
    times = np.atleast_1d(real_array("steps", finite, (0, 1))).astype(float)
    if times.min() < 0:
        raise ValueError(f"steps must be >= 0, got {times.min():g}")
    if not flow and (times % 1).any():
        raise ValueError(f"step numbers must be whole, got {times[times % 1 > 0][0]:g}; use flow=True for times")
    return jnp.asarray(np.where(endless, np.inf, times))


def _is_infinite(steps: Any) -> Any:
    """Where a step number or time is infinity, the limit of training; `False` for what is no array of numbers."""
    try:
        array = np.asarray(steps)
    except ValueError:  # ragged
        return False
    return np.isposinf(array) if array.dtype.kind == "f" else False
