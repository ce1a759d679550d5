"""A theory as an argument, and how a simulation is held against it.

Tests put slightly wrong theories in the place of the right one, and the claims must fail. A distance between functions alone is
blunt: `K` off by 5 % moves `(1 - c)^t` by 2 % of the initial residual at most. So the factor on `K` that fits the simulation best
is claimed too, to first order: with `d` the derivative of the prediction by that factor, `1 + <f - f_closed, d> / <d, d>`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from analyses.planted import Belief, altered
from analyses.seeds import mean_with_interval
from ntkng.closed_form import closed_form, dynamics
from ntkng.compare import compare
from ntkng.fisher import Fisher, PreconditionedKernel
from ntkng.kernels import Kernels
from ntkng.problem import Problem
from ntkng.report import Claim
from ntkng.trajectory import Trajectory

PROBE = 0.01  # relative change of K for the derivative


@dataclasses.dataclass(frozen=True)
class Theory:
    """The right theory by default.

    Attributes:
        scale: factor on `K`, and so on `alpha`; 1.05 is `alpha` off by 5 %.
        has_samples: whether damping `rho` appears as `N rho` beside the Grams; `False` is `rho` in its place.
        dropped: index of a layer that is left out of the sum over layers.
        layers: other layer kernels in the place of the right ones.
        believes: another `(K, K')` from given kernels (see `analyses.planted`).
        path: another closed form of the trajectory, with the arguments of `ntkng.closed_form`.
    """

    scale: float = 1.0
    has_samples: bool = True
    dropped: int | None = None
    layers: Callable[[Kernels], Kernels] | None = None
    believes: Belief | None = None
    path: Callable[..., Trajectory] = closed_form

    def kernels(self, kernels: Kernels) -> Kernels:
        """The layer kernels that enter the prediction."""
        if self.layers is not None:
            kernels = self.layers(kernels)
        if self.dropped is None:
            return kernels
        layers = kernels.layers[: self.dropped] + kernels.layers[self.dropped + 1 :]
        return dataclasses.replace(kernels, layers=layers)

    def fisher(self, fisher: Fisher, samples: int) -> Fisher:
        """The approximation as the prediction sees it."""
        if not self.has_samples and fisher.is_damped:
            fisher = dataclasses.replace(fisher, damping=fisher.damping / samples)
        return fisher if self.believes is None else altered(fisher, believes=self.believes)

    def predict(
        self, setting: Problem, fisher: Fisher, kernels: Kernels, simulated: Trajectory, factor: float = 1.0
    ) -> Trajectory:
        """The trajectory that the theory gives for a simulation, from its `f_0`, with `factor K` in place of `K`."""
        assert simulated.step_size is not None
        return self.path(
            setting,
            self.fisher(fisher, setting.samples),
            self.kernels(kernels),
            step_size=factor * self.scale * simulated.step_size,
            steps=len(np.asarray(simulated.times)) - 1,
            initial=initial(simulated),
        )


RIGHT = Theory()
WRONG = {
    "alpha off by 5 %": Theory(scale=1.05),
    "rho in place of N rho": Theory(has_samples=False),
    "first layer dropped": Theory(dropped=0),
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Simulations of several networks, the prediction from their `f_0`, and the factor on `K` that fits best, by network."""

    simulated: Trajectory
    predicted: Trajectory
    factors: Float[np.ndarray, "seeds"]


def hold_against(simulated: Trajectory, predict: Callable[[float], Trajectory]) -> Comparison:
    """Compare with `predict(1)`; `predict(s)` is the prediction with `s K` in place of `K`."""
    predicted = predict(1.0)
    raised, lowered = (np.asarray(predict(1 + sign * PROBE).predictions()) for sign in (1, -1))
    derivative = (raised - lowered) / (2 * PROBE)
    difference = simulated.predictions() - predicted.predictions()
    axes = tuple(range(1, difference.ndim))
    factors = 1 + (difference * derivative).sum(axis=axes) / (derivative**2).sum(axis=axes)
    return Comparison(simulated, predicted, factors)


def hold(setting: Problem, fisher: Fisher, kernels: Kernels, simulated: Trajectory, theory: Theory) -> Comparison:
    """A simulation against the closed form that the theory gives."""
    return hold_against(simulated, functools.partial(theory.predict, setting, fisher, kernels, simulated))


def hold_kernel(
    setting: Problem, preconditioned: PreconditionedKernel, simulated: Trajectory, scale: float = 1.0
) -> Comparison:
    """A simulation against the closed form of `scale K`."""
    assert simulated.step_size is not None
    eta = scale * simulated.step_size
    steps = len(np.asarray(simulated.times)) - 1

    def predict(factor: float) -> Trajectory:
        start = initial(simulated)
        return dynamics(
            setting, preconditioned, step_size=factor * eta, steps=steps, initial=start, fisher=simulated.fisher or ""
        )  # fmt: skip

    return hold_against(simulated, predict)


def initial(simulated: Trajectory) -> Any:
    """The functions from which the prediction starts."""
    return simulated.train[:, 0], None if simulated.test is None else simulated.test[:, 0]


def comparison_claims(
    name: str, comparison: Comparison, *, bound: float, test_bound: float, factor: float, source: str
) -> Iterator[Claim]:
    """The distances on train and test inputs, and the factor on `K` within `factor` of 1."""
    report = compare(comparison.simulated, comparison.predicted, bound=bound, test_bound=test_bound, source=source)
    for claim in report.claims:
        yield dataclasses.replace(claim, name=f"{name}/{claim.name.split('/')[1]}")
    value, half = mean_with_interval(comparison.factors)
    yield Claim.within(
        f"{name}/factor", value, 1 - factor, 1 + factor,
        "factor on K that fits the simulation best", uncertainty=half, source=source,
    )  # fmt: skip
