r"""Rates: every approximation contracts the residual by `|1 - eta alpha|` a step; gradient descent mode by mode, by `|1 - eta k_i|`.

Measured is the slope of `log |r_t|` over late steps, of each network, and predicted the same slope of the closed form from that network's
`f_0`: for isotropic `K` this is `log |1 - c|` at the step size `c / alpha`, whatever the approximation. What is claimed is the ratio of the
two effective steps `eta k`, `eta k = 1 - rate`, or `1 + rate` where the residual alternates (`c > 1`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.karakida_problems import SOURCE, network, split
from analyses.karakida_theory import RIGHT, Comparison, Theory, hold_against, initial
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.closed_form import closed_form
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher, GradientDescent, UnitWise
from ntkng.kernels import Kernels, UnitSampling, analytic
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

SAMPLES, DEPTH, STEPS, LATE, LONG = 30, 3, 8, 3, 160
CONTRACTIONS = (0.25, 0.5, 0.75, 1.5)
FISHERS: tuple[Fisher, ...] = (Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC(), UnitWise(1e-2))
# largest error of the effective step, relative, mean over networks, at width 1024
ERROR, UNIT_ERROR, SLOW_ERROR = 0.01, 0.03, 0.03
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
    width, networks = settings.choose((512, 3), (1024, 5), (2048, 10))
    fishers = settings.choose(FISHERS[1:4:2], FISHERS)  # quick: block-diagonal and K-FAC
    rates = [
        rate(fisher, c, width, networks, settings.seed, theory)
        for fisher in settings.track(fishers, "rates") for c in CONTRACTIONS
    ]  # fmt: skip
    slow = descent(width, networks, settings.seed, theory)
    scale = np.sqrt(1024 / width)
    claims = [*make_claims(rates, scale), *descent_claims(slow, scale)]
    facts = {"samples": SAMPLES, "depth": DEPTH, "width": width, "networks": networks, "late": LATE, "steps": STEPS}
    report = Report("Rates of convergence", tuple(claims), provenance(facts, seed=settings.seed))
    panels = {
        "paths": [row for one in rates if one.contraction == 0.5 for row in path_rows(one.fisher, one.held)],
        "rates": [row for one in rates for row in rate_rows(one)],
        "descent": list(path_rows("GradientDescent", slow)),
        "modes": list(mode_rows(slow, width, settings.seed)),
    }
    table = pd.concat([pd.DataFrame(rows).assign(panel=panel) for panel, rows in panels.items()])
    return Study(table, report, facts=facts)


@functools.cache
def problem(width: int, seed: int) -> Problem:
    """The synthetic teacher, training inputs only, and a relu network."""
    data = split("synthetic", SAMPLES, seed)
    return Problem(network(data.x.shape[1], width, DEPTH), data.x, data.y)


@functools.cache
def kernels(width: int, seed: int) -> Kernels:
    """At infinite width; sampled units know how many there are."""
    return analytic(problem(width, seed).network, problem(width, seed).x, units=UnitSampling())


@functools.cache
def train(fisher: Fisher, eta: float, steps: int, width: int, networks: int, seed: int) -> Trajectory:
    """Networks, before any theory."""
    return simulate(problem(width, seed), fisher, seed, step_size=eta, steps=steps, seeds=networks)


def hold(fisher: Fisher, eta: float, steps: int, width: int, networks: int, seed: int, theory: Theory) -> Comparison:
    """Networks against the closed form from their `f_0`."""
    setting, layers = problem(width, seed), theory.kernels(kernels(width, seed))
    simulated = train(fisher, eta, steps, width, networks, seed)

    def predict(factor: float) -> Trajectory:
        return closed_form(
            setting, fisher, layers, step_size=factor * theory.scale * eta, steps=steps, initial=initial(simulated)
        )

    return hold_against(simulated, predict)


# -- isotropic approximations ----------------------------------------------------------------------------------------


def rate(fisher: Fisher, contraction: float, width: int, networks: int, seed: int, theory: Theory) -> Rate:
    """Effective steps at `eta = c / alpha`."""
    layers = kernels(width, seed)
    eta = contraction / (fisher.predicted_alpha(layers) or fisher.kernel(layers).alpha)
    held = hold(fisher, eta, STEPS, width, networks, seed, theory)
    measured, predicted = (effective_step(path, contraction, LATE) for path in (held.simulated, held.predicted))
    return Rate(fisher.name, contraction, held, measured, predicted)


def effective_step(path: Trajectory, contraction: float, first: int) -> Float[np.ndarray, "S"]:
    """`eta k` with `|1 - eta k|` fitted to `|r_t|` from step `first` on."""
    norms = np.log(np.linalg.norm(path.residual, axis=(-2, -1)))
    steps = np.arange(norms.shape[1])
    factors = np.exp(np.polyfit(steps[first:], norms.T[first:], 1)[0])
    return 1 + np.sign(contraction - 1) * factors


def make_claims(rates: list[Rate], scale: float) -> Iterator[Claim]:
    """Measured over predicted effective steps, and one rate for all approximations."""
    for one in rates:
        is_unit_wise = one.fisher == "UnitWise"
        bound = scale * (UNIT_ERROR if is_unit_wise else ERROR)
        value, half = mean_with_interval(one.measured / one.predicted)
        yield Claim.within(
            f"{one.fisher}/c = {one.contraction:g}", value, 1 - bound, 1 + bound,
            f"fitted eta k over the closed form's, steps {LATE} to {STEPS}, eta = c / alpha", uncertainty=half,
            source=f"{SOURCE}, theorem 3.1",
        )  # fmt: skip
        if not is_unit_wise:
            error = np.abs(one.predicted - one.contraction).max()
            yield Claim.below(
                f"{one.fisher}/c = {one.contraction:g}/formula", float(error), AGREEMENT,
                "|eta k - c| of the closed form, with eta = c / alpha by the formulas for alpha", source=f"{SOURCE}, theorem 3.1",
            )  # fmt: skip


# -- gradient descent ------------------------------------------------------------------------------------------------


def descent(width: int, networks: int, seed: int, theory: Theory) -> Comparison:
    """Gradient descent at `1 / k_max`."""
    fisher = GradientDescent()
    eta = 1 / float(fisher.kernel(kernels(width, seed)).eigenvalues()[-1])
    return hold(fisher, eta, LONG, width, networks, seed, theory)


def descent_claims(held: Comparison, scale: float) -> Iterator[Claim]:
    """The slow modes of the spectrum of `Theta` govern late steps, and the isotropic approximations are faster by far."""
    measured, predicted = (effective_step(path, 0.0, LONG // 2) for path in (held.simulated, held.predicted))
    value, half = mean_with_interval(measured / predicted)
    yield Claim.within(
        "GradientDescent/late", value, 1 - scale * SLOW_ERROR, 1 + scale * SLOW_ERROR,
        f"fitted eta k over that of the closed form, steps {LONG // 2} to {LONG}", uncertainty=half,
        source="spectrum of Theta / N",
    )  # fmt: skip
    value, half = mean_with_interval(held.factors)
    yield Claim.within(
        "GradientDescent/factor", value, 1 - scale * SLOW_ERROR, 1 + scale * SLOW_ERROR,
        "factor on K that fits the simulation best", uncertainty=half, source="spectrum of Theta / N",
    )  # fmt: skip


def mode_rows(held: Comparison, width: int, seed: int) -> Iterator[dict[str, Any]]:
    """`eta k` of every eigenvector of `Theta` against its eigenvalue, from the root mean square over networks.

    Fitted up to the step at which the mode should have lost 80 %: later, what slower modes leak into it dominates.
    """
    values, vectors = np.linalg.eigh(np.asarray(kernels(width, seed).theta.train) / SAMPLES)
    sizes = np.sqrt(((held.simulated.residual[..., 0] @ vectors) ** 2).mean(axis=0))
    for index, value in enumerate(values * (held.simulated.step_size or 0)):
        last = int(np.clip(np.log(0.2) / np.log(max(1 - value, 1e-3)), 1, LONG))
        measured = 1 - (sizes[last, index] / sizes[0, index]) ** (1 / last)
        yield {"mode": index, "predicted": float(value), "value": float(measured)}


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
    for index, (measured, predicted) in enumerate(zip(one.measured, one.predicted, strict=True)):
        yield {"fisher": one.fisher, "contraction": one.contraction, "network": index, "measured": float(measured),
               "predicted": float(predicted)}  # fmt: skip
