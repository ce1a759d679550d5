r"""Ensembles: the law of the trained function over random initialisations, for every Fisher, against hundreds of networks.

At infinite width `f_0` is a Gaussian process with the NNGP kernel, and each step is an affine map, so `f_t` is Gaussian with a known
mean and covariance on train and test inputs (`ntkng.ensemble`). Networks are a sample of it: the error of their mean in units of its
standard error is a z-score, and so is every entry of their covariance, whitened by the predicted one, since for `S` Gaussian vectors

    W = C^{-1/2} C_hat C^{-1/2},     Var W_ij = (1 + [i = j]) / S.

The regression is one-dimensional; its inputs lie on a closed curve in many dimensions, because K-FAC without damping needs
inputs of rank N.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from jaxtyping import Float

from analyses.karakida_problems import SOURCE
from analyses.karakida_theory import RIGHT, Theory
from analyses.study import Settings, Study
from ntkng.ensemble import Ensemble, ensemble
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher, GradientDescent, UnitWise
from ntkng.kernels import Kernels, UnitSampling, analytic
from ntkng.multilayer_perceptron import mlp
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

DEPTH, STEPS, CONTRACTION, HARMONICS = 3, 3, 0.5, 8
POSITIONS = np.array([-0.85, -0.65, -0.45, -0.2, 0.3, 0.55, 0.8])
GRID = np.linspace(-1, 1, 61)
FISHERS: tuple[Fisher, ...] = (GradientDescent(), Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC(), UnitWise(1e-2))
MODES = 5e-2  # eigenvectors of the predicted covariance with at least this share of the largest eigenvalue
FALSE_ALARM = 1e-3  # chance that a right theory fails a claim, if networks were infinitely wide
# error of the ensemble's spread on the training inputs, relative, beyond the sampling error: of finite width
SPREAD = 0.05
OURS = f"ours for natural gradients, from {SOURCE}, section 3; Lee et al. 2019 for gradient descent"


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Trained networks and the predicted Gaussian process, for every approximation."""
    width, networks = settings.choose((512, 200), (512, 256), (1024, 512))
    fishers = settings.choose((FISHERS[0], *FISHERS[2::2]), FISHERS)  # quick: three of them
    chosen = settings.track(fishers, "ensembles", len(fishers))
    runs = {fisher.name: run(fisher, width, networks, settings.seed, theory) for fisher in chosen}
    scores = {name: score(*pair) for name, pair in runs.items()}
    claims = [claim for name, found in scores.items() for claim in make_claims(name, found)]
    facts = {"samples": len(POSITIONS), "depth": DEPTH, "width": width, "networks": networks, "steps": STEPS}
    report = Report("Ensembles", tuple(claims), provenance(facts, seed=settings.seed))
    panels = {
        "bands": [row for name, pair in runs.items() for row in band_rows(name, *pair)],
        "scores": [row for name, found in scores.items() for row in score_rows(name, found)],
    }
    table = pd.concat([pd.DataFrame(rows).assign(panel=panel) for panel, rows in panels.items()])
    arrays = {"positions": POSITIONS, "targets": problem(width).y[:, 0], "grid": GRID}
    arrays |= {f"functions of {name}": np.asarray(run.test)[:6, -1, :, 0] for name, (run, _) in runs.items()}
    return Study(table, report, arrays, facts)


