"""Figure B1: full-batch Gauss-Newton removes the same share of the loss in every step."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analyses.buffelli_runs import SOURCE, Method, Setup, training
from analyses.seeds import above_in_every_seed, below_in_every_seed, within_in_every_seed
from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

BLOCKS = 3
RATE = 0.1


def setups(settings: Settings) -> list[Setup]:
    """256 training samples, every feature matrix of full row rank, mean squared error."""
    seeds = range(settings.seed, settings.seed + settings.choose(1, 5, 10))
    common = {"train": 256, "batch": None, "linear_first": False, "rtol": 1e-8, "blocks": BLOCKS}
    choices: list[tuple[Method, float, int]] = [("Gauss-Newton", RATE, 20), ("Adam", 1e-3, 60), ("SGD", 0.03, 60)]
    return [Setup("mse", m, rate, seed=s, epochs=n, **common) for s in seeds for m, rate, n in choices]


@one_blas_thread()
def full_batch(settings: Settings) -> Study:
    """Loss, accuracy and loss change of each step on the digits."""
    table = training(setups(settings), settings).rename(columns={"epoch": "step"})
    theory = 100 * ((1 - RATE * BLOCKS) ** 2 - 1)
    report = Report("B1", claims(table), provenance({"rate": RATE, "blocks": BLOCKS}, seed=settings.seed))
    return Study(table, report, facts={"theory_percent": theory, "effective_rate": RATE * BLOCKS})


def claims(table: pd.DataFrame, rate: float = RATE, blocks: int = BLOCKS) -> tuple[Claim, ...]:
    """What figure B1 must show, given the table of `full_batch`."""
    gn, adam, sgd = (select(table, method=m) for m in ("Gauss-Newton", "Adam", "SGD"))
    theory = 100 * ((1 - rate * blocks) ** 2 - 1)
    late = select(gn, {"step": 3})
    implied = (1 - np.sqrt(1 + select(gn, {"step": 10}).percent_change / 100)) / rate
    return (
        within_in_every_seed(
            "GN/percent", late.percent_change, theory - 1, theory + 1,
            f"each step from the third changes the loss by 100 ((1 - eta L_b)^2 - 1) = {theory:.1f} %",
            source=f"{SOURCE}, figure 3; function-space theory",
        ),
        within_in_every_seed(
            "GN/alpha", implied, 0.99 * blocks, 1.01 * blocks,
            "the function-space rate implied by the loss change of steps 10 to 20 is the number of blocks L_b, not "
            "that of the 2 L_b half-layers",
            source="function-space theory",
        ),
        below_in_every_seed(
            "GN/loss at step 20", select(gn, step=20).train_loss, 1e-5, "the training loss after 20 steps",
            source=f"{SOURCE}, figure 1",
        ),
        below_in_every_seed(
            "GN/steps to 0.1", steps_to(gn, 0.1), 7.5, "steps until the training loss is below 0.1",
            source=f"{SOURCE}, figure 1",
        ),
        above_in_every_seed(
            "Adam/steps to 0.1", steps_to(adam, 0.1), 29.5, "steps until the training loss is below 0.1",
            source=f"{SOURCE}, figure 1",
        ),
        above_in_every_seed(
            "SGD/steps to 0.1", steps_to(sgd, 0.1), 29.5,
            "steps until the training loss is below 0.1 (61: not within 60 steps)",
            source=f"{SOURCE}, figure 1",
        ),
    )  # fmt: skip


def steps_to(table: pd.DataFrame, level: float) -> list[int]:
    """For each seed the first step whose training loss is below `level`; one more than the last step if there is none.

    A run that diverges never gets there.
    """
    found = []
    for _, run in table.groupby("seed"):
        reached = run.step[run.train_loss < level]
        found.append(int(reached.min()) if len(reached) else int(run.step.max()) + 1)
    return found
