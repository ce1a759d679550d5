"""Expected risk of stochastic iterations with steps `c / (k + a)`."""

from __future__ import annotations

import numpy as np

from ntkng.perspectives.constant_step import Steps, step_numbers
from ntkng.perspectives.quadratic import Risk, StochasticQuadratic

__all__ = ["efficient_risk", "harmonic_step_constant", "harmonic_step_exponent", "harmonic_step_risk"]


def efficient_risk(problem: StochasticQuadratic, a: float, steps: Steps) -> Risk:
    """Expected risk for `alpha_k = 1 / (k + a)`, `k = 0, 1, ...`, and the exact curvature `B = H` (Martens 2020).

        E h_k = tr(H^{-1} Sigma) k / (2 (k + a - 1)^2) + h_0 ((a - 1) / (k + a - 1))^2

    For `a = 1` this is `tr(H^{-1} Sigma) / (2k)`, which no unbiased estimator from `k` samples beats when
    `Sigma = H = F` (Fisher efficiency, `n / (2k)`).

    Args:
        problem: its preconditioner must be its Hessian.
        a: offset, `a >= 1`.
        steps: numbers of steps, `k >= 1`.

    Raises:
        ValueError: if `B != H`, `a < 1` or `k < 1`.
    """
    k = step_numbers(steps, least=1)
    gap = np.max(np.abs(problem.modes.lam - 1.0))
    if not gap <= 1e-9:
        raise ValueError(f"this closed form needs B = H, got max |lam - 1| = {gap:.3g}; use harmonic_step_risk")
    if not a >= 1.0:
        raise ValueError(f"a must be at least 1 so that no step overshoots, got {a}")
    denominator = (k + float(a) - 1.0) ** 2
    return Risk(
        problem.initial_risk * (float(a) - 1.0) ** 2 / denominator, problem.noise_to_curvature * k / (2.0 * denominator)
    )


def harmonic_step_risk(problem: StochasticQuadratic, c: float, a: float, steps: Steps) -> Risk:
    """Expected risk for `alpha_k = c / (k + a)`, `k = 0, 1, ...`, and any preconditioner.

    Computed by the exact recursion

        bias_i  <- (1 - alpha_k lam_i) bias_i,
        var_i   <- (1 - alpha_k lam_i)^2 var_i + alpha_k^2 s_i,
        E h_k    = 1/2 sum_i lam_i (bias_i^2 + var_i).

    Args:
        problem: quadratic, noise and preconditioner.
        c: scale of the steps, positive.
        a: offset, positive.
        steps: numbers of steps, `k >= 0`; the cost grows with the largest.

    Raises:
        ValueError: if `c` or `a` is not positive, or a step number is negative.
    """
    _check_schedule(c, a)
    k = step_numbers(steps, least=0)
    modes, wanted = problem.modes, set(k.tolist())
    bias, variance = modes.start.copy(), np.zeros_like(modes.start)
    seen = {0: (bias, variance)}
    for step in range(int(k.max())):
        alpha = c / (step + a)
        rho = 1.0 - alpha * modes.lam
        bias, variance = rho * bias, rho**2 * variance + alpha**2 * modes.noise
        if step + 1 in wanted:
            seen[step + 1] = (bias, variance)
    mean, spread = (np.stack([seen[step][part] for step in k.tolist()]) for part in (0, 1))
    return Risk(0.5 * mean**2 @ modes.lam, 0.5 * spread @ modes.lam)


def harmonic_step_constant(problem: StochasticQuadratic, c: float) -> float:
    """The limit of `k E h_k` for steps `c / (k + a)`: `1/2 sum_i lam_i c^2 s_i / (2 c lam_i - 1)`.

    It does not depend on `a` or the start. It is smallest, `tr(H^{-1} Sigma) / 2`, at `c lam_i = 1` for all `i`, which
    only `B` proportional to `H` reaches: here, unlike under averaging, curvature changes the constant.

    Raises:
        ValueError: unless `2 c lam_min > 1`; otherwise `E h_k` decays more slowly than `1/k`, see
            `harmonic_step_exponent`.
    """
    _check_schedule(c, 1.0)
    modes = problem.modes
    if not 2.0 * c * modes.lam[0] > 1.0:
        raise ValueError(
            f"k E h_k has a limit only if 2 c lam_min > 1, got {2 * c * modes.lam[0]:.4g}; "
            f"take c > {0.5 / modes.lam[0]:.4g}, or use harmonic_step_exponent"
        )
    return float(0.5 * np.sum(modes.lam * c**2 * modes.noise / (2.0 * c * modes.lam - 1.0)))


def harmonic_step_exponent(problem: StochasticQuadratic, c: float) -> float:
    """The `p` of `E h_k ~ k^{-p}` for steps `c / (k + a)`: `min(1, 2 c lam_min)`.

    Raises:
        ValueError: if `c` is not positive, or `2 c lam_min = 1`, where the decay is `log(k) / k`, not a power.
    """
    _check_schedule(c, 1.0)
    slowest = 2.0 * c * problem.modes.lam[0]
    if abs(slowest - 1.0) < 1e-9:
        raise ValueError("at 2 c lam_min = 1 the decay is log(k)/k, not a power of k; choose another c")
    return min(1.0, float(slowest))


def _check_schedule(c: float, a: float) -> None:
    if not (c > 0.0 and a > 0.0):
        raise ValueError(f"steps c / (k + a) need c > 0 and a > 0, got c={c}, a={a}")
