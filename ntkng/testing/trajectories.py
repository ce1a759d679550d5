r"""A simulation against the infinite-width prediction, as a test with a stated false-alarm rate.

At a finite width the two differ, by `O(1/sqrt(M))` in a single network and by `O(1/M)` (smooth activations; `O(1/sqrt(M))`
with a kink) on average over networks. What the theory says exactly is the limit. Measured per step is the
relative error of the predicted change of the function,

    gamma_t = E <f_t - p_t, p_t - p_0> / E |p_t - p_0|^2,      p: the prediction, p_0 = f_0,

over networks, on the training and on the test inputs. `gamma_t = 0.05` says that the function moved 5 % further than predicted; an `alpha`
that is 5 % too small does exactly that in the first step. It is extrapolated to infinite width
(`ntkng.testing.fit`) and tested against 0 with two-sided t tests over networks, Bonferroni over steps and input sets.

Widths are needed for that: with a single width only a bound can be checked, and a bound is a choice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ntkng.arguments import require_type
from ntkng.compare import compare
from ntkng.report import Claim, Report
from ntkng.statistics import Estimate
from ntkng.testing.causes import likely_cause
from ntkng.testing.decision import FALSE_ALARM, POWER, equality_claims
from ntkng.testing.failure import require
from ntkng.testing.fit import ratio
from ntkng.trajectory import Trajectory

KINKED: tuple[float, ...] = (0.5, 1.0)  # powers of 1/M for activations with a kink; valid for smooth ones too
SMOOTH: tuple[float, ...] = (1.0, 2.0)
EFFECT = 0.05
TEST_EFFECT = 0.1

Trajectories = Mapping[int, Trajectory]


def assert_trajectories_match(
    simulated: Trajectories | Trajectory,
    predicted: Trajectories | Trajectory,
    *,
    powers: tuple[float, ...] = KINKED,
    false_alarm: float = FALSE_ALARM,
    effect: float | None = EFFECT,
    test_effect: float | None = TEST_EFFECT,
    power: float = POWER,
    bound: float | None = None,
) -> Report:
    """Assert that finite networks approach the predicted trajectory (see the module).

    Args:
        simulated: by width, each from `ntkng.simulate` with at least two seeds.
        predicted: by width, each from `ntkng.closed_form` started at the simulation's own functions.
            `ntkng.testing.width_sweep` makes both.
        powers: of `1/M` in the expectation of the deviation: `(0.5, 1)` for activations with a kink, `(1, 2)`
            (more power) for smooth ones. One more width than powers is needed.
        false_alarm: chance that a correct theory fails, over all steps and input sets together.
        effect: relative error on the training inputs that a pass must have been able to see; too few networks for it
            is not a pass. `None` asks for nothing.
        test_effect: the same on the test inputs.
        power: with which these effects must be visible.
        bound: for a single pair of trajectories, on the mean of `max_t |f_t - p_t| / |r_0|` over networks.

    Returns:
        The report of the claims.

    Raises:
        AssertionError: with a table, where a deviation is significant, or could not have been seen.
        TypeError: something else than trajectories.
        ValueError: different widths, times or targets; single trajectories without `bound`.
    """
    __tracebackhide__ = True
    if not (isinstance(simulated, Mapping) and isinstance(predicted, Mapping)):
        for name, value in (("simulated", simulated), ("predicted", predicted)):
            if not isinstance(value, Mapping):
                require_type(name, value, Trajectory, "make one with ntkng.simulate or ntkng.closed_form")
        if bound is None or isinstance(simulated, Mapping) or isinstance(predicted, Mapping):
            raise ValueError(
                "one width cannot tell an error of the theory from the effect of a finite width: pass mappings "
                "{width: trajectory} for both, or a bound= for a single pair"
            )
        return require(compare(simulated, predicted, bound=bound, test_bound=bound))
    return require(
        trajectory_report(
            simulated,
            predicted,
            powers=powers,
            false_alarm=false_alarm,
            effect=effect,
            test_effect=test_effect,
            power=power,
        )
    )


def trajectory_report(
    simulated: Trajectories,
    predicted: Trajectories,
    *,
    powers: tuple[float, ...] = KINKED,
    false_alarm: float = FALSE_ALARM,
    effect: float | None = EFFECT,
    test_effect: float | None = TEST_EFFECT,
    power: float = POWER,
) -> Report:
    """The claims behind `assert_trajectories_match`."""
    first = simulated[check_widths(simulated, predicted)[0]]
    name = first.fisher or "trajectory"
    title = f"{name}: simulation against closed form, extrapolated in width"
    diverged = diverged_claim(name, simulated)
    if diverged is not None:
        return Report(title, (diverged,))
    sets = ["train"] + (["test"] if first.test is not None else [])
    steps = np.asarray(first.times)[1:]
    claims: list[Claim] = []
    for on, wanted in zip(sets, (effect, test_effect), strict=False):
        found = relative_errors(simulated, predicted, on, powers)
        statements = [
            f"relative error of the change on {on} inputs at step {t:g}, limit of infinite width" for t in steps
        ]
        claims += equality_claims(
            [f"{name}/{on}/step {t:g}" for t in steps], found, statements,
            effect=[np.inf if wanted is None else wanted] + [np.inf] * (len(steps) - 1),
            family=len(steps) * len(sets), false_alarm=false_alarm, power=power,
            notes=[_cause(1 + value, first) for value in found.value],
        )  # fmt: skip
    return Report(title, tuple(claims), {"networks": {width: len(s.train) for width, s in simulated.items()}})


def relative_errors(simulated: Trajectories, predicted: Trajectories, on: str, powers: tuple[float, ...]) -> Estimate:
    """`gamma_t` in the limit of infinite width; the step 0, where it is 0, is left out."""
    widths = check_widths(simulated, predicted)
    parts = {width: _parts(simulated[width], predicted[width], on) for width in widths}
    scale = parts[widths[-1]][1].mean(axis=0)  # one scale for all widths keeps the expansion in 1/M
    if not (scale > 0).all():
        raise ValueError(f"the prediction does not move on the {on} inputs, so that it has no relative error; check y")
    products, squares = ({width: part[i] / scale for width, part in parts.items()} for i in (0, 1))
    return ratio(products, squares, powers)


def check_widths(simulated: Mapping[int, object], predicted: Mapping[int, object]) -> list[int]:
    """The widths, ascending; `ValueError` unless both mappings have the same."""
    if sorted(simulated) != sorted(predicted) or not simulated:
        raise ValueError(
            f"got simulations at widths {sorted(simulated)}, predictions at {sorted(predicted)}; use the same"
        )
    return sorted(simulated)


def diverged_claim(name: str, simulated: Trajectories) -> Claim | None:
    """A claim that fails where simulations have NaN or infinite outputs; `None` where none has."""
    lost = {w: int((~np.isfinite(np.asarray(s.train)).all(axis=(1, 2, 3))).sum()) for w, s in simulated.items()}
    if not any(lost.values()):
        return None
    statement = f"simulations stay finite (diverged by width: {lost})"
    if not lost[max(lost)]:
        note = "only narrow networks diverge: leave out the smallest widths"
        return Claim.undecided(f"{name}/finite", sum(lost.values()), statement, note)
    return Claim.below(
        f"{name}/finite", sum(lost.values()), 0.5, statement, note="step size too large, or a wrong step"
    )


def _parts(one: Trajectory, other: Trajectory, on: str) -> tuple[Float[np.ndarray, "S T"], Float[np.ndarray, "S T"]]:
    """`<f_t - p_t, p_t - p_0>` and `|p_t - p_0|^2` for every network and step."""
    if np.shape(one.times) != np.shape(other.times) or not np.allclose(np.asarray(one.times), np.asarray(other.times)):
        raise ValueError("simulation and prediction have different times; ask both for the same steps")
    arrays = (one.train, other.train) if on == "train" else (one.test, other.test)
    if arrays[0] is None or arrays[1] is None:
        raise ValueError("a trajectory has no test inputs; give the Problem x_test")
    f, p = (np.asarray(array, float) for array in arrays)
    if f.ndim != 4 or f.shape != p.shape:
        raise ValueError(
            f"expected trajectories [seeds, T, N, C] of the same networks, got {f.shape} and {p.shape}; start the closed form "
            "with initial=(simulated.train[:, 0], simulated.test[:, 0])"
        )
    change = p - p[:, :1]
    product, square = ((a * change).sum(axis=(2, 3))[:, 1:] for a in (f - p, change))
    return product, square


def _cause(ratio: float, trajectory: Trajectory) -> str:
    samples, outputs = np.shape(trajectory.targets)
    return (
        likely_cause(ratio, samples=samples, outputs=outputs)
        or f"the function moved {ratio:.3g} times as far as predicted"
    )
