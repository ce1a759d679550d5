"""Test error against the number of samples: a predictor that fits every label equally overfits as `N` nears `d`."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd

from analyses.kerekes_problems import PAPER, derived
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from ntkng.inductive_bias import (
    LogisticProblem,
    TiedProgrammeError,
    direction_error,
    interpolating_direction,
    interpolation_error,
    l1_max_margin,
    l2_max_margin,
    limit_direction,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

DIMENSION, SPARSITY = 100, 3
# mean test errors of maximum margins at N/d = 0.6, 0.8, 0.95, from a separate simulation with other random numbers
MARGINS = {
    ("l2", 60): 0.314,
    ("l2", 80): 0.289,
    ("l2", 95): 0.276,
    ("l1", 60): 0.159,
    ("l1", 80): 0.130,
    ("l1", 95): 0.115,
}
METHODS = {"NGF": "natural gradient flow", "l2": "GD, linear (l2)", "l1": "GD, diagonal depth 2 (l1)"}


def study(settings: Settings) -> Study:
    """All claims and curves of figure A5."""
    below = (30, 45, 60, 70, 80, 90, 95)
    beyond = settings.choose((120,), (105, 120, 150, 200))
    seeds, solved = settings.choose(100, 200, 400), settings.choose(20, 50, 200)  # the programmes take longer
    rows = []
    for seed in settings.track(range(seeds), "seeds"):
        rng = np.random.default_rng([settings.seed, 5, seed])
        w_star = np.zeros(DIMENSION)
        w_star[rng.choice(DIMENSION, SPARSITY, replace=False)] = rng.normal(size=SPARSITY)
        X = rng.normal(size=(max(below + beyond), DIMENSION))
        for N in below + beyond:
            problem = LogisticProblem(X[:N], np.sign(X[:N] @ w_star))
            rows += [(N, seed, name, direction_error(w, w_star)) for name, w in limits(problem, seed < solved).items()]
    table = pd.DataFrame(rows, columns=pd.Index(["N", "seed", "method", "error"]))
    table["gamma"] = table.N / DIMENSION
    report = Report("Test error against samples", tuple(error_claims(table)), provenance(seed=settings.seed))
    gamma = np.linspace(0.02, 0.999, 300)
    return Study(table, report, arrays={"gamma": gamma, "theory": interpolation_error(gamma)})


def limits(problem: LogisticProblem, programmes: bool) -> dict[str, np.ndarray]:
    """Limit directions of the flows from zero; those that take an optimisation only with `programmes`."""
    found, wide = {}, len(problem.y) <= problem.X.shape[1]
    if wide:
        found["NGF"] = interpolating_direction(problem)
    if programmes:
        found |= {"l2": l2_max_margin(problem), "l1": l1_max_margin(problem)}
        if not wide:
            with contextlib.suppress(TiedProgrammeError):  # then the direction is not determined
                found["NGF"] = limit_direction(problem, np.zeros(problem.X.shape[1]))
    return found


def error_claims(table: pd.DataFrame, *, theory=interpolation_error) -> list[Claim]:
    """Natural gradient flow against its formula; the order of the methods at `N = 80`."""
    claims = []
    for N in (30, 60, 80, 95):
        errors = table[(table.N == N) & (table.method == "NGF")].error.to_numpy()
        mean, half = mean_with_interval(errors)
        claims.append(Claim.below(f"NGF/N = {N}", abs(mean - float(theory(N / DIMENSION))), 0.01,
                                  f"mean test error over {len(errors)} seeds against the high-dimensional formula",
                                  uncertainty=half, source=derived("high_dimensional")))  # fmt: skip
    at = {m: mean_with_interval(table[(table.N == 80) & (table.method == m)].error) for m in METHODS}
    low = mean_with_interval(table[(table.N == 60) & (table.method == "NGF")].error)
    peak = mean_with_interval(table[(table.N == 95) & (table.method == "NGF")].error)
    source = f"{PAPER}, problems on which natural gradient descent does not generalise"
    claims += [
        Claim.above("N = 80/NGF", at["NGF"][0], 0.32, "test error of natural gradient flow at N/d = 0.8",
                    uncertainty=at["NGF"][1], source=source),
        Claim.below("N = 80/l1", at["l1"][0], 0.17, "test error of the l1 maximum margin on the same data",
                    uncertainty=at["l1"][1], source=source),
        Claim.above("NGF/peak", peak[0] - low[0], 0.05, "more samples make it worse: error at N = 95 minus that at 60",
                    source=derived("high_dimensional")),
    ]  # fmt: skip
    return claims + [programme_claim(table, method, N, value) for (method, N), value in MARGINS.items()]


def programme_claim(table: pd.DataFrame, method: str, N: int, expected: float) -> Claim:
    """Mean test error of a maximum margin against the value of an independent simulation."""
    mean, half = mean_with_interval(table[(table.N == N) & (table.method == method)].error)
    return Claim.within(f"N = {N}/{method} margin", mean, expected - 0.03, expected + 0.03,
                        f"test error of the {method} maximum margin, three non-zero components", uncertainty=half,
                        source="independent simulation, stated in analyses.kerekes_test_error")  # fmt: skip
