"""Training dynamics: the closed forms of all approximations, drawn through simulations of a finite network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.karakida_problems import APPROXIMATIONS, SOURCE, TEST_SAMPLES, kernels, problem
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold_against, initial
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.closed_form import closed_form
from ntkng.compare import worst_distance
from ntkng.fisher import Fisher, GradientDescent
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

HARD = "raw digits"
SAMPLES = {"synthetic": 50, "digits": 40, HARD: 40}
FRACTIONS = {"1/(2 alpha)": 0.5, "1/alpha": 1.0}
STEPS = 8
LATE = slice(
    4, None
)  # steps over which the rate is fitted: there the step is small and the network is at its linearisation
WIDTH = 2048  # of the bounds; a distance is proportional to 1/sqrt(width)
RATE = 0.35  # tolerance of the rate, relative to the bound on the distance
FULL_STEP = 4.5  # a distance is nearly quadratic in the step size: 1/alpha against 1/(2 alpha)
FISHERS: tuple[Fisher, ...] = (GradientDescent(), *APPROXIMATIONS)
CASES = [(name, fisher, multiple) for name in ("synthetic", "digits") for fisher in FISHERS for multiple in FRACTIONS]
CASES += [(HARD, fisher, "1/(2 alpha)") for fisher in APPROXIMATIONS]

TINY = 1e-40  # of a loss that is 0 up to rounding

# max over steps of |f_t - closed form| / |r_0| at 1/(2 alpha), mean over 4 networks, on the (training, test) inputs
BOUNDS = {
    "synthetic": {"GradientDescent": (0.05, 0.12), "Exact": (0.012, 0.20), "BlockDiagonal": (0.012, 0.25),
                  "BlockTriDiagonal": (0.018, 0.27), "KFAC": (0.028, 0.035)},
    "digits": {"GradientDescent": (0.05, 0.12), "Exact": (0.012, 0.14), "BlockDiagonal": (0.012, 0.16),
               "BlockTriDiagonal": (0.02, 0.18), "KFAC": (0.055, 0.22)},
    HARD: {"Exact": (0.03, 0.18), "BlockDiagonal": (0.03, 0.18), "BlockTriDiagonal": (0.04, 0.24),
           "KFAC": (0.08, 0.50)},
}  # fmt: skip
ILL_CONDITIONED = (
    "K-FAC inverts the input Gram A_0, whose condition number is about 1e5 for pixels as they are (and 5e3 when they are "
    "centred, see 'digits'): the step is long in directions that the data hardly have, and the linearisation is poorer"
)


@dataclasses.dataclass(frozen=True)
class Run:
    """One approximation on one problem at one step size: several networks, and the closed form from their `f_0`."""

    problem: str
    fisher: str
    multiple: str
    held: Comparison


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Losses of simulations and closed forms at `eta = 1/alpha` and `1/(2 alpha)`."""
    width, seeds = settings.choose((512, 6), (WIDTH, 8), (2 * WIDTH, 8))
    cases = settings.track(CASES, "training dynamics")
    runs = [run(*case, width, seeds, settings.seed, theory) for case in cases]
    table = pd.DataFrame([row for one in runs for row in rows(one)])
    facts = {"width": width, "seeds": seeds, "samples": SAMPLES, "test_samples": TEST_SAMPLES}
    claims = make_claims(runs, np.sqrt(WIDTH / width))
    return Study(table, Report("Training dynamics", tuple(claims), provenance(facts, seed=settings.seed)), facts=facts)


def run(name: str, fisher: Fisher, multiple: str, width: int, seeds: int, seed: int, theory: Theory = RIGHT) -> Run:
    """Train networks from `seeds` initialisations, and predict each from its own initial function."""
    setting = problem(name, width, samples=SAMPLES[name], seed=seed)
    layers = kernels(name, samples=SAMPLES[name], seed=seed)
    eta = FRACTIONS[multiple] * fisher.optimal_step(layers)
    simulated = simulate(setting, fisher, seed, step_size=eta, steps=STEPS, seeds=seeds)
    believed = theory.kernels(layers)

    def predict(factor: float) -> Trajectory:
        step_size = factor * theory.scale * eta
        start = initial(simulated)
        return closed_form(setting, fisher, believed, step_size=step_size, steps=STEPS, initial=start)

    return Run(name, fisher.name, multiple, hold_against(simulated, predict))


