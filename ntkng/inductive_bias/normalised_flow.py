"""Gradient flow on separable data, run until the margins are huge: the comparators of natural gradient flow.

In real time the direction converges like `1/log t`. The path of the flow does not depend on its speed, so it is followed
with `theta' = -(1 + |theta|) grad log L / |grad log L|`, along which `|theta|` grows exponentially, with an implicit
solver (the support vectors compete on a time scale that shrinks as `1/|theta|`).
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import scipy.integrate
from jaxtyping import Float
from scipy.special import log_expit, logsumexp

from ntkng.inductive_bias.logistic import LogisticProblem, log_losses
from ntkng.inductive_bias.parametrisation import LinearParametrisation
from ntkng.validation import positive, real_array

__all__ = ["NormalisedPath", "normalised_gradient_flow"]

EVALUATIONS = 1_000_000  # velocities, after which the flow is given up


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

    A start whose margin already is `margin` or more is the whole path.
    """
    positive("margin", margin)
    theta = real_array("theta", theta, 1).astype(np.float64)
    if not problem.separable:
        raise ValueError("gradient flow has no limit direction here: the data are not linearly separable")

    count = itertools.count(1)

    def velocity(_: float, theta: np.ndarray) -> np.ndarray:
        if next(count) > EVALUATIONS:
            raise RuntimeError(f"gradient flow did not reach the margin {margin:g} in {EVALUATIONS} velocities")
        ascent = model.pull_back(theta, (problem.signed.T @ _softmin(problem, model, theta))[:, None])
        length = np.linalg.norm(ascent)
        if not 0 < length < np.inf:
            raise RuntimeError(
                f"gradient flow did not reach the margin {margin:g}: the gradient has norm {length:g} at |theta| = "
                f"{np.linalg.norm(theta):.3g} (a saddle of the parametrisation, or overflow)"
            )
        return (1 + np.linalg.norm(theta)) * ascent / length

    def reached(_: float, theta: np.ndarray) -> float:
        return problem.margins(model.end_to_end(theta)[:, 0]).min() - margin

    if reached(0.0, theta) >= 0:
        return _described(problem, model, theta[None])
    reached.terminal = True  # type: ignore[attr-defined]
    solution = scipy.integrate.solve_ivp(
        velocity, (0.0, longest), theta, "LSODA", events=reached, rtol=rtol, atol=rtol * 1e-4
    )
    if solution.status != 1:
        raise RuntimeError(f"gradient flow did not reach the margin {margin:g}: {solution.message}")
    return _described(problem, model, solution.y.T)


def _described(problem: LogisticProblem, model: LinearParametrisation, path: np.ndarray) -> NormalisedPath:
    beta = np.stack([model.end_to_end(theta)[:, 0] for theta in path])
    margins = problem.margins(beta)
    log_loss = logsumexp(log_losses(margins), axis=-1) - np.log(len(problem.y))
    return NormalisedPath(path, beta, np.asarray(log_loss), margins.min(-1))


def _softmin(problem: LogisticProblem, model: LinearParametrisation, theta: np.ndarray) -> np.ndarray:
    """`-d log L / d m_n = r_n / sum_k log(1 + e^{-m_k})`, computed from logarithms."""
    margins = problem.margins(model.end_to_end(theta)[:, 0])
    losses = log_losses(margins)
    top = losses.max()  # scipy's logsumexp does the same, but takes longer than all the rest of the velocity
    return np.exp(log_expit(-margins) - top) / np.exp(losses - top).sum()
