r"""Rates: every approximation contracts the residual by `|1 - eta alpha|` a step; gradient descent mode by mode, by `|1 - eta k_i|`.

Measured is the slope of `log |r_t|` over late steps, of each network, and predicted the same slope of the closed form from that network's
`f_0`: for isotropic `K` this is `log |1 - c|` at the step size `c / alpha`, whatever the approximation. What is claimed is the ratio of the
two effective steps `eta k`, `eta k = 1 - rate`, or `1 + rate` where the residual alternates (`c > 1`). Unit-wise blocks are damped, so
that late steps are those of a slow mode, and their number is that of the network: there the closed form is that of the network's
own kernels. Gradient descent has one rate per eigenvector of `Theta`, fitted mode by mode.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.karakida_problems import SOURCE, draw, network, split
from analyses.karakida_theory import RIGHT, Comparison, Theory, hold_against, initial
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.closed_form import closed_form
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher, GradientDescent, UnitWise
from ntkng.kernels import Kernels, UnitSampling, analytic, empirical
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

SAMPLES, DEPTH, STEPS, LATE, LONG = 30, 3, 14, 8, 160
CONTRACTIONS = (0.5, 0.75, 1.25, 1.5)
FISHERS: tuple[Fisher, ...] = (Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC(), UnitWise(1e-2))
# at width 1024, mean over networks: relative error of the effective step (and of the damped unit-wise one), of gradient descent's per
# mode (median over modes), of the factor on K that fits its path best, and of the same from the network's own kernels
ERROR, UNIT_ERROR, MODE_ERROR, FACTOR, OWN_FACTOR = 0.02, 0.04, 0.1, 0.1, 0.035
AGREEMENT = 1e-6  # of the closed form's rate with |1 - c|


@dataclasses.dataclass(frozen=True)
class Rate:
    """One approximation at one step size.

    Attributes:
        fisher: its name.
        contraction: `c = eta alpha`.
        held: networks and closed forms.
        measured: effective step `eta k` of every network, `[S]`.
        predicted: of the closed form.
    """

    fisher: str
    contraction: float
    held: Comparison
    measured: Float[np.ndarray, "S"]
    predicted: Float[np.ndarray, "S"]


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Fitted rates of all approximations at several step sizes, and the modes of gradient descent."""
    width, networks = settings.choose((512, 10), (1024, 10), (2048, 10))
    fishers = settings.choose(FISHERS[1:4:2], FISHERS)  # quick: block-diagonal and K-FAC
    rates = [
        rate(fisher, c, width, networks, settings.seed, theory)
        for fisher in settings.track(fishers, "rates") for c in CONTRACTIONS
    ]  # fmt: skip
    slow = [descent(width, i, settings.seed, theory) for i in settings.track(range(networks), "gradient descent")]
    modes = [row for index in range(networks) for row in mode_rows(width, index, settings.seed, theory)]
    scale = np.sqrt(1024 / width)
    claims = [*make_claims(rates, scale), *descent_claims(slow, modes, scale)]
    facts = {"samples": SAMPLES, "depth": DEPTH, "width": width, "networks": networks, "late": LATE, "steps": STEPS}
    report = Report("Rates of convergence", tuple(claims), provenance(facts, seed=settings.seed))
    panels = {
        "paths": [row for one in rates if one.contraction == 0.5 for row in path_rows(one.fisher, one.held)],
        "rates": [row for one in rates for row in rate_rows(one)],
        "descent": list(path_rows("GradientDescent", stacked([limit for limit, _ in slow]))),
        "modes": modes,
    }
    table = pd.concat([pd.DataFrame(rows).assign(panel=panel) for panel, rows in panels.items()])
    return Study(table, report, facts=facts)


@functools.cache
def problem(width: int, seed: int, name: str = "synthetic") -> Problem:
    """Training inputs only, and a relu network; gradient descent sees digits, whose spectrum is wide."""
    data = split(name, SAMPLES, seed)
    return Problem(network(data.x.shape[1], width, DEPTH), data.x, data.y)


