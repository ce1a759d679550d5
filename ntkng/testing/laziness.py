r"""Laziness: a wide network hardly moves, so that its kernel stays what it was.

In the NTK parametrisation `|theta_t - theta_0|` stays bounded as the width grows, while there are ever more parameters, and
`|Theta_t - Theta_0|_F / |Theta_0|_F` falls like `M^{-1/2}` or faster. Both are exponents of power laws, tested as in
`ntkng.testing.slopes`, Bonferroni over the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from ntkng.kernels.empirical import from_records
from ntkng.network import Network, Parameters
from ntkng.report import Report, merge
from ntkng.testing.decision import FALSE_ALARM
from ntkng.testing.failure import require
from ntkng.testing.slopes import slope_report
from ntkng.testing.trajectories import Trajectories

NTK = "ntk"


def observe_ntk(network: Network, parameters: Parameters, x: Array) -> Mapping[str, Array]:
    """For `simulate(..., observe=observe_ntk)`: the network's own NTK `Theta_t` at every step, `[N C, N C]`."""
    _, records = network.linearise(parameters, x)
    return {NTK: from_records(network, records).theta.train}


def assert_lazy(simulated: Trajectories, *, correction: float | None = 0.5, false_alarm: float = FALSE_ALARM) -> Report:
    """Assert that parameters move by a bounded amount and that the NTK changes less and less as the width grows.

    Args:
        simulated: by width, from `simulate(..., observe=observe_ntk)`.
        correction: as in `assert_width_slope`.
        false_alarm: chance that a correct theory fails, over both claims together.

    Returns:
        The report.

    Raises:
        AssertionError: with a table.
        ValueError: simulations without observed NTK, or that have not moved.
    """
    __tracebackhide__ = True
    return require(laziness_report(simulated, correction=correction, false_alarm=false_alarm))


def laziness_report(
    simulated: Trajectories, *, correction: float | None = 0.5, false_alarm: float = FALSE_ALARM
) -> Report:
    """The claims behind `assert_lazy`."""
    shared: dict[str, Any] = {"correction": correction, "false_alarm": false_alarm / 2}
    moved = {width: _last_displacement(run) for width, run in simulated.items()}
    changed = {width: kernel_change(run) for width, run in simulated.items()}
    reports = [
        slope_report(moved, 0.0, name="|theta_t - theta_0|", **shared),
        slope_report(changed, -0.5, name="|Theta_t - Theta_0| / |Theta_0|", **shared),
    ]
    return merge("laziness: bounded displacement, frozen kernel", reports)


def kernel_change(trajectory: Any) -> Float[np.ndarray, "S"]:
    """`|Theta_T - Theta_0|_F / |Theta_0|_F` of every network, from the observed NTK."""
    if NTK not in trajectory.observed:
        raise ValueError("the trajectory has no observed NTK; simulate with observe=ntkng.testing.observe_ntk")
    ntk = np.asarray(trajectory.observed[NTK], float)
    return np.linalg.norm(ntk[:, -1] - ntk[:, 0], axis=(1, 2)) / np.linalg.norm(ntk[:, 0], axis=(1, 2))


def _last_displacement(trajectory: Any) -> Float[np.ndarray, "S"]:
    if trajectory.displacement is None:
        raise ValueError("the trajectory has no displacement; it must come from ntkng.simulate")
    return np.asarray(trajectory.displacement, float)[:, -1]
