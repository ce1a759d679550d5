r"""K-FAC with more samples than input dimensions: isotropic after Forster's transform, and not without it.

100 digits span fewer dimensions, so that the input Gram `A_0` is singular. K-FAC with its pseudo-inverse has the first-layer part
`N diag(leverages)`. On the sphere, without the transform, leverages differ; in radial isotropic position they are all `d/N`,
`K = alpha I` with `alpha = N (L - 2) + d + 1`, and one step at `1/alpha` reaches the minimum.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_problems import DIGITS, SOURCE, TEST_SAMPLES
from analyses.karakida_theory import RIGHT, Comparison, Theory, comparison_claims, hold
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.data import Split, load, on_sphere
from ntkng.fisher import KFAC
from ntkng.forster import ForsterTransform, forster
from ntkng.kernels import Kernels, analytic
from ntkng.multilayer_perceptron import mlp
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

SAMPLES, DEPTH, STEPS, FRACTION = 100, 3, 8, 0.5
NOISE = 0.02  # singular values of the inputs below this times the largest are dropped: pixels that few digits use
FISHER = KFAC(singular="pseudo-inverse")
INPUTS = ("Forster", "sphere")
ISOTROPY, IMBALANCE = 1e-8, 1e-10
# at width 2048, mean over networks: relative distance on train and test inputs; and the factor on K at any width
BOUND, TEST_BOUND, FACTOR = 0.03, 0.12, 0.03


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Leverages, spectra of `K` and training, with and without the transform."""
    width, seeds = settings.choose((1024, 6), (2048, 8), (4096, 8))
    transform, splits = inputs(settings.seed)
    kernels = {name: layer_kernels(name, settings.seed) for name in INPUTS}
    runs = {}
    for name in settings.track(INPUTS, "K-FAC with and without Forster's transform"):
        path = train(name, width, seeds, settings.seed)
        runs[name] = hold(problem(splits[name], width), FISHER, kernels[name], path, theory)
    spectra = {name: spectrum(own, theory) for name, own in kernels.items()}
    leverages = {name: leverage(splits[name].x) for name in INPUTS}
    predicted = FISHER.predicted_alpha(theory.kernels(kernels["Forster"]))
    claims = [
        *position_claims(transform, leverages, settings.seed),
        *isotropy_claims(spectra, None if predicted is None else theory.scale * predicted, transform.dimension),
        *training_claims(runs, np.sqrt(2048 / width)),
        *one_step_claims(spectra, transform.dimension),
    ]
    facts = {"samples": SAMPLES, "dimension": transform.dimension, "width": width, "seeds": seeds, "depth": DEPTH,
             "alpha": alpha(transform.dimension), "fraction": FRACTION}  # fmt: skip
    report = Report("Low input dimension", tuple(claims), provenance(facts, seed=settings.seed))
    table = pd.DataFrame([row for name, run in runs.items() for row in training_rows(name, run)])
    arrays = {f"leverage {name}": values for name, values in leverages.items()}
    arrays |= {f"spectrum {name}": values for name, values in spectra.items()}
    return Study(table, report, arrays, facts)


def alpha(dimension: int) -> int:
    """`N (L - 2) + d + 1`."""
    return SAMPLES * (DEPTH - 2) + dimension + 1


@functools.cache
def inputs(seed: int) -> tuple[ForsterTransform, dict[str, Split]]:
    """The transform, and the digits in its coordinates and on the sphere in the same span."""
    data = digits(seed)
    transform = forster(data.x, rank_tolerance=NOISE)
    basis = np.linalg.svd(data.x, full_matrices=False)[2][: transform.dimension]
    return transform, {
        "Forster": Split(on_sphere(transform(data.x)), data.y, on_sphere(transform(data.x_test)), data.y_test),
        "sphere": Split(on_sphere(data.x @ basis.T), data.y, on_sphere(data.x_test @ basis.T), data.y_test),
    }


def digits(seed: int) -> Any:
    """3 against 8, pixels as they are."""
    return load("digits").split(SAMPLES, TEST_SAMPLES, classes=DIGITS, seed=seed, radius=None)


@functools.cache
def _network(dimension: int, width: int) -> Any:
    return mlp(dimension, width=width, depth=DEPTH, activation="erf")


def problem(data: Split, width: int) -> Problem:
    """An erf network without biases; one for both kinds of inputs, so that it is compiled once."""
    return Problem(_network(data.x.shape[1], width), *data)


@functools.cache
def layer_kernels(name: str, seed: int) -> Kernels:
    """Infinite-width kernels."""
    limit = problem(inputs(seed)[1][name], 1)
    return analytic(limit.network, limit.x, limit.x_test)


def spectrum(kernels: Kernels, theory: Theory) -> np.ndarray:
    """Eigenvalues of `K`, as the theory has them."""
    return theory.scale * np.asarray(FISHER.kernel(theory.kernels(kernels)).eigenvalues())


def train(name: str, width: int, seeds: int, seed: int) -> Trajectory:
    """Networks at the step size that would be half of the optimal one if `K` were isotropic."""
    transform, splits = inputs(seed)
    eta = FRACTION / alpha(transform.dimension)
    return simulate(problem(splits[name], width), FISHER, seed, step_size=eta, steps=STEPS, seeds=seeds)


