r"""Laziness: how far parameters and kernels move during training, against width, for every Fisher.

In the NTK parametrisation `|theta_t - theta_0|` tends to a limit as the width grows, known in closed form (`ntkng.displacement`),
while the number of parameters grows: each of them hardly moves, and `Theta` and every `Theta_l` stay what they were.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array

from analyses.karakida_problems import SOURCE, draw, network, split
from analyses.karakida_theory import RIGHT, Theory, initial
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.closed_form import closed_form
from ntkng.displacement import displacement
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher, GradientDescent, UnitWise
from ntkng.kernels import Kernels, analytic, empirical
from ntkng.kernels.empirical import from_records
from ntkng.network import Network, Parameters
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.statistics import Estimate, log_log_slope
from ntkng.sweep import sweep
from ntkng.testing.fit import limit
from ntkng.trajectory import Trajectory

SAMPLES, DEPTH, STEPS, CONTRACTION = 30, 3, 5, 0.5
FISHERS: tuple[Fisher, ...] = (GradientDescent(), Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC(), UnitWise(1e-2))
KERNELS = ("Theta", *(f"Theta_{layer + 1}" for layer in range(DEPTH)))
BOUNDED = 0.1  # of the slope of the displacement in width, from above: narrow networks move farther
FROZEN = {False: -0.35, True: -0.25}  # slopes of the changes of kernels, by whether the run is quick: few widths
MORE = 3  # times as many networks for gradient descent: each layer's share of its step depends on the network's f_0
RATIO = 0.03  # |theta_1 - theta_0| over the predicted one, extrapolated: distance from 1 where the widest is 2048


def study(settings: Settings) -> Study:
    """Displacements and changes of kernels at every step, by network, width and approximation."""
    widths = settings.choose((256, 1024), (128, 512, 2048), (128, 256, 512, 1024, 2048, 4096))
    networks = settings.choose(8, 8, 10)
    names = [fisher.name for fisher in settings.choose((FISHERS[0], *FISHERS[2::2]), FISHERS)]  # quick: three of them
    points = [
        {"fisher": name, "width": width, "network": i, "seed": settings.seed}
        for name in names for width in widths for i in range(networks * (MORE if name == GradientDescent.__name__ else 1))
    ]  # fmt: skip
    rows = sweep(movements, points, cache=settings.cache, track=settings.track, description="laziness")
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "depth": DEPTH, "widths": list(widths), "networks": networks, "steps": STEPS}
    claims = tuple(make_claims(table, settings.quick))
    slopes = {(name, what): slope(table, name, what) for name in names for what in ("displacement", *KERNELS)}
    report = Report("Laziness", claims, provenance(facts, seed=settings.seed))
    return Study(table, report, facts={**facts, "slopes": slopes})


@functools.cache
def problem(width: int, seed: int) -> Problem:
    """The synthetic teacher, training inputs only, and a relu network."""
    data = split("synthetic", SAMPLES, seed)
    return Problem(network(data.x.shape[1], width, DEPTH), data.x, data.y)


@functools.cache
def kernels(seed: int) -> Kernels:
    """Infinite-width kernels, which do not depend on the width."""
    return analytic(problem(1, seed).network, problem(1, seed).x)


def observe(network: Network, parameters: Parameters, x: Array) -> Mapping[str, Array]:
    """`Theta_l` of the network as it is, `[L, N, N]`."""
    _, records = network.linearise(parameters, x)
    return {"thetas": jnp.stack([layer.theta.train for layer in from_records(network, records).layers])}


# -- measurement -----------------------------------------------------------------------------------------------------


def movements(fisher: str, width: int, network: int, seed: int, theory: Theory = RIGHT) -> list[dict[str, Any]]:
    """One network: its displacement, the predicted one, and relative changes of its kernels, one row a step."""
    chosen = next(f for f in FISHERS if f.name == fisher)
    run = train(chosen, width, network, seed)
    predicted = predict(chosen, run, seed, theory)
    thetas = np.asarray(run.observed["thetas"])[0]
    changes = {"Theta": relative_change(thetas.sum(axis=1))}
    changes |= {name: relative_change(thetas[:, layer]) for layer, name in enumerate(KERNELS[1:])}
    rows = []
    for step, moved in enumerate(np.asarray(run.displacement)[0]):
        kernels = {name: float(values[step]) for name, values in changes.items()}
        expected = None if predicted is None else float(predicted[step])
        rows.append({"step": step, "displacement": float(moved), "predicted": expected, **kernels})
    return rows


@functools.cache
def train(fisher: Fisher, width: int, network: int, seed: int) -> Trajectory:
    """One network at half of its optimal step, `1/(2 k_max)`."""
    setting = problem(width, seed)
    parameters = draw(setting.network, 1000 * seed + network)
    if fisher.unit_sampling() is None:
        largest = float(fisher.kernel(kernels(seed)).eigenvalues()[-1])
    else:  # the number of units is that of the network
        largest = fisher.kernel(empirical(setting.network, parameters, setting.x, units=True)).alpha
    eta = CONTRACTION / largest
    return simulate(setting, fisher, step_size=eta, steps=STEPS, parameters=parameters, observe=observe)


def predict(fisher: Fisher, run: Trajectory, seed: int, theory: Theory) -> np.ndarray | None:
    """`|theta_t - theta_0|` at infinite width from the network's own `f_0`; `None` where there is no closed form."""
    if fisher.unit_sampling() is not None:
        return None
    assert run.step_size is not None
    layers = theory.kernels(kernels(seed))
    path = closed_form(
        problem(1, seed), fisher, layers, step_size=theory.scale * run.step_size, steps=STEPS, initial=initial(run)
    )
    return displacement(fisher, layers, path)[0]