@functools.cache
def kernels(width: int, seed: int, name: str = "synthetic") -> Kernels:
    """At infinite width; sampled units know how many there are."""
    setting = problem(width, seed, name)
    return analytic(setting.network, setting.x, units=UnitSampling() if name == "synthetic" else None)


@functools.cache
def train(fisher: Fisher, name: str, step: float, width: int, index: int, seed: int) -> tuple[Trajectory, Kernels]:
    """A network and its own kernels at the start; `step` is `eta k`, of `alpha`, or for gradient descent of `k_max`."""
    setting, layers = problem(width, seed, name), kernels(width, seed, name)
    parameters = draw(setting.network, 1000 * seed + index)
    has_units = fisher.unit_sampling() is not None
    own = empirical(setting.network, parameters, setting.x, units=has_units)
    if isinstance(fisher, GradientDescent):
        largest, steps = float(fisher.kernel(layers).eigenvalues()[-1]), LONG
    else:
        largest, steps = fisher.predicted_alpha(layers) or fisher.kernel(own).alpha, STEPS
    return simulate(setting, fisher, step_size=step / largest, steps=steps, parameters=parameters), own


def hold(fisher: Fisher, setting: Problem, layers: Kernels, simulated: Trajectory, theory: Theory) -> Comparison:
    """Networks against the closed form from their `f_0`."""
    steps = len(np.asarray(simulated.times)) - 1
    eta = theory.scale * (simulated.step_size or 0)

    def predict(factor: float) -> Trajectory:
        return closed_form(
            setting, fisher, theory.kernels(layers), step_size=factor * eta, steps=steps, initial=initial(simulated)
        )

    return hold_against(simulated, predict)


# -- isotropic approximations ----------------------------------------------------------------------------------------


def rate(fisher: Fisher, contraction: float, width: int, networks: int, seed: int, theory: Theory) -> Rate:
    """Effective steps at `eta = c / alpha`."""
    setting, layers, held = problem(width, seed), kernels(width, seed), []
    for index in range(networks):
        run, own = train(fisher, "synthetic", contraction, width, index, seed)
        held.append(hold(fisher, setting, layers if fisher.unit_sampling() is None else own, run, theory))
    one = stacked(held)
    measured, predicted = (effective_step(path, contraction, LATE) for path in (one.simulated, one.predicted))
    return Rate(fisher.name, contraction, one, measured, predicted)


def effective_step(path: Trajectory, contraction: float, first: int) -> Float[np.ndarray, "S"]:
    """`eta k` with `|1 - eta k|` fitted to `|r_t|` from step `first` on."""
    norms = np.log(np.linalg.norm(path.residual, axis=(-2, -1)))
    steps = np.arange(norms.shape[1])
    factors = np.exp(np.polyfit(steps[first:], norms.T[first:], 1)[0])
    return 1 + np.sign(contraction - 1) * factors


def make_claims(rates: list[Rate], scale: float) -> Iterator[Claim]:
    """Measured over predicted effective steps, and one rate for all approximations."""
    source = f"{SOURCE}, theorem 3.1"
    for one in rates:
        name, bound = (
            f"{one.fisher}/c = {one.contraction:g}",
            scale * (UNIT_ERROR if one.fisher == "UnitWise" else ERROR),
        )
        value, half = mean_with_interval(one.measured / one.predicted)
        yield Claim.within(
            name, value, 1 - bound, 1 + bound,
            f"fitted eta k over the closed form's, steps {LATE} to {STEPS}, eta = c / alpha", uncertainty=half, source=source,
        )  # fmt: skip
        if one.fisher != "UnitWise":
            error = np.abs(one.predicted - one.contraction).max()
            yield Claim.below(
                f"{name}/formula", float(error), AGREEMENT,
                "|eta k - c| of the closed form, with eta = c / alpha by the formulas for alpha", source=source,
            )  # fmt: skip


# -- gradient descent ------------------------------------------------------------------------------------------------


