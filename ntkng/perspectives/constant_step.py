"""Expected risk of stochastic iterations with a constant step, of the last and of the averaged iterate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.special
from jaxtyping import Float, Int

from ntkng.perspectives.quadratic import Risk, StochasticQuadratic
from ntkng.validation import real_array

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
    modes, a = problem.modes, relative_steps(problem, alpha)
    left = np.stack(
        [np.exp(2 * number * _log_factor(a)) if number else np.ones_like(a) for number in k.astype(float)], axis=1
    )
    lost = np.stack([_lost(a, 2 * number) for number in k.astype(float)], axis=1)
    bias = 0.5 * (modes.lam * modes.start**2) @ left
    variance = 0.5 * (alpha * modes.noise / (2.0 - a)) @ lost
    return Risk(bias, variance)


def constant_step_floor(problem: StochasticQuadratic, alpha: float) -> float:
    """Risk at which the constant-step iteration stays: `1/2 sum_i alpha s_i / (2 - alpha lam_i)`.

    For `B = H` every `lam_i` is 1 and the floor is `alpha / (2 (2 - alpha)) tr(H^{-1} Sigma)`.

    Raises:
        ValueError: if `alpha lam_i` is not in (0, 2) for every mode.
    """
    modes, a = problem.modes, relative_steps(problem, alpha)
    return float(0.5 * np.sum(alpha * modes.noise / (2.0 - a)))


def averaged_risk(problem: StochasticQuadratic, alpha: float, steps: Steps) -> Risk:
    """Expected risk of `mean(theta_0, ..., theta_{k-1})` with a constant step (Polyak-Ruppert averaging).

        bias_i = u_i(0) (1 - rho_i^k) / (k alpha lam_i)
        var_i  = s_i / (k lam_i)^2 sum_{m=1}^{k-1} (1 - rho_i^m)^2
               = s_i / (k lam_i)^2 [(k-1) - 2 rho_i (1 - rho_i^{k-1}) / (1 - rho_i)
                                    + rho_i^2 (1 - rho_i^{2(k-1)}) / (1 - rho_i^2)]
        E h(mean) = 1/2 sum_i lam_i (bias_i^2 + var_i)

    The bracket cancels to `(k alpha lam_i)^2` of its terms; small `k alpha lam_i` takes the sum's power series instead.

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
    modes, a = problem.modes, relative_steps(problem, alpha)
    mean = np.stack([modes.start * _lost(a, number) / (number * a) for number in k.astype(float)], axis=1)
    sums = np.stack([_sum_of_squares(a, number - 1) / number**2 for number in k.astype(float)], axis=1)
    variance = (modes.noise / modes.lam**2)[:, None] * sums
    return Risk(0.5 * modes.lam @ mean**2, 0.5 * modes.lam @ variance)


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
    relative_steps(problem, alpha)
    vector = problem.preconditioner @ problem.error
    squared = float(vector @ np.linalg.solve(problem.hessian, vector))
    return squared / 2.0 / (step_numbers(steps, least=1) * float(alpha)) ** 2


def averaged_bias_bounds(problem: StochasticQuadratic, alpha: float, steps: Steps) -> Float[np.ndarray, "3 k"]:
    """Three bounds on the bias of the averaged iterate; it is below their minimum at every `k`.

    In this order: `|H^{-1/2} B d|^2 / (2 k^2 alpha^2)`, `|B^{1/2} d|^2 / (2 k alpha)` and `|H^{1/2} d|^2 / 2`, with
    `d = theta_0 - theta*`. The reason, mode by mode, is `(1 - rho^k) / (k alpha lam) <= min(1 / (k alpha lam), 1)` for
    `0 <= rho < 1`.

    Raises:
        ValueError: unless `0 < alpha lam_i <= 1` for every mode (oscillating modes exceed the bounds), or if `k < 1`.
    """
    if not alpha * problem.modes.lam[-1] <= 1.0 + 1e-12:
        raise ValueError(
            f"the bounds need alpha lam_max <= 1, got {alpha * problem.modes.lam[-1]:.4g}; "
            f"take alpha <= {1 / problem.modes.lam[-1]:.4g}"
        )
    k = step_numbers(steps, least=1)
    second = float(problem.error @ problem.preconditioner @ problem.error) / (2.0 * k * float(alpha))
    return np.stack([averaged_bias_asymptote(problem, alpha, k), second, np.full(k.shape, problem.initial_risk)])


