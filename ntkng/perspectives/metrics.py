"""Preconditioners as rules `(objective, theta) -> B`, so that one rule can be applied in two parametrisations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ntkng.perspectives.objective import Objective

__all__ = [
    "Metric",
    "damped",
    "empirical_fisher_metric",
    "fisher_metric",
    "gauss_newton_metric",
    "hessian_metric",
    "identity_metric",
    "transforming_damping",
]

Metric = Callable[[Objective, Float[np.ndarray, " P"]], Float[np.ndarray, "P P"]]


def fisher_metric(objective: Objective, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
    """The Fisher matrix: natural gradient."""
    return objective.fisher(theta)


def gauss_newton_metric(objective: Objective, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
    """The generalised Gauss-Newton matrix; the Fisher when the outputs are natural parameters."""
    return objective.gauss_newton(theta)


def empirical_fisher_metric(objective: Objective, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
    """The empirical Fisher matrix."""
    return objective.empirical_fisher(theta)


def hessian_metric(objective: Objective, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
    """The Hessian: Newton's method."""
    return objective.hessian(theta)


def identity_metric(objective: Objective, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
    """The identity: gradient descent."""
    return np.eye(np.size(theta))


def damped(damping: float) -> Metric:
    """`F + lam I`, the same `lam I` in every parametrisation: Tikhonov damping as it is used."""
    return lambda objective, theta: objective.fisher(theta) + damping * np.eye(np.size(theta))


def transforming_damping(
    damping: float, jacobian: Callable[[Float[np.ndarray, " P"]], Float[np.ndarray, "P P"]]
) -> Metric:
    """`F + lam J_zeta^T J_zeta`, to be used in `gamma`: the penalty `lam |d_theta|^2` of `damped`, carried along.

    Args:
        damping: `lam`.
        jacobian: `gamma -> J_zeta`, such as `ChangeOfParameters.jacobian`.
    """

    def metric(objective: Objective, gamma: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
        j = jacobian(gamma)
        return objective.fisher(gamma) + damping * j.T @ j

    return metric
