"""Expected risk of stochastic iterations with a constant step, of the last and of the averaged iterate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ntkng.perspectives.quadratic import Risk, StochasticQuadratic

__all__ = [
    "averaged_asymptote",
    "averaged_bias_asymptote",
    "averaged_bias_bounds",
    "averaged_risk",
    "constant_step_floor",
    "constant_step_risk",
]

Steps = Sequence[int] | Int[np.ndarray, " k"]


def constant_step_risk(problem: StochasticQuadratic, alpha: float, steps: Steps) -> Risk:
    """Expected risk of the iterate after `k` steps of constant size (Martens 2020).

    With `rho_i = 1 - alpha lam_i`,

        E h_k = 1/2 sum_i lam_i rho_i^{2k} u_i(0)^2 + 1/2 sum_i alpha s_i (1 - rho_i^{2k}) / (2 - alpha lam_i).

    Args:
        problem: quadratic, noise and preconditioner.
        alpha: step size, `0 < alpha lam_i < 2` for every mode.
        steps: numbers of steps `k >= 0`.

    Returns:
        Bias and variance, each of shape `(len(steps),)`.

    Raises:
        ValueError: if the iteration does not converge at this step size, or a step number is negative.
    """
    k = step_numbers(steps, least=0)
    modes, rho = problem.modes, contraction(problem, alpha)
    squared = rho[:, None] ** (2 * k[None, :])
    bias = 0.5 * (modes.lam * modes.start**2) @ squared
    variance = 0.5 * (alpha * modes.noise / (2.0 - alpha * modes.lam)) @ (1.0 - squared)
    return Risk(bias, variance)


def constant_step_floor(problem: StochasticQuadratic, alpha: float) -> float:
    """Risk at which the constant-step iteration stays: `1/2 sum_i alpha s_i / (2 - alpha lam_i)`.

    For `B = H` every `lam_i` is 1 and the floor is `alpha / (2 (2 - alpha)) tr(H^{-1} Sigma)`.

    Raises:
        ValueError: if `alpha lam_i` is not in (0, 2) for every mode.
    """
    contraction(problem, alpha)
    modes = problem.modes
    return float(0.5 * np.sum(alpha * modes.noise / (2.0 - alpha * modes.lam)))


def averaged_risk(problem: StochasticQuadratic, alpha: float, steps: Steps) -> Risk:
    """Expected risk of `mean(theta_0, ..., theta_{k-1})` with a constant step (Polyak-Ruppert averaging).

        bias_i = u_i(0) (1 - rho_i^k) / (k alpha lam_i)
        var_i  = s_i / (k lam_i)^2 [(k-1) - 2 rho_i (1 - rho_i^{k-1}) / (1 - rho_i)
                                    + rho_i^2 (1 - rho_i^{2(k-1)}) / (1 - rho_i^2)]
        E h(mean) = 1/2 sum_i lam_i (bias_i^2 + var_i)

    Args:
        problem: quadratic, noise and preconditioner.
        alpha: step size, `0 < alpha lam_i < 2` for every mode.
        steps: numbers of averaged iterates, `k >= 1`.

    Returns:
        Bias and variance, each of shape `(len(steps),)`.

    Raises:
        ValueError: if the iteration does not converge at this step size, or `k < 1`.
    """
    k = step_numbers(steps, least=1)
    modes, rho = problem.modes, contraction(problem, alpha)[:, None]
    lam = modes.lam[:, None]
    mean = modes.start[:, None] * (1.0 - rho**k) / (k * alpha * lam)
    geometric = 2.0 * rho * (1.0 - rho ** (k - 1)) / (1.0 - rho)
    squares = rho**2 * (1.0 - rho ** (2 * (k - 1))) / (1.0 - rho**2)
    variance = modes.noise[:, None] / (k * lam) ** 2 * ((k - 1) - geometric + squares)
    return Risk(0.5 * np.sum(lam * mean**2, axis=0), 0.5 * np.sum(lam * variance, axis=0))


def averaged_asymptote(problem: StochasticQuadratic, steps: Steps) -> Float[np.ndarray, " k"]:
    """Large-`k` risk of the averaged iterate, `tr(H^{-1} Sigma) / (2k)`: the same for every preconditioner.

    It is `n / (2k)`, the Cramer-Rao bound, for a realisable likelihood, where `Sigma = F = H`.

    Raises:
        ValueError: if `k < 1`.
    """
    return problem.noise_to_curvature / (2.0 * step_numbers(steps, least=1))


def averaged_bias_asymptote(problem: StochasticQuadratic, alpha: float, steps: Steps) -> Float[np.ndarray, " k"]:
    """Large-`k` bias of the averaged iterate, `|H^{-1/2} B (theta_0 - theta*)|^2 / (2 k^2 alpha^2)`.

    Curvature helps here: `B = H` makes it `h(theta_0) / (k alpha)^2`.

    Raises:
        ValueError: if `alpha lam_i` is not in (0, 2) for every mode, or `k < 1`.
    """
    contraction(problem, alpha)
    vector = problem.preconditioner @ problem.error
    squared = float(vector @ np.linalg.solve(problem.hessian, vector))
    return squared / (2.0 * step_numbers(steps, least=1) ** 2 * alpha**2)


def averaged_bias_bounds(problem: StochasticQuadratic, alpha: float, steps: Steps) -> Float[np.ndarray, "3 k"]:
    """Three bounds on the bias of the averaged iterate; it is below their minimum at every `k`.

    In this order: `|H^{-1/2} B d|^2 / (2 k^2 alpha^2)`, `|B^{1/2} d|^2 / (2 k alpha)` and `|H^{1/2} d|^2 / 2`, with
    `d = theta_0 - theta*`. The reason, mode by mode, is `(1 - rho^k) / (k alpha lam) <= min(1 / (k alpha lam), 1)` for
    `0 <= rho < 1`.

    Raises:
        ValueError: unless `0 < alpha lam_i <= 1` for every mode (oscillating modes exceed the bounds), or if `k < 1`.
    """
    if alpha * problem.modes.lam[-1] > 1.0 + 1e-12:
        raise ValueError(
            f"the bounds need alpha lam_max <= 1, got {alpha * problem.modes.lam[-1]:.4g}; "
            f"take alpha <= {1 / problem.modes.lam[-1]:.4g}"
        )
    k = step_numbers(steps, least=1)
    second = float(problem.error @ problem.preconditioner @ problem.error) / (2.0 * k * alpha)
    return np.stack([averaged_bias_asymptote(problem, alpha, k), second, np.full(k.shape, problem.initial_risk)])


def contraction(problem: StochasticQuadratic, alpha: float) -> Float[np.ndarray, " n"]:
    """Factors `rho_i = 1 - alpha lam_i` of the mean iteration.

    Raises:
        ValueError: if `alpha lam_i` is not in (0, 2) for every mode: the iteration diverges or stands still.
    """
    lam = problem.modes.lam
    if not (alpha > 0.0 and alpha * lam[-1] < 2.0):
        raise ValueError(
            f"the iteration needs 0 < alpha lam_i < 2, got alpha={alpha} with lam in [{lam[0]:.4g}, {lam[-1]:.4g}]; "
            f"take 0 < alpha < {2 / lam[-1]:.4g}"
        )
    return 1.0 - alpha * lam


def step_numbers(steps: Steps, least: int) -> Int[np.ndarray, " k"]:
    """The numbers of steps as an integer array.

    Raises:
        ValueError: if one is below `least`.
    """
    k = np.asarray(steps, dtype=np.int64)
    if k.ndim != 1 or k.size == 0 or k.min() < least:
        raise ValueError(f"steps must be a non-empty list of integers >= {least}, got {steps}")
    return k
