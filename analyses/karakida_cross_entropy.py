r"""Cross-entropy: one exponential law for the probabilities in continuous time, an iteration in function space for steps.

Whatever the kernels are, the flow of every isotropic approximation gives `p_t - y = e^{-alpha t} (p_0 - y)`, and the test function
follows in closed form. Small steps of finite networks approach it linearly in the step. K-FAC is isotropic up to its last layer.
Large steps have no closed form: the function is iterated, with `H` at the current function, and networks are compared with that.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_damping import damping
from analyses.karakida_problems import SOURCE
from analyses.karakida_small_step import small_step_claims
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold_against, initial
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.compare import worst_distance
from ntkng.cross_entropy import cross_entropy_flow
from ntkng.data import load
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher
from ntkng.iterate import iterate
from ntkng.kernels import Kernels, analytic
from ntkng.multilayer_perceptron import mlp
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.statistics import Estimate, log_log_slope
from ntkng.trajectory import Trajectory
from ntkng.whitening import whiten, whiten_kernels

SAMPLES, DEPTH = 20, 3
HORIZON = 2.0  # alpha t at the end
FISHERS: tuple[Fisher, ...] = (Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC())
CLASSES = {"logistic": (3, 8), "softmax": (0, 1, 2)}
FRACTION, STEPS, KAPPA = 0.5, 10, 0.1
# at width 2048, mean over networks: relative distance of probabilities on train and test inputs, and the factor on K
FLOW_BOUND, STEP_BOUND, TEST_BOUND, FACTOR = 0.012, 0.03, 0.12, 0.02
ISOTROPY = 1e-8


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Logistic flow against small steps, softmax steps against the iteration."""
    width, seeds = settings.choose((2048, 6), (2048, 8), (4096, 8))
    counts = settings.choose((32, 64), (16, 32, 64), (16, 32, 64, 128))
    fishers = settings.choose(FISHERS[1::2], FISHERS)  # quick: block-diagonal and K-FAC
    flows = {
        fisher.name: {count: flow(fisher, count, width, seeds, settings.seed, theory) for count in counts}
        for fisher in settings.track(fishers, "logistic flow")
    }
    runs = {
        name: steps(fisher, width, seeds, settings.seed, theory)
        for name, fisher in settings.track(stepped(fishers, settings.seed).items(), "softmax steps")
    }
    slopes = {name: slope(by_count) for name, by_count in flows.items()}
    claims = [
        *(claim for name in flows for claim in flow_claims(name, flows[name], slopes[name], np.sqrt(2048 / width))),
        *isotropy_claims(settings.seed, theory),
        *step_claims(runs, np.sqrt(2048 / width)),
        *([] if settings.quick else own_kernel_claims(fishers, settings.seed, theory)),
    ]
    facts = {"samples": SAMPLES, "depth": DEPTH, "width": width, "seeds": seeds, "counts": counts}
    report = Report("Cross-entropy", tuple(claims), provenance(facts, seed=settings.seed))
    panels = {
        "flow": [row for name, runs in flows.items() for row in flow_rows(name, runs[counts[-1]])],
        "slope": [
            row for name, runs in flows.items() for count in counts for row in slope_rows(name, count, runs[count])
        ],
        "steps": [row for name, run in runs.items() for row in step_rows(name, run)],
    }
    table = pd.concat([pd.DataFrame(rows).assign(panel=panel) for panel, rows in panels.items()])
    paths = flows["BlockDiagonal"][counts[-1]]
    arrays = {"times": paths.predicted.times, "simulated": paths.simulated.predictions("test")[0],
              "predicted": paths.predicted.predictions("test")[0]}  # fmt: skip
    return Study(table, report, arrays, {**facts, "slopes": {name: s.value for name, s in slopes.items()}})


@functools.cache
def problem(loss: str, width: int, seed: int) -> Problem:
    """Digits and an erf network; targets are probabilities."""
    data = load("digits").centred().split(SAMPLES, SAMPLES, classes=CLASSES[loss], seed=seed)
    network = mlp(data.x.shape[1], data.y.shape[1], width=width, depth=DEPTH, activation="erf")
    shift, scale = (1, 2) if loss == "logistic" else (0, 1)  # from -1 and 1 to 0 and 1
    assert data.y_test is not None
    y, y_test = ((targets + shift) / scale for targets in (data.y, data.y_test))
    return Problem(network, data.x, y, data.x_test, y_test, loss=loss)  # type: ignore[arg-type]


