"""Damping and trust regions: Tikhonov against a ball, the KL ball, and what damping does in function space."""

from __future__ import annotations

import numpy as np
import scipy.optimize
from jaxtyping import Float

from ntkng.families import Family

__all__ = ["damped_step", "kl_ball_step", "kl_divergence", "mode_rates", "step_length", "trust_region_step"]


def damped_step(
    curvature: Float[np.ndarray, "P P"], gradient: Float[np.ndarray, " P"], damping: float
) -> Float[np.ndarray, " P"]:
    """Tikhonov-damped step `d = -(B + lam I)^{-1} g`.

    Args:
        curvature: `B`, symmetric.
        gradient: `g`.
        damping: `lam`, such that `B + lam I` is positive definite.

    Raises:
        ValueError: if `B + lam I` is not positive definite.
    """
    values, vectors = np.linalg.eigh(curvature)
    if values[0] + damping <= 0.0:
        raise ValueError(f"B + lam I must be positive definite; got lam={damping:.4g}, take lam > {-values[0]:.4g}")
    return -vectors @ ((vectors.T @ gradient) / (values + damping))


def step_length(curvature: Float[np.ndarray, "P P"], gradient: Float[np.ndarray, " P"], damping: float) -> float:
    """`r(lam) = |(B + lam I)^{-1} g|`, strictly decreasing in `lam`: damping is a trust-region radius read backwards.

    Raises:
        ValueError: if `B + lam I` is not positive definite.
    """
    return float(np.linalg.norm(damped_step(curvature, gradient, damping)))


def trust_region_step(
    curvature: Float[np.ndarray, "P P"], gradient: Float[np.ndarray, " P"], radius: float
) -> tuple[Float[np.ndarray, " P"], float]:
    """Minimiser of `g.d + d^T B d / 2` over `|d| <= r`, and its multiplier.

    `d` solves the problem if and only if `(B + lam I) d = -g`, `lam >= 0`, `lam (r - |d|) = 0` and `B + lam I` is
    positive semi-definite: the trust region is Tikhonov damping with the right `lam`, found here on `1/r - 1/r(lam)`.

    Args:
        curvature: `B`, symmetric; it may be indefinite.
        gradient: `g`, not zero.
        radius: `r > 0`.

    Returns:
        The step and `lam` (zero when the unconstrained minimiser lies inside).

    Raises:
        ValueError: if the radius is not positive, the gradient is zero, or in the hard case (indefinite `B`, no
            gradient along its lowest eigenvector), where the minimiser is not unique.
    """
    if not radius > 0.0:
        raise ValueError(f"radius must be positive, got {radius}")
    if not np.any(gradient):
        raise ValueError("the gradient is zero; there is nothing to step along")
    lowest = float(np.linalg.eigvalsh(curvature)[0])
    scale = float(np.linalg.norm(curvature, 2)) + float(np.linalg.norm(gradient)) / radius
    if lowest > 1e-14 * scale and step_length(curvature, gradient, 0.0) <= radius:
        return damped_step(curvature, gradient, 0.0), 0.0
    least = max(0.0, -lowest) + 1e-14 * scale
    if step_length(curvature, gradient, least) < radius:
        raise ValueError(
            f"hard case: |(B + lam I)^-1 g| stays below r={radius:.4g} down to the smallest admissible lam, as the "
            "gradient has no part along the lowest eigenvector of B; the minimiser is not unique"
        )
    # r(lam) <= |g| / (lam + lowest): beyond this bracket the step is too short
    most = float(np.linalg.norm(gradient)) / radius - min(lowest, 0.0) + scale
    damping = scipy.optimize.brentq(
        lambda lam: 1.0 / radius - 1.0 / step_length(curvature, gradient, lam), least, most, xtol=1e-300
    )
    return damped_step(curvature, gradient, float(damping)), float(damping)  # type: ignore[arg-type]


def kl_ball_step(
    fisher: Float[np.ndarray, "P P"], gradient: Float[np.ndarray, " P"], radius: float
) -> Float[np.ndarray, " P"]:
    """Steepest descent in the ball `KL = 1/2 d^T F d <= eps`: `d = -sqrt(2 eps / (g^T F^{-1} g)) F^{-1} g`.

    Args:
        fisher: `F`, positive definite.
        gradient: `g`, not zero.
        radius: `eps > 0`, in nats (averaged over the samples, like `F`).

    Raises:
        ValueError: if `F` is not positive definite, `g` is zero or `eps <= 0`.
    """
    if not (radius > 0.0 and np.any(gradient)):
        raise ValueError(f"the KL ball needs eps > 0 and a non-zero gradient, got eps={radius}")
    direction = damped_step(fisher, gradient, 0.0)
    return float(np.sqrt(2.0 * radius / -(gradient @ direction))) * direction


def kl_divergence(family: Family, f: Float[np.ndarray, "N C"], other: Float[np.ndarray, "N C"]) -> float:
    """`KL(p(.|f) || p(.|other))`, averaged over the samples: the Bregman divergence of the log-partition function.

    For a canonical family it is `loss(other, mu(f)) - loss(f, mu(f))`, exactly.
    """
    mean = family.mean(f)
    return float(family.loss(other, mean) - family.loss(f, mean))


def mode_rates(eigenvalues: Float[np.ndarray, " NC"], damping: float) -> Float[np.ndarray, " NC"]:
    """Decay rates `theta_i / (theta_i + lam)` of the modes of `Theta = J J^T` under damped Gauss-Newton flow (MSE).

    From `J (J^T J + lam I)^{-1} J^T = Theta (Theta + lam I)^{-1}`, with the unnormalised `G = J^T J`. All rates are 1
    for `lam -> 0` (isotropic) and proportional to `theta_i` for `lam -> infinity` (gradient descent). A damping `rho`
    of the Fisher `J^T J / N` is `lam = N rho`, see `ntkng.function_space_flow.Damped`.

    Raises:
        ValueError: if an eigenvalue or `lam` is negative, or a mode has neither (`0/0`).
    """
    theta = np.asarray(eigenvalues, dtype=np.float64)
    if damping < 0.0 or np.any(theta < 0.0) or np.any(theta + damping == 0.0):
        raise ValueError(
            f"need eigenvalues >= 0, damping >= 0 and not both zero, got {theta.min():.4g} and {damping:.4g}"
        )
    return theta / (theta + damping)
