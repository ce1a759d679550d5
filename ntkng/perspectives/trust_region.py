"""Damping and trust regions: Tikhonov against a ball, the KL ball, and what damping does in function space."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.optimize
from jaxtyping import Float

from ntkng.families import Family
from ntkng.perspectives.quadratic import require_symmetric
from ntkng.validation import real_array

DEFINITE = 1e-13  # of the largest eigenvalue: a smallest one below is rounding
ILL_CONDITIONED = 1e10

__all__ = ["damped_step", "kl_ball_step", "kl_divergence", "mode_rates", "step_length", "trust_region_step"]


def damped_step(
    curvature: Float[np.ndarray, "P P"], gradient: Float[np.ndarray, " P"], damping: float
) -> Float[np.ndarray, " P"]:
    """Tikhonov-damped step `d = -(B + lam I)^{-1} g`.

    Args:
        curvature: `B`, symmetric.
        gradient: `g`.
        damping: `lam`, such that `B + lam I` is positive definite: its smallest eigenvalue must exceed 1e-13 times the largest
            magnitude among the eigenvalues of `B`, below which it would be rounding.

    Raises:
        ValueError: if `B + lam I` is not positive definite.
    """
    values, vectors = _eigen(curvature)
    gradient = real_array("gradient", gradient, 1).astype(float)
    _check_length(gradient, values)
    rounding = _rounding(values)
    if not values[0] + damping > rounding:
        raise ValueError(
            f"B + lam I must be positive definite, got smallest eigenvalue {values[0]:.4g} with rounding errors of {rounding:.1g} "
            f"and lam={damping:.4g}; take lam > {max(rounding - values[0], 0.0):.4g}, or trust_region_step, which also solves "
            "singular and indefinite B"
        )
    condition = float((values[-1] + damping) / (values[0] + damping))
    if condition > ILL_CONDITIONED:
        warnings.warn(
            f"B + lam I has condition number {condition:.1e}: rounding errors in B (1e-16 relative) reach the step magnified by as much; "
            "use damping, or trust_region_step",
            stacklevel=2,
        )
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
    positive semi-definite: the trust region is Tikhonov damping with the right `lam`. In the eigenbasis of `B`, with
    `lam = max(0, -b_1) + mu` and gaps `e_i = b_i + max(0, -b_1)`, the secular equation

        1/r = 1 / |c / (e + mu)|,    c = V^T g,

    is solved for `mu`, which stays accurate relative to itself where `lam` is close to `-b_1` (the near hard case).
    Components of `g` in the eigenspace of `b_1` below `4 P eps |g|` are rounding and count as 0.

    Args:
        curvature: `B`, symmetric; it may be indefinite, or singular as an over-parametrised Fisher is: the step then is the
            shortest minimiser, where there is one inside.
        gradient: `g`, not zero.
        radius: `r > 0`.

    Returns:
        The step and `lam` (zero when the unconstrained minimiser lies inside).

    Raises:
        ValueError: if the radius is not positive, the gradient is zero, or in the hard case (indefinite `B`, no
            gradient along its lowest eigenvector), where the minimiser is not unique.
    """
    if not (radius > 0.0 and np.isfinite(radius)):
        raise ValueError(f"radius must be positive and finite, got {radius}")
    values, vectors = _eigen(curvature)
    gradient = real_array("gradient", gradient, 1).astype(float)
    _check_length(gradient, values)
    if not np.any(gradient):
        raise ValueError("the gradient is zero; there is nothing to step along")
    # units in which the largest entries are 1, so that nothing over- or underflows
    scale, unit = float(np.abs(values).max()) or 1.0, float(np.abs(gradient).max())
    values, c, r = values / scale, vectors.T @ (gradient / unit), float(radius / unit * scale)
    rounding = _rounding(values)
    base = -min(float(values[0]), 0.0) if abs(values[0]) > rounding else 0.0
    gaps = np.maximum(values + base, 0.0)
    is_lowest = gaps <= rounding
    gaps[is_lowest] = 0.0
    if is_lowest.any() and np.linalg.norm(c[is_lowest]) <= 4 * len(c) * np.finfo(float).eps * np.linalg.norm(c):
        c[is_lowest] = 0.0
    step, mu = _secular(gaps, c, r, is_indefinite=base > 0)
    return vectors @ step * (unit / scale), (base + mu) * scale