def leverage(x: np.ndarray) -> np.ndarray:
    """Diagonal of the projector on the span of the columns."""
    left, values, _ = np.linalg.svd(x, full_matrices=False)
    return (left[:, values > 1e-12 * values[0]] ** 2).sum(axis=1)


def position_claims(transform: ForsterTransform, leverages: dict[str, np.ndarray], seed: int) -> Iterator[Claim]:
    """The transform does what it should, and says where it cannot."""
    source, expected = f"{SOURCE}, section 4.3", transform.dimension / SAMPLES
    yield Claim.below(
        "position", transform.imbalance, IMBALANCE, "max |sum z z^T - (N/d) I| on the training inputs", source=source
    )
    yield Claim.below(
        "leverages", float(np.abs(leverages["Forster"] - expected).max()), 1e-10,
        "max |leverage - d/N| after the transform", source=source,
    )  # fmt: skip
    yield Claim.above(
        "leverages/sphere", float(np.ptp(leverages["sphere"])), 0.1,
        "spread of the leverages on the sphere, without the transform", source=source,
    )  # fmt: skip
    try:
        forster(digits(seed).x)
        message = ""
    except ValueError as error:
        message = str(error)
    yield Claim.holds(
        "certificate", "lie in a subspace of dimension" in message,
        "all pixels kept, no such position exists: refused with a subspace that holds too many of the inputs",
        source="Forster 2002; ours", note=message,
    )  # fmt: skip


def isotropy_claims(spectra: dict[str, np.ndarray], predicted: float | None, dimension: int) -> Iterator[Claim]:
    """`alpha = N (L - 2) + d + 1`, by the formula, by the library and by the spectrum."""
    expected, values = alpha(dimension), spectra["Forster"]
    source = f"{SOURCE}, section 4.3"
    yield Claim.below(
        "alpha", float(np.abs(values / expected - 1).max()), ISOTROPY,
        f"largest relative distance of the eigenvalues of K to N (L - 2) + d + 1 = {expected}", source=source,
    )  # fmt: skip
    yield Claim.below(
        "alpha/library", abs((predicted or 0.0) / expected - 1), ISOTROPY,
        "KFAC.predicted_alpha, from the leverages, relative to it", source=source,
    )  # fmt: skip
    spread = spectra["sphere"]
    yield Claim.above(
        "alpha/sphere", float(spread.max() / spread.min()), 1.1,
        "largest over smallest eigenvalue of K without the transform", source=source,
    )  # fmt: skip


def one_step_claims(spectra: dict[str, np.ndarray], dimension: int) -> Iterator[Claim]:
    """With the transform all of the residual is gone after one step of a wide network, without it only some."""
    left = {name: float(np.abs(1 - values / alpha(dimension)).max()) for name, values in spectra.items()}
    yield Claim.below(
        "one step", left["Forster"], ISOTROPY,
        "largest factor |1 - eta k| on a mode of the residual by one step of size 1/alpha, with the transform", source=SOURCE,
    )  # fmt: skip
    yield Claim.above("one step/sphere", left["sphere"], 0.1, "the same without the transform", source=SOURCE)


def training_claims(runs: dict[str, Comparison], scale: float) -> Iterator[Claim]:
    """Simulations follow their closed forms; with the transform the decay is geometric."""
    for name, run in runs.items():
        yield from comparison_claims(
            name, run, bound=scale * BOUND, test_bound=scale * TEST_BOUND, factor=FACTOR, source=SOURCE
        )
    law = FRACTION ** np.arange(STEPS + 1)
    distance = {}
    for name, run in runs.items():
        norms = np.linalg.norm(run.predicted.residual, axis=(-2, -1))
        distance[name] = float(np.abs(norms / norms[:, :1] - law).max())
    yield Claim.below(
        "one rate", distance["Forster"], 1e-8,
        "|r_t| / |r_0| of the closed form against (1 - eta alpha)^t, with the transform", source=SOURCE,
    )  # fmt: skip
    losses = {name: run.simulated.test_loss[:, -1].mean() for name, run in runs.items()}
    yield Claim.finding(
        "test loss", float(losses["Forster"] / losses["sphere"]),
        "test loss after training, with the transform over without: like any whitening of images it raises what is small and "
        "noisy, and generalises worse", source="ours",
    )  # fmt: skip
    yield Claim.above(
        "one rate/sphere", distance["sphere"], 1e-3, "the same without the transform: other rates", source=SOURCE
    )  # fmt: skip


def training_rows(name: str, run: Comparison) -> Iterator[dict[str, Any]]:
    """`|r_t| / |r_0|` on the training inputs and the loss on the test inputs, mean over networks."""
    for source, path in (("simulation", run.simulated), ("theory", run.predicted)):
        norms = np.linalg.norm(path.residual, axis=(-2, -1))
        for quantity, values in (("residual", norms / norms[:, :1]), ("test loss", path.test_loss)):
            for step, column in enumerate(values.T):
                value, half = mean_with_interval(column)
                yield {"inputs": name, "source": source, "quantity": quantity, "step": step, "value": value,
                       "half_width": half}  # fmt: skip