def embed(positions: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n d"]:
    """A closed curve: `sqrt(w_k) (cos k a, sin k a)`, `a = 3 pi x / 4`, of norm `sqrt(d)`; nearby inputs are alike."""
    k = np.arange(1, HARMONICS + 1)
    weights = np.exp(-(k**2) / 8)
    angles = 0.75 * np.pi * positions[:, None] * k
    rows = np.sqrt(weights / weights.sum() * 2 * HARMONICS)
    return np.concatenate([rows * np.cos(angles), rows * np.sin(angles)], axis=1)


@functools.cache
def problem(width: int) -> Problem:
    """Seven points of a curve, with a gap, and a grid of test inputs."""
    y = 1.5 * np.sin(3 * POSITIONS) + 0.5 * np.cos(7 * POSITIONS)
    network = mlp(2 * HARMONICS, width=width, depth=DEPTH, activation="erf", sigma_w=1.3)
    return Problem(network, embed(POSITIONS), y, embed(GRID))


@functools.cache
def kernels(width: int) -> Kernels:
    """Infinite-width kernels with the covariance of the test inputs; sampled units know the width."""
    setting = problem(width)
    return analytic(setting.network, setting.x, setting.x_test, units=UnitSampling(), test_covariance=True)


def run(fisher: Fisher, width: int, networks: int, seed: int, theory: Theory) -> tuple[Trajectory, Ensemble]:
    """Networks after each step, `eta = 1/(2 k_max)`, and the theory's Gaussian process."""
    setting, layers = problem(width), kernels(width)
    eta = CONTRACTION / float(fisher.kernel(layers).eigenvalues()[-1])
    simulated = simulate(setting, fisher, seed, step_size=eta, steps=STEPS, seeds=networks)
    law = ensemble(setting, fisher, theory.kernels(layers), step_size=theory.scale * eta, steps=STEPS)
    return simulated, law


# -- scores ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scores:
    """Standardised errors of the networks' mean and covariance after the last step, by set of inputs.

    Attributes:
        means: z-scores of the mean, one an input.
        covariances: of the whitened covariance's entries among the leading modes.
        spread: mean of the whitened variances (1 for the right theory), with its standard error.
    """

    means: Mapping[str, np.ndarray]
    covariances: Mapping[str, np.ndarray]
    spread: Mapping[str, tuple[float, float]]


def score(simulated: Trajectory, law: Ensemble) -> Scores:
    """Errors in units of the standard errors that the law itself predicts."""
    means, covariances, spread = {}, {}, {}
    for on in ("train", "test"):
        sample = simulated.predictions(on)[:, -1, :, 0]
        mean, covariance = law.mean(on)[-1, :, 0], law.covariance(on)[-1]
        means[on] = (sample.mean(axis=0) - mean) / np.sqrt(np.diagonal(covariance) / len(sample))
        whitened = _whitened(sample - mean, covariance)
        size = len(whitened)
        scores = (whitened - np.eye(size)) * np.sqrt(len(sample) / (1 + np.eye(size)))
        covariances[on] = scores[np.triu_indices(size)]
        spread[on] = float(np.trace(whitened) / size), float(np.sqrt(2 / (len(sample) * size)))
    return Scores(means, covariances, spread)


def _whitened(centred: Float[np.ndarray, "S n"], covariance: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "k k"]:
    """The sample covariance about the predicted mean, in the leading predicted modes, over their predicted variances."""
    values, vectors = np.linalg.eigh(covariance)
    keep = values > MODES * values[-1]
    modes = centred @ vectors[:, keep] / np.sqrt(values[keep])
    return modes.T @ modes / len(modes)


def make_claims(name: str, found: Scores) -> Iterator[Claim]:
    """No z-score is larger than chance allows, and the spread is right."""
    for on in ("train", "test"):
        for what, scores in (("means", found.means[on]), ("covariances", found.covariances[on])):
            largest = float(np.abs(scores).max())
            bound = float(scipy.stats.norm.isf(FALSE_ALARM / 2 / len(scores)))
            p_value = min(1.0, 2 * len(scores) * float(scipy.stats.norm.sf(largest)))
            yield Claim.below(
                f"{name}/{on}/{what}", largest, bound,
                f"largest of {len(scores)} z-scores on the {on} inputs (Bonferroni, false alarms {FALSE_ALARM:g})",
                p_value=p_value, source=OURS,
            )  # fmt: skip
        value, error = found.spread[on]
        quantile = float(scipy.stats.norm.isf(FALSE_ALARM / 2))
        reach, excess = SPREAD + quantile * error, max(0.0, abs(value - 1) - SPREAD)
        yield Claim.tested(
            f"{name}/{on}/spread", value, abs(value - 1) <= reach, f"in [{1 - reach:.6g}, {1 + reach:.6g}]",
            f"variance of the leading modes over the predicted one, mean over modes: within {SPREAD:g} of 1 "
            f"(false alarms {FALSE_ALARM:g})",
            p_value=2 * float(scipy.stats.norm.sf(excess / error)), uncertainty=1.96 * error, source=OURS,
        )  # fmt: skip


def score_rows(name: str, found: Scores) -> Iterator[dict[str, Any]]:
    """One row a z-score."""
    for what in ("means", "covariances"):
        for on, values in getattr(found, what).items():
            for value in values:
                yield {"fisher": name, "on": on, "what": what, "value": float(value)}


def band_rows(name: str, simulated: Trajectory, law: Ensemble) -> Iterator[dict[str, Any]]:
    """Means and central 95 % bands on the grid, predicted and of the networks."""
    sample, low, high = simulated.predictions("test")[:, -1, :, 0], *(part[-1, :, 0] for part in law.band(0.95))
    theory = np.stack([law.mean("test")[-1, :, 0], low, high], axis=1)
    networks = np.stack([sample.mean(axis=0), *np.quantile(sample, (0.025, 0.975), axis=0)], axis=1)
    for source, columns in (("theory", theory), ("simulation", networks)):
        for position, (mean, lower, upper) in zip(GRID, columns, strict=True):
            yield {"fisher": name, "source": source, "position": position, "mean": mean, "low": lower, "high": upper}