def _secular(gaps: np.ndarray, c: np.ndarray, radius: float, is_indefinite: bool) -> tuple[np.ndarray, float]:
    """`-c / (e + mu)` of length `radius` and `mu`, or the step at `mu = 0` where it is shorter and allowed."""
    norm = float(np.linalg.norm(c))

    def step(mu: float) -> np.ndarray:
        return np.divide(-c, gaps + mu, out=np.zeros_like(c), where=c != 0)

    lowest = float(np.linalg.norm(c[gaps == 0]))
    if lowest == 0:
        inner = float(np.linalg.norm(step(0.0)))
        if inner <= radius and not is_indefinite:
            return step(0.0), 0.0
        if inner < radius:
            raise ValueError(
                f"hard case: |(B + lam I)^-1 g| stays at {inner / radius:.4g} times the radius down to the smallest admissible lam, as "
                "the gradient has no part along the lowest eigenvector of B; the minimiser is not unique"
            )
    # |c| / (e_max + mu) <= |step| <= |c| / mu, and the lowest part alone is lowest / mu
    least, most = lowest / radius, norm / radius

    def excess(mu: float) -> float:
        return 1.0 / radius - 1.0 / float(np.linalg.norm(step(mu)))

    if not excess(least) > 0:  # to rounding the lowest part is all of the step
        return step(least), least
    if not excess(most) < 0:
        return step(most), most
    mu = float(scipy.optimize.brentq(excess, least, most, xtol=1e-300, rtol=4 * np.finfo(float).eps))  # type: ignore[arg-type]
    return step(mu), mu


def _eigen(curvature: Float[np.ndarray, "P P"]) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, "P P"]]:
    matrix = real_array("curvature", curvature, 2).astype(float)
    require_symmetric("curvature", matrix)
    return np.linalg.eigh(matrix)


def _check_length(gradient: np.ndarray, values: np.ndarray) -> None:
    if len(gradient) != len(values):
        raise ValueError(f"gradient must have {len(values)} entries as curvature has rows, got {len(gradient)}")


def _rounding(values: np.ndarray) -> float:
    """The size of eigenvalues that count as 0: matrices are formed with rounding errors of their own."""
    return DEFINITE * float(np.abs(values).max())


def kl_ball_step(
    fisher: Float[np.ndarray, "P P"], gradient: Float[np.ndarray, " P"], radius: float
) -> Float[np.ndarray, " P"]:
    """Steepest descent in the ball `KL = 1/2 d^T F d <= eps`: `d = -sqrt(2 eps / (g^T F^{-1} g)) F^{-1} g`.

    Args:
        fisher: `F`, positive definite.
        gradient: `g`, not zero.
        radius: `eps > 0`, in nats (averaged over the samples, like `F`).

    Raises:
        ValueError: if `F` is not positive definite (see `damped_step`; the Fisher of logits is singular along a common shift),
            `g` is zero or `eps <= 0`.
    """
    if not (radius > 0.0 and np.any(gradient)):
        raise ValueError(f"the KL ball needs eps > 0 and a non-zero gradient, got eps={radius}")
    direction = damped_step(fisher, gradient, 0.0)
    return float(np.sqrt(2.0 * radius / -(np.asarray(gradient) @ direction))) * direction


def kl_divergence(family: Family, f: Float[np.ndarray, "N C"], other: Float[np.ndarray, "N C"]) -> float:
    """`KL(p(.|f) || p(.|other))`, averaged over the samples: the Bregman divergence of the log-partition function.

    For a canonical family it is `loss(other, mu(f)) - loss(f, mu(f))`, here without that difference: never negative, and exact to
    rounding for close laws too.

    Raises:
        ValueError: logits of different shapes, or that are not finite.
    """
    return float(family.divergence(f, other))


def mode_rates(eigenvalues: Float[np.ndarray, " NC"], damping: float) -> Float[np.ndarray, " NC"]:
    """Decay rates `theta_i / (theta_i + lam)` of the modes of `Theta = J J^T` under damped Gauss-Newton flow (MSE).

    From `J (J^T J + lam I)^{-1} J^T = Theta (Theta + lam I)^{-1}`, with the unnormalised `G = J^T J`. All rates are 1
    for `lam -> 0` (isotropic) and proportional to `theta_i` for `lam -> infinity` (gradient descent). A damping `rho`
    of the Fisher `J^T J / N` is `lam = N rho`, see `ntkng.function_space_flow.Damped`.

    Raises:
        ValueError: if an eigenvalue or `lam` is negative, or a mode has neither (`0/0`).
    """
    theta = real_array("eigenvalues", eigenvalues, 1).astype(float)
    theta = np.where((theta < 0.0) & (theta >= -_rounding(theta)), 0.0, theta)  # a computed 0 may have either sign
    if not (damping >= 0.0 and np.all(theta >= 0.0) and np.all(theta + damping > 0.0)):
        raise ValueError(
            f"need eigenvalues >= 0, damping >= 0 and not both zero, got {theta.min():.4g} and {damping:.4g}"
        )
    return theta / (theta + damping)
