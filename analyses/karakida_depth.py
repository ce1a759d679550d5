"""The constant `alpha` of the isotropic kernel against depth, for every approximation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import ntkng
from analyses.karakida_problems import APPROXIMATIONS, SOURCE, draw, kernels, problem
from analyses.study import Settings, Study
from ntkng.fisher import BlockTriDiagonal, Fisher
from ntkng.fisher.layer_pattern import pattern_alpha
from ntkng.kernels import Kernels
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

SAMPLES = 20
PROBLEM = "synthetic"
ALPHA_ERROR = 1e-6  # relative; the identity is algebraic, only rounding is left
OFF_ISOTROPY = 1e-5


def expected_alpha(name: str, depth: int, samples: int) -> float:
    """The paper's constants, written out here and not taken from the library."""
    return {
        "Exact": 1.0,
        "BlockDiagonal": float(depth),
        "BlockTriDiagonal": float(depth // 3 + (depth % 3 > 0)),
        "KFAC": float(samples * (depth - 1) + 1),
    }[name]


def study(settings: Settings) -> Study:
    """`tr K / N` and off-isotropy from infinite-width kernels and from one finite network, at every depth."""
    depths = settings.choose((2, 3, 4, 5), tuple(range(2, 13)))
    width = settings.choose(256, 1024)
    rows = []
    for depth in settings.track(depths, "alpha against depth"):
        infinite = kernels(PROBLEM, depth=depth, samples=SAMPLES, seed=settings.seed)
        setting = problem(PROBLEM, width, depth=depth, samples=SAMPLES, seed=settings.seed)
        finite = ntkng.empirical(setting.network, draw(setting.network, settings.seed), setting.x)
        for fisher in APPROXIMATIONS:
            rows += [measure(fisher, depth, source, k) for source, k in (("infinite", infinite), ("finite", finite))]
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "width": width, "depths": list(depths)}
    report = Report("alpha against depth", tuple(make_claims(table)), provenance(facts, seed=settings.seed))
    return Study(table, report, facts=facts)


def measure(fisher: Fisher, depth: int, source: str, layer_kernels: Kernels) -> dict[str, Any]:
    """`alpha` and off-isotropy of one kernel."""
    kernel = fisher.kernel(layer_kernels)
    return {
        "fisher": fisher.name, "depth": depth, "source": source, "alpha": kernel.alpha,
        "off_isotropy": kernel.off_isotropy,
        "expected": expected_alpha(fisher.name, depth, layer_kernels.samples),
    }  # fmt: skip


def make_claims(table: pd.DataFrame) -> Iterator[Claim]:
    """Measured `alpha` is the paper's, and `K` is isotropic, at all depths."""
    error = (table["alpha"] / table["expected"] - 1).abs()
    for (fisher, source), index in table.groupby(["fisher", "source"], sort=False).groups.items():
        where = f"{source} width, depths {table.loc[index, 'depth'].min()} to {table.loc[index, 'depth'].max()}"
        yield Claim.below(
            f"{fisher}/{source}/alpha", error[index].max(), ALPHA_ERROR,
            f"largest relative difference of tr K / N from the formula, {where}", source=f"{SOURCE}, section 4",
        )  # fmt: skip
        yield Claim.below(
            f"{fisher}/{source}/isotropy", table.loc[index, "off_isotropy"].max(), OFF_ISOTROPY,
            f"largest |K - alpha I| / |K|, {where}", source=f"{SOURCE}, section 4",
        )  # fmt: skip
    yield from _singular_depths(table)


def _singular_depths(table: pd.DataFrame) -> Iterator[Claim]:
    """What happens to the tri-diagonal pattern at depth 3s + 2."""
    for depth in sorted({int(d) for d in table["depth"] if d % 3 == 2}):
        pattern = BlockTriDiagonal().pattern(depth)
        smallest = float(np.abs(np.linalg.eigvalsh(pattern)).min())
        yield Claim.below(
            f"BlockTriDiagonal/depth {depth}/pattern is singular", smallest, 1e-12,
            "smallest |eigenvalue| of T: its inverse does not exist, the limit of vanishing damping is taken",
            source="T c = 1 is solvable, so the limit exists and is isotropic",
        )  # fmt: skip
        limit = pattern_alpha(pattern)
        yield Claim.within(
            f"BlockTriDiagonal/depth {depth}/alpha of the limit", float("nan") if limit is None else limit,
            depth // 3 + 1, depth // 3 + 1, "1' pinv(T) 1 = s + 1 at depth 3s + 2",
        )  # fmt: skip
