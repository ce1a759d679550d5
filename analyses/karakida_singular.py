r"""Block tri-diagonal Fisher at depths 3s + 2, where the pattern is singular: the limit of vanishing damping.

`T c = 1` is solvable although `T` is singular, so `K` has a limit as the damping vanishes, and it is isotropic with
`alpha = 1^T T^+ 1`: 1 for two layers, 2 for five. `K'` has a limit too, which depends on the kernels of the layers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from analyses.karakida_problems import SOURCE, draw, split
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.compare import worst_distance
from ntkng.fisher import BlockTriDiagonal
from ntkng.kernels import Kernels, analytic, empirical
from ntkng.multilayer_perceptron import mlp
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.statistics import Estimate, log_log_slope
from ntkng.trajectory import Trajectory

SAMPLES, STEPS, FRACTION = 20, 8, 0.5
SINGULAR = (2, 5)
# Nρ over the mean eigenvalue of the layer kernels: small, but not so small that the damped system is singular to rounding
KAPPAS = np.geomspace(1e-6, 1e-3, 7)
ALPHA = {2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 3, 8: 3}
ISOTROPY = 1e-6
# at width 2048, mean over networks: relative distance on train and test inputs, and the factor on K
BOUND, TEST_BOUND, FACTOR = 0.01, 0.2, 0.01
MOVED = 0.05  # of the distance that the parameters move


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """`alpha` over depths, the limit of vanishing damping, and training at depths 2 and 5."""
    depths = settings.choose((2, 3, 4, 5), tuple(ALPHA))
    rows = [row for depth in settings.track(depths, "depths") for row in isotropy(depth, settings.seed, theory)]
    limits = [row for depth in SINGULAR for row in limit(depth, settings.seed)]
    widths, seeds = settings.choose(((256, 1024), 10), ((256, 512, 1024, 2048), 10))
    cases = [(depth, width) for depth in SINGULAR for width in widths]
    paths = {
        case: train(*case, seeds, settings.seed)
        for case in settings.track(cases, "training at depths 2 and 5", len(cases))
    }
    runs = {case: hold_case(*case, path, settings.seed, theory) for case, path in paths.items()}
    slopes = {depth: slope({w: run for (d, w), run in runs.items() if d == depth}) for depth in SINGULAR}
    claims = [*isotropy_claims(rows), *limit_claims(limits), *training_claims(runs, slopes)]
    for depth in SINGULAR:
        claims += moved_claims(depth, widths[-1], paths[depth, widths[-1]], settings.seed, theory)
    facts = {"samples": SAMPLES, "width": widths[-1], "seeds": seeds, "fraction": FRACTION, "steps": STEPS}
    report = Report("Tri-diagonal pattern at depths 3s + 2", tuple(claims), provenance(facts, seed=settings.seed))
    panels = {
        "isotropy": rows,
        "limit": limits,
        "training": [row for (depth, width), run in runs.items() for row in training_rows(depth, width, run)],
        "width": [row for (depth, width), run in runs.items() for row in width_rows(depth, width, run)],
    }
    table = pd.concat([pd.DataFrame(part).assign(panel=panel) for panel, part in panels.items()])
    return Study(table, report, facts={**facts, "slopes": {d: s.value for d, s in slopes.items()}})


@functools.cache
def problem(depth: int, width: int, seed: int) -> Problem:
    """Digits, 3 against 8, and an erf network."""
    data = split("digits", SAMPLES, seed)
    return Problem(mlp(data.x.shape[1], width=width, depth=depth, activation="erf"), *data)


# -- isotropy --------------------------------------------------------------------------------------------------------


def isotropy(depth: int, seed: int, theory: Theory) -> Iterator[dict[str, Any]]:
    """`alpha` and the distance from isotropy, at infinite and at finite width."""
    setting = problem(depth, 256, seed)
    sources = {
        "analytic": layer_kernels(depth, seed),
        "width 256": empirical(setting.network, draw(setting.network, seed), setting.x),
    }
    for source, kernels in sources.items():
        layers = theory.kernels(kernels)
        found = BlockTriDiagonal().kernel(layers)
        alpha = BlockTriDiagonal().predicted_alpha(layers)
        yield {"depth": depth, "source": source, "alpha": theory.scale * found.alpha, "predicted": alpha,
               "off_isotropy": found.off_isotropy}  # fmt: skip


def isotropy_claims(rows: list[dict[str, Any]]) -> Iterator[Claim]:
    """The stated `alpha` at every depth, the singular ones included."""
    for row in rows:
        depth, source = row["depth"], "theory of this library" if row["depth"] in SINGULAR else f"{SOURCE}, section 4.2"
        name, expected = f"L = {depth}/{row['source']}", ALPHA[depth]
        yield Claim.within(
            f"{name}/alpha", row["alpha"], expected - ISOTROPY, expected + ISOTROPY,
            f"alpha of the tri-diagonal pattern: {expected}", source=source,
        )  # fmt: skip
        yield Claim.below(
            f"{name}/off-isotropy", row["off_isotropy"], ISOTROPY, "|K - alpha I| / |K|", source=source
        )  # fmt: skip


# -- the limit -------------------------------------------------------------------------------------------------------


def limit(depth: int, seed: int) -> Iterator[dict[str, Any]]:
    """Distance of the damped `K` and `K'` to their undamped limits."""
    kernels = layer_kernels(depth, seed)
    scale = np.mean([np.trace(np.asarray(layer.theta.train)) / kernels.size for layer in kernels.layers])
    undamped = BlockTriDiagonal().kernel(kernels)
    for kappa in KAPPAS:
        damped = BlockTriDiagonal(float(kappa * scale / SAMPLES)).kernel(kernels)
        for on in ("train", "cross"):
            one, other = (np.asarray(getattr(found, on)) for found in (damped, undamped))
            distance = float(np.linalg.norm(one - other) / np.linalg.norm(other))
            yield {"depth": depth, "kappa": kappa, "on": on, "distance": distance}


def limit_claims(rows: list[dict[str, Any]]) -> Iterator[Claim]:
    """The damped kernels approach the limit linearly, on train and test inputs."""
    for depth in SINGULAR:
        for on in ("train", "cross"):
            part = [row for row in rows if (row["depth"], row["on"]) == (depth, on)]
            kappas, distances = (np.array([row[name] for row in part]) for name in ("kappa", "distance"))
            small = kappas < 1e-4
            found = log_log_slope(kappas[small], distances[small])
            what = "K" if on == "train" else "K'"
            yield Claim.within(
                f"L = {depth}/limit of {what}", found.value, 0.95, 1.05,
                f"log-log slope in rho of |{what} - its limit|: linear", source="ours",
            )  # fmt: skip


# -- training --------------------------------------------------------------------------------------------------------


def train(depth: int, width: int, seeds: int, seed: int) -> Trajectory:
    """Networks at half of the optimal step size."""
    eta = FRACTION * BlockTriDiagonal().optimal_step(layer_kernels(depth, seed))
    setting = problem(depth, width, seed)
    return simulate(setting, BlockTriDiagonal(), seed, step_size=eta, steps=STEPS, seeds=seeds)


def hold_case(depth: int, width: int, path: Trajectory, seed: int, theory: Theory) -> Comparison:
    """The networks against the closed form."""
    return hold(problem(depth, width, seed), BlockTriDiagonal(), layer_kernels(depth, seed), path, theory)


@functools.cache
def layer_kernels(depth: int, seed: int) -> Kernels:
    """Infinite-width kernels, on test inputs too."""
    setting = problem(depth, 1, seed)
    return analytic(setting.network, setting.x, setting.x_test)


@in_float64
def distance_moved(depth: int, path: Trajectory, seed: int, theory: Theory) -> np.ndarray:
    """`|theta_t - theta_0|` of the last step: `|sum_l J_l^T V_l r_0| (1 - (1 - eta alpha)^t) / alpha`, one a network.

    Other than the functions it depends on how the layers share the work, in infinitely many ways for a singular pattern.
    """
    kernels, fisher = theory.kernels(layer_kernels(depth, seed)), BlockTriDiagonal()
    alpha = theory.scale * (fisher.predicted_alpha(kernels) or np.nan)
    start = jnp.asarray(path.residual[:, 0, :, 0].T)
    square = np.zeros(start.shape[1])
    for layer, dual in zip(kernels.layers, fisher.duals(kernels, start), strict=True):
        if dual is not None:
            square += np.einsum("ns,nm,ms->s", dual, layer.theta.train, dual)
    assert path.step_size is not None
    return np.sqrt(square) * (1 - (1 - path.step_size * alpha) ** STEPS) / alpha


def slope(runs: dict[int, Comparison]) -> Estimate:
    """Log-log slope in width of the worst distance on the training inputs."""
    widths = np.array(list(runs), float)
    return log_log_slope(widths, np.array([worst_distance(run.simulated, run.predicted) for run in runs.values()]))


def moved_claims(depth: int, width: int, path: Trajectory, seed: int, theory: Theory) -> Iterator[Claim]:
    """The layers share the work as in the limit of vanishing damping."""
    ratios = np.asarray(path.displacement)[:, -1] / distance_moved(depth, path, seed, theory)
    value, half = mean_with_interval(ratios)
    yield Claim.within(
        f"L = {depth}, width {width}/parameters", value, 1 - MOVED, 1 + MOVED,
        "|theta_t - theta_0| after training over that of infinite width, mean over networks", uncertainty=half, source="ours",
    )  # fmt: skip


def training_claims(runs: dict[tuple[int, int], Comparison], slopes: dict[int, Estimate]) -> Iterator[Claim]:
    """Simulations follow the limit, the better the wider."""
    for depth in SINGULAR:
        width = max(w for d, w in runs if d == depth)
        scale = np.sqrt(2048 / width)
        yield from comparison_claims(
            f"L = {depth}, width {width}", runs[depth, width], bound=scale * BOUND, test_bound=scale * TEST_BOUND,
            factor=scale * FACTOR, source="ours",
        )  # fmt: skip
        found = slopes[depth]
        yield Claim.below(
            f"L = {depth}/slope", found.value, -0.35,
            "log-log slope in width of the distance on the training inputs: at least 1/sqrt(M)",
            uncertainty=found.half_width(), source="ours",
        )  # fmt: skip


def training_rows(depth: int, width: int, run: Comparison) -> Iterator[dict[str, Any]]:
    """Losses, mean over networks."""
    for source, path in (("simulation", run.simulated), ("theory", run.predicted)):
        for on, losses in (("train", path.train_loss), ("test", path.test_loss)):
            for step, values in enumerate(losses.T):
                value, half = mean_with_interval(values)
                yield {"depth": depth, "width": width, "source": source, "on": on, "step": step, "loss": value,
                       "half_width": half}  # fmt: skip


def width_rows(depth: int, width: int, run: Comparison) -> Iterator[dict[str, Any]]:
    """Worst distances, one a network."""
    for on in ("train", "test"):
        for seed, distance in enumerate(worst_distance(run.simulated, run.predicted, on)):
            yield {"depth": depth, "width": width, "on": on, "seed": seed, "distance": float(distance)}
