"""Isotropy of the gradient in function space: `K` itself and its spectrum, at infinite width and of one network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import ntkng
from analyses.karakida_depth import expected_alpha
from analyses.karakida_problems import APPROXIMATIONS, SOURCE, draw, kernels, problem
from analyses.study import Settings, Study
from ntkng.fisher import GradientDescent, PreconditionedKernel
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

DEPTH, SAMPLES = 3, 40
OFF_ISOTROPY = 1e-6  # rounding: K-FAC solves with two ill-conditioned factors
SPREAD = 1e-5
NOT_ISOTROPIC = 0.3  # gradient descent


def study(settings: Settings) -> Study:
    """`K` on both problems for gradient descent and the approximations; `K / alpha` is kept for the heat maps."""
    width = settings.choose(256, 2048)
    rows, arrays = [], {}
    cases = [(name, source) for name in ("synthetic", "digits") for source in ("infinite", "finite")]
    for name, source in settings.track(cases, "isotropy"):
        layer_kernels = kernels(name, depth=DEPTH, samples=SAMPLES, seed=settings.seed)
        if source == "finite":
            setting = problem(name, width, depth=DEPTH, samples=SAMPLES, seed=settings.seed)
            layer_kernels = ntkng.empirical(setting.network, draw(setting.network, settings.seed), setting.x)
        for fisher in (GradientDescent(), *APPROXIMATIONS):
            kernel = fisher.kernel(layer_kernels)
            rows += spectrum(name, source, fisher.name, kernel)
            arrays[f"{name}/{source}/{fisher.name}"] = np.asarray(kernel.train) / kernel.alpha
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "width": width, "depth": DEPTH}
    report = Report("Isotropy", tuple(make_claims(table)), provenance(facts, seed=settings.seed))
    return Study(table, report, arrays=arrays, facts=facts)


def spectrum(name: str, source: str, fisher: str, kernel: PreconditionedKernel) -> list[dict[str, Any]]:
    """One row per eigenvalue, with the kernel's `alpha` and off-isotropy."""
    common = {"problem": name, "source": source, "fisher": fisher, "alpha": kernel.alpha, "samples": kernel.samples,
              "off_isotropy": kernel.off_isotropy}  # fmt: skip
    return [{**common, "index": i, "eigenvalue": float(k)} for i, k in enumerate(np.asarray(kernel.eigenvalues()))]


def make_claims(table: pd.DataFrame) -> Iterator[Claim]:
    """Isotropic with the paper's `alpha` for the four approximations, far from it for gradient descent."""
    for (name, source, fisher), rows in table.groupby(["problem", "source", "fisher"], sort=False):
        prefix = f"{name}/{source}/{fisher}"
        off = rows["off_isotropy"].iloc[0]
        if fisher == "GradientDescent":
            yield Claim.above(
                f"{prefix}/not isotropic", off, NOT_ISOTROPIC, "|K - alpha I| / |K| of gradient descent",
                source=f"{SOURCE}, section 3",
            )  # fmt: skip
            continue
        yield Claim.below(
            f"{prefix}/off-isotropy", off, OFF_ISOTROPY, "|K - alpha I| / |K|", source=f"{SOURCE}, definition 3.1"
        )
        alpha = expected_alpha(fisher, DEPTH, int(rows["samples"].iloc[0]))
        extremes = rows["eigenvalue"].agg(["min", "max"]).to_numpy()
        yield Claim.below(
            f"{prefix}/spectrum", np.abs(extremes / alpha - 1).max(), SPREAD,
            f"largest |k / alpha - 1| over the spectrum, with the predicted alpha = {alpha:g}",
            source=f"{SOURCE}, section 4",
        )  # fmt: skip
