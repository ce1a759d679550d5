"""Separable data sets for the study of natural gradient flow, and what several of its analyses share."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntkng.inductive_bias import (
    Asymptote,
    LogisticProblem,
    TiedProgrammeError,
    angle,
    asymptote,
    l1_max_margin,
    l2_max_margin,
)

PAPER = "Kerekes et al. 2021"


def derived(module: str) -> str:
    """Source of a claim that rests on a closed form derived in this library."""
    return f"closed form of ntkng.inductive_bias.{module}"


def separable_problem(
    samples: int, dimension: int, rng: np.random.Generator
) -> tuple[LogisticProblem, Float[np.ndarray, " d"]]:
    """Gaussian inputs with labels `sign(w*.x)`, and initial weights `N(0, 1/4)`."""
    X, w_star = rng.normal(size=(samples, dimension)), rng.normal(size=dimension)
    return LogisticProblem(X, np.sign(X @ w_star)), 0.5 * rng.normal(size=dimension)


def distinct_limits(
    samples: int, dimension: int, seed: int, *, gap: float = 10.0, l1: bool = True, attempts: int = 5000
) -> Asymptote:
    """The first data set, from `seed` on, whose limit directions are `gap` degrees apart, with its asymptote.

    The linear programme often ends at the vertex that is also the l2 maximum margin; such data could not tell them
    apart. Without `l1` only that direction and the l2 maximum margin are asked to differ. The other conditions make the
    limits visible in reasonable time: inactive margins so large that the asymptote is reached at `t = 30`, and an l1
    programme that is far from tied (gradient flow of a diagonal network decides between its vertices only on the scale
    of the logarithm of the margin).
    """
    for trial in range(attempts):
        problem, w0 = separable_problem(samples, dimension, np.random.default_rng([seed, trial]))
        try:
            limit = asymptote(problem, w0)
        except TiedProgrammeError:
            continue
        # the cheap conditions first: few data sets pass them
        if not 0.3 < limit.gap < 0.7 or np.linalg.norm(limit.correction(np.array([30.0]))) > 1e-3:
            continue
        if angle(limit.u, l2_max_margin(problem)) < gap:
            continue
        if not l1 or (min(limit_angles(problem, limit.u).values()) > gap and l1_strength(problem) > 0.3):
            return limit
    raise RuntimeError(f"no data set with limits {gap} degrees apart among {attempts}; lower gap")


def l1_strength(problem: LogisticProblem) -> float:
    """How far the l1 programme is from tied: smallest relative multiplier or dual slack of its vertex, 0 if no vertex."""
    w = l1_max_margin(problem)
    support, active = np.abs(w) > 1e-9 * np.abs(w).max(), problem.margins(w) < 1 + 1e-9
    if support.sum() != active.sum():
        return 0.0
    multipliers = np.linalg.solve(problem.signed[np.ix_(active, support)].T, np.sign(w[support]))
    reach = np.abs(problem.signed[np.ix_(active, ~support)].T @ multipliers).max(initial=0.0)
    return float(min(multipliers.min() / multipliers.max(), 1 - reach))


def limit_angles(problem: LogisticProblem, u: Float[np.ndarray, " d"]) -> dict[str, float]:
    """Angles in degrees between the direction of natural gradient flow and the two maximum margins."""
    l2, l1 = l2_max_margin(problem), l1_max_margin(problem)
    return {"u-l2": float(angle(u, l2)), "u-l1": float(angle(u, l1)), "l1-l2": float(angle(l1, l2))}


def slope(x: Float[np.ndarray, " T"], y: Float[np.ndarray, "T K"]) -> Float[np.ndarray, " K"]:
    """Least-squares slopes of the columns of `y` against `x`."""
    centred = x - x.mean()
    return centred @ (y - y.mean(0)) / (centred @ centred)


def frame(panel: str, **columns) -> pd.DataFrame:
    """Long-form rows of one panel."""
    return pd.DataFrame({"panel": panel, **columns})