@functools.cache
def kernels(loss: str, seed: int) -> Kernels:
    """Infinite-width kernels; undamped approximations do not look at the width."""
    setting = problem(loss, 1, seed)
    return analytic(setting.network, setting.x, setting.x_test)


def alpha(fisher: Fisher) -> float:
    """`alpha` for the squared loss, by the formulas."""
    formulas = {"Exact": 1, "BlockDiagonal": DEPTH, "BlockTriDiagonal": 1, "KFAC": SAMPLES * (DEPTH - 1) + 1}
    return float(formulas[fisher.name])


@functools.cache
def train(loss: str, fisher: Fisher, eta: float, count: int, width: int, seeds: int, seed: int) -> Trajectory:
    """Networks, before any theory."""
    return simulate(problem(loss, width, seed), fisher, seed, step_size=eta, steps=count, seeds=seeds)


# -- the flow --------------------------------------------------------------------------------------------------------


def flow(fisher: Fisher, count: int, width: int, seeds: int, seed: int, theory: Theory) -> Comparison:
    """`count` small steps up to `alpha t = 2`, held against the flow at the same times."""
    setting, layers = problem("logistic", width, seed), theory.kernels(kernels("logistic", seed))
    eta = HORIZON / alpha(fisher) / count
    simulated = train("logistic", fisher, eta, count, width, seeds, seed)

    def predict(factor: float) -> Trajectory:
        times = theory.scale * factor * eta * np.arange(count + 1)
        path = cross_entropy_flow(setting, fisher, layers, times=times, initial=initial(simulated), rtol=1e-8)
        return dataclasses.replace(path, times=simulated.times)

    return hold_against(simulated, predict)


def slope(by_count: dict[int, Comparison]) -> Estimate:
    """Log-log slope in the step size of the distance between small steps and the flow."""
    distances = [worst_distance(run.simulated, run.predicted) for run in by_count.values()]
    return log_log_slope(1 / np.array(list(by_count)), np.array(distances))


def flow_claims(name: str, by_count: dict[int, Comparison], found: Estimate, scale: float) -> Iterator[Claim]:
    """Networks with small steps follow the flow, the closer the smaller the step.

    Steps of size h contract faster than the flow, by the factor `1 + alpha h / 2` on `K` to first order in h, so the claimed factor is
    extrapolated from the two smallest steps.
    """
    source = "ours, from Karakida and Osawa 2020, section 3"
    coarse, fine = (by_count[count] for count in sorted(by_count)[-2:])
    finest = max(by_count)
    run = dataclasses.replace(fine, factors=2 * fine.factors - coarse.factors)
    yield from comparison_claims(
        f"logistic/{name}", run,
        bound=(64 / finest) ** 0.5 * scale * FLOW_BOUND, test_bound=scale * TEST_BOUND, factor=scale * FACTOR, source=source,
    )  # fmt: skip
    yield Claim.within(
        f"logistic/{name}/slope", found.value, 0.9, 1.2,
        "log-log slope of the distance to the flow in the step: linear", uncertainty=found.half_width(), source=source,
    )  # fmt: skip
    start, law = run.predicted.residual[:, :1], np.exp(-HORIZON * np.arange(finest + 1) / finest)
    error = np.abs(run.predicted.residual - law[:, None, None] * start).max()
    bound = 1e-10 if name != "KFAC" else 0.2 / (SAMPLES * (DEPTH - 1))  # alpha off by 5 % gives 0.4
    yield Claim.below(
        f"logistic/{name}/law", float(error), bound,
        "max |p_t - y - e^{-alpha t} (p_0 - y)|" + (": isotropic up to its last layer" if name == "KFAC" else ""),
        source=source,
    )  # fmt: skip