def rows(one: Run) -> Iterator[dict[str, Any]]:
    """Losses on train and test with 95 % intervals over networks; the same over the initial ones, in geometric means."""
    for source, path in (("simulation", one.held.simulated), ("theory", one.held.predicted)):
        for on, losses in (("train", path.train_loss), ("test", path.test_loss)):
            for step, values in enumerate(losses.T):
                value, half = mean_with_interval(values)
                change, spread = mean_with_interval(np.log(np.maximum(values, TINY) / losses[:, 0]))
                yield {"problem": one.problem, "fisher": one.fisher, "multiple": one.multiple, "source": source,
                       "on": on, "step": step, "loss": value, "half_width": half,
                       "relative": np.exp(change), "relative_low": np.exp(change - (spread or 0)),
                       "relative_high": np.exp(change + (spread or 0))}  # fmt: skip


def make_claims(runs: list[Run], scale: float) -> Iterator[Claim]:
    """What the figure must show; `scale` multiplies the bounds."""
    for one in runs:
        if one.fisher == "GradientDescent" and one.multiple == "1/alpha":
            yield _edge_of_stability(one)
            continue
        yield from _comparison(one, scale)
        if one.fisher != "GradientDescent" and one.problem != HARD:
            yield _decay(one, scale)
    chosen = {(one.problem, one.multiple, one.fisher): one.held.simulated.train_loss for one in runs}
    for name in ("synthetic", "digits"):
        slow, fast = chosen[name, "1/alpha", "GradientDescent"], chosen[name, "1/alpha", "Exact"]
        yield Claim.above(
            f"{name}/gradient descent is slower", float((slow[:, 1] / fast[:, 1]).min()), 100 / scale**2,
            "after one step, the loss of gradient descent at its best step size over that of the exact Fisher",
            source=f"{SOURCE}, figure 1",
        )  # fmt: skip


def _comparison(one: Run, scale: float) -> Iterator[Claim]:
    """Simulation against closed form, on train and test, and the factor on `K` that fits best."""
    on_train, on_test = BOUNDS[one.problem][one.fisher]
    claims = comparison_claims(
        f"{one.problem}/{one.multiple}/{one.fisher}", one.held, bound=scale * on_train, test_bound=scale * on_test,
        factor=2 * scale * on_train, source=f"{SOURCE}, theorem 3.1",
    )  # fmt: skip
    kinds = {"1/alpha": ("test",), "1/(2 alpha)": ("train", "test", "factor")}[one.multiple]
    kinds = ("train",) if one.problem == HARD else kinds
    for claim in claims:
        if claim.name.endswith(kinds):
            is_hard = one.problem == HARD and one.fisher == "KFAC"
            yield dataclasses.replace(claim, note=claim.note or ILL_CONDITIONED) if is_hard else claim


def _edge_of_stability(one: Run) -> Claim:
    return Claim.finding(
        f"{one.problem}/best step/GradientDescent/train",
        float(worst_distance(one.held.simulated, one.held.predicted).mean()),
        "distance to the closed form of gradient descent at its best step size, 2/(k_min + k_max)",
        note="its fastest mode alternates there with a factor near -1, and any error of k_max grows with every step",
    )


def _decay(one: Run, scale: float) -> Claim:
    """The same for every approximation: geometric at half of the optimal step, one step at the optimal one."""
    bound = scale * BOUNDS[one.problem][one.fisher][0]
    if one.multiple == "1/alpha":
        value, half = mean_with_interval(worst_distance(one.held.simulated, one.held.predicted))
        return Claim.below(
            f"{one.problem}/1/alpha/{one.fisher}/one step", value, FULL_STEP * bound,
            "|r_1| / |r_0|: one step at 1/alpha reaches the minimum", uncertainty=half, source=f"{SOURCE}, section 3",
        )  # fmt: skip
    value, half = mean_with_interval(_late_rates(one.held.simulated))
    expected = float(_late_rates(one.held.predicted).mean())
    return Claim.within(
        f"{one.problem}/1/(2 alpha)/{one.fisher}/rate", value, expected - RATE * bound, expected + RATE * bound,
        f"|r_(t+1)| / |r_t| at 1/(2 alpha), fitted over steps {LATE.start} to {STEPS}: 1/2 for every approximation",
        uncertainty=half, source=f"{SOURCE}, section 3",
    )  # fmt: skip


def _late_rates(path: Trajectory) -> Float[np.ndarray, "seeds"]:
    norms = np.log(np.linalg.norm(path.residual, axis=(-2, -1)))
    return np.exp(np.polyfit(np.arange(STEPS + 1)[LATE], norms.T[LATE], 1)[0])
