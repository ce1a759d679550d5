"""Gradient flow on separable data, run until the margins are huge: the comparators of natural gradient flow.

In real time the direction converges like `1/log t`. The path of the flow does not depend on its speed, so it is followed
with `theta' = -(1 + |theta|) grad log L / |grad log L|`, along which `|theta|` grows exponentially, with an implicit
solver (the support vectors compete on a time scale that shrinks as `1/|theta|`).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.integrate
from jaxtyping import Float
from scipy.special import log_expit, logsumexp

from ntkng.inductive_bias.logistic import LogisticProblem
from ntkng.inductive_bias.parametrisation import LinearParametrisation

__all__ = ["NormalisedPath", "normalised_gradient_flow"]


@dataclasses.dataclass(frozen=True)
class NormalisedPath:
    """The path of gradient flow, without its time.

    Attributes:
        theta: parameters, `[T P]`.
        beta: end-to-end vectors, `[T d]`.
        log_loss: `log L` (meaningful far below the smallest float).
        margin: smallest margin.
    """

    theta: Float[np.ndarray, "T P"]
    beta: Float[np.ndarray, "T d"]
    log_loss: Float[np.ndarray, " T"]
    margin: Float[np.ndarray, " T"]


def normalised_gradient_flow(
    problem: LogisticProblem,
    model: LinearParametrisation,
    theta: Float[np.ndarray, " P"],
    *,
    margin: float = 1e4,
    longest: float = 60.0,
    rtol: float = 1e-8,
) -> NormalisedPath:
    """Follow gradient flow of the logistic loss from `theta` until the smallest margin reaches `margin`.

    Args:
        problem: separable data.
        model: how the predictor is parametrised.
        theta: initial parameters.
        margin: where to stop.
        longest: give up after this time (in which `|theta|` grows by about `e^longest`).
        rtol: relative tolerance of the solver (LSODA).

    Raises:
        ValueError: the data are not separable.
        RuntimeError: the margin is not reached (a saddle of the parametrisation, or a failed solver).
    """
    if not problem.separable:
        raise ValueError("gradient flow has no limit direction here: the data are not linearly separable")

    def velocity(_: float, theta: np.ndarray) -> np.ndarray:
        ascent = model.pull_back(theta, (problem.signed.T @ _softmin(problem, model, theta))[:, None])
        return (1 + np.linalg.norm(theta)) * ascent / np.linalg.norm(ascent)

    def reached(_: float, theta: np.ndarray) -> float:
        return problem.margins(model.end_to_end(theta)[:, 0]).min() - margin

    reached.terminal = True  # type: ignore[attr-defined]
    solution = scipy.integrate.solve_ivp(
        velocity, (0.0, longest), theta, "LSODA", events=reached, rtol=rtol, atol=rtol * 1e-4
    )
    if solution.status != 1:
        raise RuntimeError(f"gradient flow did not reach the margin {margin:g}: {solution.message}")
    path = solution.y.T
    beta = np.stack([model.end_to_end(theta)[:, 0] for theta in path])
    margins = problem.margins(beta)
    log_loss = logsumexp(_log_losses(margins), axis=-1) - np.log(len(problem.y))
    return NormalisedPath(path, beta, np.asarray(log_loss), margins.min(-1))


def _softmin(problem: LogisticProblem, model: LinearParametrisation, theta: np.ndarray) -> np.ndarray:
    """`-d log L / d m_n = r_n / sum_k log(1 + e^{-m_k})`, computed from logarithms."""
    margins = problem.margins(model.end_to_end(theta)[:, 0])
    losses = _log_losses(margins)
    top = losses.max()  # scipy's logsumexp does the same, but takes longer than all the rest of the velocity
    return np.exp(log_expit(-margins) - top) / np.exp(losses - top).sum()


def _log_losses(margins: np.ndarray) -> np.ndarray:
    """`log log(1 + e^{-m})`; for large `m` this is `-m - e^{-m}/2`."""
    small = np.minimum(margins, 30.0)
    return np.where(margins > 30, -margins, np.log(np.logaddexp(0, -small)))