@in_float64
def isotropy_claims(seed: int, theory: Theory) -> tuple[Claim, ...]:
    """The spectrum of `K` in whitened coordinates, at random logits."""
    claims = []
    for loss in CLASSES:
        setting = problem(loss, 1, seed)
        logits = np.random.default_rng(seed).normal(size=setting.y.shape)
        factor, _ = whiten(loss, logits, setting.y)  # type: ignore[arg-type]
        layers = whiten_kernels(theory.kernels(kernels(loss, seed)), factor)
        for fisher in FISHERS:
            found, expected = fisher.kernel(layers), alpha(fisher)
            claims.append(
                Claim.below(
                    f"{loss}/{fisher.name}/alpha", abs(theory.scale * found.alpha / expected - 1), ISOTROPY,
                    f"mean eigenvalue of K, relative to alpha = {expected:g} for the squared loss", source="ours",
                )
            )  # fmt: skip
            bound = ISOTROPY if fisher.name != "KFAC" else 1 / (SAMPLES * (DEPTH - 1))
            claims.append(
                Claim.below(f"{loss}/{fisher.name}/off-isotropy", found.off_isotropy, bound, "|K - alpha I| / |K|",
                            source="ours")
            )  # fmt: skip
    return tuple(claims)


def flow_rows(name: str, run: Comparison) -> Iterator[dict[str, Any]]:
    """`|p_t - y| / |p_0 - y|`, mean over networks."""
    for source, path in (("simulation", run.simulated), ("theory", run.predicted)):
        norms = np.linalg.norm(path.residual, axis=(-2, -1))
        times = np.linspace(0, HORIZON, norms.shape[1])
        for time, values in zip(times, (norms / norms[:, :1]).T, strict=True):
            value, half = mean_with_interval(values)
            yield {"fisher": name, "source": source, "time": time, "value": value, "half_width": half}


def slope_rows(name: str, count: int, run: Comparison) -> Iterator[dict[str, Any]]:
    """Worst distances, one a network."""
    for on in ("train", "test"):
        for seed, distance in enumerate(worst_distance(run.simulated, run.predicted, on)):
            yield {"fisher": name, "step": HORIZON / count, "on": on, "seed": seed, "distance": float(distance)}


# -- steps -----------------------------------------------------------------------------------------------------------


def stepped(fishers: tuple[Fisher, ...], seed: int) -> dict[str, Fisher]:
    """The approximations of the second half, and a damped one."""
    damped = Exact(damping(kernels("softmax", seed), KAPPA))
    return {**{fisher.name: fisher for fisher in fishers}, "Exact, damped": damped}


def steps(fisher: Fisher, width: int, seeds: int, seed: int, theory: Theory) -> Comparison:
    """Steps at `eta = 1/(2 alpha)`, held against the iteration in function space."""
    setting, layers = problem("softmax", width, seed), theory.kernels(kernels("softmax", seed))
    eta, believed = FRACTION / alpha(fisher), theory.fisher(fisher, SAMPLES)
    simulated = train("softmax", fisher, eta, STEPS, width, seeds, seed)

    def predict(factor: float) -> Trajectory:
        step = theory.scale * factor * eta
        return iterate(setting, believed, layers, step_size=step, steps=STEPS, initial=initial(simulated))

    return hold_against(simulated, predict)


def step_claims(runs: dict[str, Comparison], scale: float) -> Iterator[Claim]:
    """Networks follow the iteration."""
    for name, run in runs.items():
        yield from comparison_claims(
            f"softmax/{name}", run, bound=scale * STEP_BOUND, test_bound=scale * TEST_BOUND, factor=scale * FACTOR,
            source=f"{SOURCE}, section 3; iteration: ours",
        )  # fmt: skip


def own_kernel_claims(fishers: tuple[Fisher, ...], seed: int, theory: Theory) -> Iterator[Claim]:
    """One small softmax step of a narrow network, against its own kernels."""
    cases = {name: (fisher, FRACTION / alpha(fisher)) for name, fisher in stepped(fishers, seed).items()}
    return small_step_claims(problem("softmax", 128, seed), cases, theory, seed, prefix="softmax/", source=SOURCE)


def step_rows(name: str, run: Comparison) -> Iterator[dict[str, Any]]:
    """Cross-entropies and accuracies, mean over networks."""
    for source, path in (("simulation", run.simulated), ("theory", run.predicted)):
        for on, losses in (("train", path.train_loss), ("test", path.test_loss)):
            accuracy = path.accuracy(on).mean(axis=0)  # type: ignore[arg-type]
            for step, values in enumerate(losses.T):
                value, half = mean_with_interval(values)
                yield {"fisher": name, "source": source, "on": on, "step": step, "value": value, "half_width": half,
                       "accuracy": float(accuracy[step])}  # fmt: skip