def descent(width: int, index: int, seed: int, theory: Theory) -> tuple[Comparison, Comparison]:
    """One network against infinite width, and against its own linearisation."""
    run, own = train(GradientDescent(), "digits", 1.0, width, index, seed)
    setting, fisher = problem(width, seed, "digits"), GradientDescent()
    limit, mine = (hold(fisher, setting, layers, run, theory) for layers in (kernels(width, seed, "digits"), own))
    return limit, mine


def descent_claims(
    held: list[tuple[Comparison, Comparison]], modes: list[dict[str, Any]], scale: float
) -> Iterator[Claim]:
    """Every mode at its own rate, from the spectrum of `Theta` at infinite width; the whole path, also from the network's own."""
    source = "spectrum of Theta / N"
    ratios = pd.DataFrame(modes).assign(ratio=lambda rows: rows["value"] / rows["predicted"])
    value, half = mean_with_interval(ratios.groupby("network")["ratio"].median())
    yield Claim.within(
        "GradientDescent/modes", value, 1 - scale * MODE_ERROR, 1 + scale * MODE_ERROR,
        "fitted eta k of a mode over eta k_i of infinite width, median over modes", uncertainty=half, source=source,
    )  # fmt: skip
    for name, index, bound in (("infinite width", 0, FACTOR), ("the network's own kernels", 1, OWN_FACTOR)):
        value, half = mean_with_interval(float(pair[index].factors[0]) for pair in held)
        yield Claim.within(
            f"GradientDescent/factor/{name}", value, 1 - scale * bound, 1 + scale * bound,
            f"factor on K of {name} that fits the path best", uncertainty=half, source=source,
        )  # fmt: skip


def stacked(parts: list[Comparison]) -> Comparison:
    """Several networks as one comparison."""
    paths = []
    for kind in ("simulated", "predicted"):
        all_paths = [getattr(part, kind) for part in parts]
        train = np.concatenate([np.asarray(path.train) for path in all_paths])
        paths.append(dataclasses.replace(all_paths[0], train=train, displacement=None))
    return Comparison(*paths, np.concatenate([part.factors for part in parts]))


def mode_rows(width: int, index: int, seed: int, theory: Theory) -> Iterator[dict[str, Any]]:
    """`eta k` fitted to the residual in each eigenvector of the network's own `Theta`, against the spectrum at infinite width.

    Fitted up to the step at which the mode should have lost 80 %: later, what nonlinearity brings into it dominates.
    """
    run, own = train(GradientDescent(), "digits", 1.0, width, index, seed)
    believed = theory.kernels(kernels(width, seed, "digits")).theta.train
    limits = theory.scale * np.linalg.eigvalsh(np.asarray(believed) / SAMPLES)
    vectors = np.linalg.eigh(np.asarray(own.theta.train))[1]
    sizes = np.abs(run.residual[0, :, :, 0] @ vectors)
    for mode, value in enumerate(limits * (run.step_size or 0)):
        last = int(np.clip(np.log(0.2) / np.log(max(1 - value, 1e-3)), 1, LONG))
        measured = 1 - (sizes[last, mode] / sizes[0, mode]) ** (1 / last)
        yield {"mode": mode, "network": index, "predicted": float(value), "value": float(measured)}


# -- rows ------------------------------------------------------------------------------------------------------------


def path_rows(name: str, held: Comparison) -> Iterator[dict[str, Any]]:
    """`|r_t| / |r_0|`, mean over networks."""
    for source, path in (("simulation", held.simulated), ("theory", held.predicted)):
        norms = np.linalg.norm(path.residual, axis=(-2, -1))
        for step, values in enumerate((norms / norms[:, :1]).T):
            value, half = mean_with_interval(values)
            yield {"fisher": name, "source": source, "step": step, "value": value, "half_width": half}


def rate_rows(one: Rate) -> Iterator[dict[str, Any]]:
    """Ratios of effective steps, one a network."""
    for index, ratio in enumerate(one.measured / one.predicted):
        yield {"fisher": one.fisher, "contraction": one.contraction, "network": index, "ratio": float(ratio)}
