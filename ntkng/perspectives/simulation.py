"""Monte Carlo of stochastic iterations on a quadratic, in the original coordinates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from ntkng.perspectives.constant_step import Steps, step_numbers
from ntkng.perspectives.quadratic import StochasticQuadratic

__all__ = ["RiskSamples", "agreement", "simulate_quadratic"]


@dataclasses.dataclass(frozen=True)
class RiskSamples:
    """`h` along independent runs.

    Attributes:
        steps: numbers of steps `k`.
        risk: `h(theta_k)` of each run.
        averaged: `h(mean(theta_0, ..., theta_{k-1}))` of each run.
    """

    steps: Int[np.ndarray, " k"]
    risk: Float[np.ndarray, "runs k"]
    averaged: Float[np.ndarray, "runs k"]


def simulate_quadratic(
    problem: StochasticQuadratic,
    step_size: Callable[[int], float],
    steps: Steps,
    *,
    runs: int,
    rng: np.random.Generator,
) -> RiskSamples:
    """Iterate `theta <- theta - alpha_k B^{-1} (H (theta - theta*) + xi)`, `xi ~ N(0, Sigma)`, in independent runs.

    Args:
        problem: quadratic, noise and preconditioner.
        step_size: `k -> alpha_k`, from `k = 0`.
        steps: numbers of steps at which the risk is kept, `k >= 1`.
        runs: number of independent runs, at least 2.
        rng: source of the noise.

    Raises:
        ValueError: if `k < 1` or `runs < 2`.
    """
    k = step_numbers(steps, least=1)
    if runs < 2:
        raise ValueError(f"runs must be at least 2 for a standard error, got {runs}")
    values, vectors = np.linalg.eigh(problem.noise)
    colour = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    inverse = np.linalg.inv(problem.preconditioner)
    drift, noise = problem.hessian @ inverse, colour @ inverse
    error, total = np.tile(problem.error, (runs, 1)), np.zeros((runs, problem.error.size))
    kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for step in range(int(k.max())):
        total += error
        error = error - step_size(step) * (error @ drift + rng.standard_normal(error.shape) @ noise)
        if step + 1 in k:
            kept[step + 1] = (_risk(problem, error), _risk(problem, total / (step + 1)))
    risk, averaged = (np.stack([kept[step][part] for step in k.tolist()], axis=1) for part in (0, 1))
    return RiskSamples(k, risk, averaged)


def agreement(samples: Float[np.ndarray, "runs k"], expected: Float[np.ndarray, " k"]) -> tuple[np.ndarray, float]:
    """Compare sample means with expected values.

    Args:
        samples: independent runs; the columns (times of one run) may be correlated.
        expected: the theory, one value a column.

    Returns:
        The deviation in standard errors of each column, and the p-value of Hotelling's T^2 test of all columns at once,
        which takes their correlation into account.

    Raises:
        ValueError: if the shapes disagree, there are not more runs than columns, or a column does not vary.
    """
    runs, columns = samples.shape
    if np.shape(expected) != (columns,) or runs <= columns:
        raise ValueError(
            f"need expected of shape ({columns},) and more than {columns} runs, got {np.shape(expected)}, {runs}"
        )
    deviation = samples.mean(axis=0) - expected
    error = samples.std(axis=0, ddof=1) / np.sqrt(runs)
    if not np.all(error > 1e-12 * np.abs(samples.mean(axis=0))):
        raise ValueError(
            "a column of samples does not vary between runs, or is not finite; compare deterministic values exactly instead"
        )
    scores = deviation / error
    correlation = np.atleast_2d(np.corrcoef(samples, rowvar=False))
    t_squared = float(scores @ np.linalg.lstsq(correlation, scores)[0])
    f = t_squared * (runs - columns) / (columns * (runs - 1))
    return scores, float(stats.f.sf(f, columns, runs - columns))


def _risk(problem: StochasticQuadratic, error: Float[np.ndarray, "runs n"]) -> Float[np.ndarray, " runs"]:
    return 0.5 * np.einsum("ri,ij,rj->r", error, problem.hessian, error)
