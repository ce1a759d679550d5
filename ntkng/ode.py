"""One way to integrate an ordinary differential equation at given times, in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import scipy.integrate
from jaxtyping import Float

__all__ = ["integrate", "validate_times"]


def integrate(
    velocity: Callable[[Float[np.ndarray, " P"]], Float[np.ndarray, " P"]],
    initial: Float[np.ndarray, " P"],
    t: Float[np.ndarray, " T"],
    *,
    rtol: float = 1e-12,
    atol: float = 1e-13,
    method: str = "DOP853",
    evaluations: int = 1_000_000,
) -> Float[np.ndarray, "T P"]:
    """Solution of `x' = velocity(x)`, `x(0) = initial`, at the times `t` (any order, repeated or not, all >= 0).

    Args:
        velocity: of the autonomous system.
        initial: state at time 0.
        t: times.
        rtol: relative tolerance of the solver.
        atol: absolute tolerance.
        method: of `scipy.integrate.solve_ivp`; the default suits smooth flows that are not stiff.
        evaluations: give up after this many velocities; near a singularity the steps shrink without end.

    Raises:
        ValueError: a time is negative or not finite.
        RuntimeError: the solver stopped, for instance at a singularity.
    """
    times = validate_times(t)
    ordered, place = np.unique(times, return_inverse=True)
    initial = np.asarray(initial, dtype=np.float64)
    if not np.isfinite(initial).all():
        raise ValueError(f"the initial state has NaN or infinite entries, first at {np.argmin(np.isfinite(initial))}")
    if ordered[-1] == 0:
        return np.broadcast_to(initial, (times.size, initial.size)).copy()
    count = itertools.count(1)

    def counted(time: float, x: np.ndarray) -> np.ndarray:
        if next(count) > evaluations:
            raise RuntimeError(
                f"{evaluations} velocities reached only t = {time:.4g} (the flow may be singular or stiff)"
            )
        return velocity(x)

    if not np.isfinite(velocity(initial)).all():  # the solver would shrink its steps without end
        raise RuntimeError("the velocity at t = 0 is not finite (the flow is singular there, or overflows)")
    solution = scipy.integrate.solve_ivp(
        counted, (0.0, ordered[-1]), initial, method=method, t_eval=ordered, rtol=rtol, atol=atol
    )
    if not solution.success:
        raise RuntimeError(f"the ODE solver stopped: {solution.message} (the flow may be singular or stiff)")
    return solution.y.T[place]


def validate_times(t: Float[np.ndarray, " T"] | float) -> Float[np.ndarray, " T"]:
    """`t` as a float64 vector; raises `ValueError` for times that are negative or not finite."""
    times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    if times.ndim != 1 or times.size == 0 or not np.isfinite(times).all() or times.min() < 0:
        raise ValueError(f"times must be a scalar or a [T] array of finite numbers >= 0, got {t!r}")
    return times
