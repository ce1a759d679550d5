"""Figures B10: the mini-batch comparison on MNIST and CIFAR-10, where their files are on this machine."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np

from analyses.buffelli_data import folder
from analyses.buffelli_mini_batch import OVERFITTING, at, one_update
from analyses.buffelli_runs import SOURCE, Method, Setup, training
from analyses.seeds import above_in_every_seed, mean_with_interval
from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

BLOCKS = {"mnist": 2, "cifar10": 6}
RATES: dict[str, dict[Method, float]] = {
    "mnist": {"Gauss-Newton": 0.1, "Adam": 1e-4, "SGD": 0.1},
    "cifar10": {"Gauss-Newton": 0.1, "Adam": 1e-4, "SGD": 0.01},
}
"""Blocks and mini-batch learning rates of the released configurations; they use cross-entropy."""


def available() -> list[str]:
    """The data sets whose folder exists."""
    return [name for name in BLOCKS if folder(name).is_dir()]


def setups(settings: Settings, name: str) -> list[Setup]:
    """The released configuration with `--full`; otherwise fewer samples, units and epochs, and smaller batches."""
    test = 10_000
    size = settings.choose(
        {"width": 300, "train": 1000, "test": 500, "batch": 100, "epochs": 3},
        {"width": 1000, "train": 5000, "test": 2000, "batch": 250, "epochs": 10},
        {"width": 8000, "train": 60_000 - test * (name == "cifar10"), "test": test, "batch": 1000, "epochs": 100},
    )
    common = {"dataset": name, "blocks": BLOCKS[name], "dim": None, "seed": settings.seed, **size}
    return [Setup("cross-entropy", method, rate, **common) for method, rate in RATES[name].items()]


def images(settings: Settings, name: str) -> Study:
    """Losses and accuracies on one data set, and one update against its prediction from `J R`."""
    chosen = setups(settings, name)
    squared = dataclasses.replace(chosen[0], objective="mse")
    with contextlib.nullcontext() if settings.full else one_blas_thread():  # only the full size has large matrices
        table = training(chosen, settings)
        predicted, measured = one_update(squared, epochs=1, batches=2)
    facts = {"title": f"{name}, mini-batches of {squared.batch}", "loss": "cross-entropy"}
    report = Report(name, claims(table, predicted, measured), provenance({"data": name}, seed=settings.seed))
    return Study(table, report, facts=facts)


def claims(table, predicted: np.ndarray, measured: np.ndarray) -> tuple[Claim, ...]:
    """The theory's claim and the paper's fast start; the generalisation gap is reported as measured."""
    gn, adam, sgd = (select(table, method=m) for m in ("Gauss-Newton", "Adam", "SGD"))
    source, last = f"{SOURCE}, figure 2", table.epoch.max()
    gap = [select(t, epoch=last).test_accuracy.to_numpy() for t in (gn, adam)]
    mean, half = mean_with_interval(gap[0] - gap[1])
    return (
        Claim.below(
            "GN/predicted by J R", float(np.abs(measured - predicted).max()), 0.5,
            "mean squared error: percentage points between the measured change of a batch's loss by its own update and "
            "100 (|(I - eta J R) eps|^2 / |eps|^2 - 1)", source="function-space theory",
        ),
        above_in_every_seed(
            "Adam over GN/first epoch", at(adam, 1) / at(gn, 1), 1.0, "training loss after the first epoch",
            source=source,
        ),
        above_in_every_seed(
            "SGD over GN/first epoch", at(sgd, 1) / at(gn, 1), 1.0, "training loss after the first epoch",
            source=source,
        ),
        Claim.finding(
            "test accuracy", mean, f"held-out accuracy after {last} epochs, Gauss-Newton minus Adam", uncertainty=half,
            source=source, note=f"the paper reports {OVERFITTING}: a lower held-out accuracy than Adam's.",
        ),
    )  # fmt: skip
