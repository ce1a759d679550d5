"""Figure B5: without the inverted bottleneck Gauss-Newton saturates at a higher loss."""

from __future__ import annotations

import dataclasses

import pandas as pd

from analyses.buffelli_mini_batch import at
from analyses.buffelli_runs import SOURCE, mini_batch_setups, training
from analyses.seeds import above_in_every_seed, below_in_every_seed, within_in_every_seed
from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.provenance import provenance
from ntkng.report import Claim, Report


@one_blas_thread()
def no_bottleneck(settings: Settings) -> Study:
    """The mini-batch runs of B2 with `A(x) = [relu(x), 1]`, and those with the bottleneck beside them."""
    wide = mini_batch_setups(settings, "mse", ("Gauss-Newton", "Adam"))
    narrow = [dataclasses.replace(setup, width=None, observed=()) for setup in wide]
    table = training([*narrow, *wide], settings)
    table["bottleneck"] = table.width.notna()
    return Study(table, Report("B5", claims(table), provenance({"epochs": 40}, seed=settings.seed)))


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """What figure B5 must show."""
    narrow, wide = (select(table, method="Gauss-Newton", bottleneck=has) for has in (False, True))
    source = f"{SOURCE}, figure 5"
    late = select(narrow, {"epoch": 2})
    return (
        above_in_every_seed("GN/train loss", at(narrow, 40), 0.05, "training loss after 40 epochs", source=source),
        below_in_every_seed(
            "GN/20 to 40", at(narrow, 20) / at(narrow, 40), 1.2, "factor of the training loss, epochs 20 to 40",
            source=source,
        ),
        within_in_every_seed(
            "GN/percent", late.percent_change, -43, -37, "mean change per update, every epoch from 2 on", source=source
        ),
        above_in_every_seed(
            "GN/against the bottleneck", at(narrow, 40) / at(wide, 40), 2.0,
            "training loss after 40 epochs without over with the inverted bottleneck", source=source,
        ),
    )  # fmt: skip