def relative_steps(problem: StochasticQuadratic, alpha: float) -> Float[np.ndarray, " n"]:
    """`alpha lam_i`; the mean iteration has the factors `rho_i = 1 - alpha lam_i`.

    Raises:
        ValueError: if `alpha lam_i` is not in (0, 2) for every mode: the iteration diverges or stands still.
    """
    lam = problem.modes.lam
    if not (alpha > 0.0 and alpha * lam[-1] < 2.0):
        raise ValueError(
            f"the iteration needs 0 < alpha lam_i < 2, got alpha={alpha} with lam in [{lam[0]:.4g}, {lam[-1]:.4g}]; "
            f"take 0 < alpha < {2 / lam[-1]:.4g}"
        )
    return alpha * lam


def step_numbers(steps: Steps, least: int) -> Int[np.ndarray, " k"]:
    """The numbers of steps as an integer array.

    Raises:
        TypeError: if they are no numbers.
        ValueError: if one is below `least` or not whole.
    """
    k = real_array("steps", steps)
    if k.ndim != 1 or not (k.min() >= least and (k % 1 == 0).all() and k.max() < 2**53):
        raise ValueError(f"steps must be a non-empty list of integers >= {least}, got {steps}")
    return k.astype(np.int64)


def _log_factor(a: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """`log |1 - a|` for `0 < a < 2`, to rounding at both ends."""
    with np.errstate(divide="ignore"):
        return np.log1p(-np.minimum(a, 2.0 - a))


def _lost(a: Float[np.ndarray, " n"], k: float) -> Float[np.ndarray, " n"]:
    """`1 - (1 - a)^k` for whole `k >= 0` and `0 < a < 2`, accurate for small `k a` too."""
    if k == 0:
        return np.zeros_like(a)
    small = -np.expm1(k * _log_factor(a))
    return np.where((a > 1.0) & (k % 2 == 1), 2.0 - small, small)


def _sum_of_squares(a: Float[np.ndarray, " n"], k: float) -> Float[np.ndarray, " n"]:
    """`sum_{m=1}^k (1 - (1 - a)^m)^2`: a geometric sum, or for small `k a` its power series in `-log(1 - a)`."""
    rho = 1.0 - a
    closed = k - 2.0 * rho * _lost(a, k) / a + rho**2 * _lost(a, 2.0 * k) / (a * (2.0 - a))
    gentle = k * a < 0.5
    rate = -np.log1p(-np.where(gentle & (a < 1.0), a, 0.0))
    # (1 - e^{-u})^2 = sum_j (-1)^j (2^j - 2) u^j / j!, and sums of powers of m by Faulhaber's formula
    terms = [
        (-1.0) ** j * (2.0**j - 2.0) / math.factorial(j) * (k * rate) ** j * _power_mean(k, j) for j in range(2, 26)
    ]
    return np.where(gentle & (a < 1.0), k * np.sum(terms, axis=0), closed)


def _power_mean(k: float, power: int) -> float:
    """`mean_{m=1..k} (m / k)^power`, also for `k` that no loop reaches."""
    if k <= 64:
        return float(np.mean((np.arange(1, int(k) + 1) / max(k, 1.0)) ** power)) if k else 0.0
    bernoulli = scipy.special.bernoulli(power)
    bernoulli[1] = 0.5  # the sum includes m = k
    return math.fsum(math.comb(power + 1, i) * bernoulli[i] / k**i for i in range(power + 1)) / (power + 1)
