r"""The rate of convergence: with `eta = c / alpha` every isotropic approximation has `|r_t| = |1 - c|^t |r_0|`.

Measured per network is the least-squares slope of `log |r_t|` per step. Its expectation is extrapolated to infinite width and
tested against `log |1 - c|`, two-sided, Bonferroni over the approximations (Karakida and Osawa 2020, theorem 3.1). Gradient
descent does not have this rate: its residual has one rate per eigenvalue of `Theta / N`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ntkng.report import Claim, Report
from ntkng.testing.decision import FALSE_ALARM, POWER, equality_claims
from ntkng.testing.failure import require
from ntkng.testing.fit import limit
from ntkng.testing.trajectories import EFFECT, KINKED, Trajectories, diverged_claim
from ntkng.trajectory import Trajectory


def assert_same_rate(
    simulated: Mapping[str, Trajectories],
    contraction: float,
    *,
    powers: tuple[float, ...] = KINKED,
    false_alarm: float = FALSE_ALARM,
    effect: float | None = EFFECT,
    power: float = POWER,
) -> Report:
    """Assert that all approximations contract the residual by the same factor per step.

    Args:
        simulated: by name of the approximation, then by width; each run at its own `eta = c / alpha`.
        contraction: the predicted factor per step, `|1 - c|`, between 0 and 1.
        powers: as in `assert_trajectories_match`.
        false_alarm: chance that a correct theory fails, over all approximations together.
        effect: relative error of the contraction factor that a pass must have been able to see; `None` asks for nothing.
        power: with which it must be visible.

    Returns:
        The report, one claim an approximation.

    Raises:
        AssertionError: with a table.
        ValueError: a contraction outside of (0, 1) (at `c = 1` one step ends the training and leaves no rate), too few
            widths or networks.
    """
    __tracebackhide__ = True
    return require(
        rate_report(simulated, contraction, powers=powers, false_alarm=false_alarm, effect=effect, power=power)
    )


def rate_report(
    simulated: Mapping[str, Trajectories],
    contraction: float,
    *,
    powers: tuple[float, ...] = KINKED,
    false_alarm: float = FALSE_ALARM,
    effect: float | None = EFFECT,
    power: float = POWER,
) -> Report:
    """The claims behind `assert_same_rate`."""
    if not 0 < contraction < 1:
        raise ValueError(
            f"contraction must be |1 - c| between 0 and 1 (exclusive), got {contraction}; use c = eta alpha = 1/2"
        )
    expected, claims = math.log(contraction), []
    for name, by_width in simulated.items():
        diverged = diverged_claim(name, by_width)
        if diverged is not None:
            claims.append(diverged)
            continue
        found = limit({width: rates(run)[:, None] for width, run in by_width.items()}, powers)
        claims += _claims(name, found, expected, effect, len(simulated), false_alarm, power)
    return Report(f"rate of convergence, factor {contraction:g} per step", tuple(claims))


def _claims(name, found, expected, effect, family, false_alarm, power) -> list[Claim]:
    measured = 1 - math.exp(float(found.value[0]))
    note = f"eta alpha is {measured:.3g}, expected {1 - math.exp(expected):.3g}: alpha or the step size is off by the ratio"
    return equality_claims(
        [f"{name}/rate"], found, ["slope of log |r_t| per step, limit of infinite width"],
        expected=expected, effect=effect, family=family, false_alarm=false_alarm, power=power, notes=[note],
        source="Karakida and Osawa 2020, theorem 3.1",
    )  # fmt: skip


def rates(trajectory: Trajectory) -> Float[np.ndarray, "S"]:
    """Least-squares slope of `log |r_t|` per step, for every network.

    Raises:
        ValueError: a single time, or a residual that vanishes exactly.
    """
    norms = np.linalg.norm(trajectory.residual, axis=(-2, -1))
    times = np.asarray(trajectory.times, float)
    if len(times) < 2 or not (norms > 0).all():
        raise ValueError("a rate needs at least one step and residuals that do not vanish; use c = eta alpha < 1")
    centred = times - times.mean()
    return np.log(norms) @ centred / (centred @ centred)