def relative_change(path: np.ndarray) -> np.ndarray:
    """`|Theta_t - Theta_0|_F / |Theta_0|_F` of a path `[T, N, N]`."""
    return np.linalg.norm(path - path[0], axis=(1, 2)) / np.linalg.norm(path[0])


def slope(table: pd.DataFrame, fisher: str, what: str) -> Estimate:
    """Log-log slope in width of a column after the last step."""
    pivot = select(table, fisher=fisher, step=STEPS).pivot(index="width", columns="network", values=what)
    return log_log_slope(pivot.index.to_numpy(float), pivot.to_numpy())


# -- claims ----------------------------------------------------------------------------------------------------------


def make_claims(table: pd.DataFrame, quick: bool = False) -> Iterator[Claim]:
    """Bounded displacement, as large as predicted, and kernels that change less and less."""
    source = f"{SOURCE}, section 3: lazy training"
    for name in dict.fromkeys(table["fisher"]):
        # the prediction from each network's own f_0 leaves less to chance than the networks' spread
        relative = table.assign(moved=table["displacement"] / table["predicted"].astype(float).fillna(1.0))
        moved = slope(relative, name, "moved")
        yield Claim.below(
            f"{name}/displacement/slope", moved.value, BOUNDED,
            "log-log slope of |theta_t - theta_0| in width, where predicted over its limit of infinite width: bounded",
            uncertainty=moved.half_width(), source=source,
        )  # fmt: skip
        for what in KERNELS:
            found = slope(table, name, what)
            yield Claim.below(
                f"{name}/{what}/slope", found.value, FROZEN[quick],
                f"log-log slope in width of the relative change of {what} during training", uncertainty=found.half_width(),
                source=source,
            )  # fmt: skip
        if name != "UnitWise":
            yield ratio_claim(table, name)


def ratio_claim(table: pd.DataFrame, name: str) -> Claim:
    """The first step is as long as infinite width says, up to an error `O(1/M)` that two widths eliminate."""
    narrow, wide = sorted(table["width"].unique())[-2:]
    ratios = {}
    for width in (narrow, wide):
        first = select(table, fisher=name, width=width, step=1)
        ratios[width] = (first["displacement"] / first["predicted"]).to_numpy()
    found = limit(ratios, (1.0,))
    bound = RATIO * np.sqrt(2048 / wide)
    return Claim.within(
        f"{name}/displacement/size", found.value[0], 1 - bound, 1 + bound,
        f"|theta_1 - theta_0| over its limit of infinite width, extrapolated from M = {narrow} and {wide} as 1/M "
        f"(at M = {wide}: {ratios[wide].mean():.3f})", uncertainty=found.half_width()[0], source="ours: Q of ntkng.displacement",
    )  # fmt: skip
