"""What the empirical Fisher does as a preconditioner (Martens 2020, section on the empirical Fisher).

On `h = theta^2 / 2`, one sample with gradient `theta`, the empirical Fisher is `theta^2` while the Fisher is 1. The
preconditioner `(theta^2)^xi` gives the map

    theta <- theta - alpha theta |theta|^{-2 xi},

of which `xi = 1` is the empirical Fisher, `xi = 1/2` its square root as in diagonal adaptive methods, `xi = 0` the
true Fisher. `theta = +- (alpha/2)^{1/(2 xi)}` is a 2-cycle of every `xi > 0` with multiplier `(4 xi - 1)^2` over the
cycle: it attracts for `0 < xi < 1/2`, is neutral at 1/2 (each orbit ends in a 2-cycle of its own, inside
`|theta| <= alpha`), and repels above. For `xi = 1` the scaled map is Boole's, `x -> x - 1/x`, which preserves Lebesgue
measure and is ergodic: its orbits wander over the whole line for ever.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.validation import positive_integer, real_array

__all__ = ["cycle_amplitude", "cycle_multiplier", "empirical_fisher_direction", "power_orbit"]


def power_orbit(
    start: Float[np.ndarray, "..."] | float, alpha: float, xi: float, steps: int
) -> Float[np.ndarray, "steps+1 ..."]:
    """Iterates of `theta <- theta - alpha theta |theta|^{-2 xi}` on `h = theta^2 / 2`, start included.

    Args:
        start: `theta_0`, any number of independent starts; none may be zero when `xi > 0`.
        alpha: step size, positive.
        xi: power of the empirical Fisher, `>= 0`.
        steps: number of steps.

    Raises:
        ValueError: if `alpha <= 0`, `xi < 0`, or a start is zero or a step lands there, where the preconditioner is singular.
    """
    _check(alpha, xi, least=0.0)
    theta = real_array("start", start).astype(float)
    orbit = np.empty((positive_integer("steps + 1", steps + 1), *theta.shape))
    orbit[0] = theta
    for k in range(steps):
        if xi > 0 and np.any(theta == 0.0):
            where = "the start is" if k == 0 else f"step {k} lands at"
            raise ValueError(f"the empirical Fisher is singular at theta = 0, and {where} theta = 0; start elsewhere")
        # |theta|^{1 - 2 xi} in one power: no division of tiny by tiny
        with np.errstate(over="ignore"):
            theta = theta - alpha * np.sign(theta) * np.abs(theta) ** (1.0 - 2.0 * xi)
        if not np.all(np.isfinite(theta)):
            raise ValueError(
                f"step {k + 1} leaves the range of floats, from |theta| = {np.abs(orbit[k]).min():.3g}; take fewer steps"
            )
        orbit[k + 1] = theta
    return orbit


def cycle_amplitude(alpha: float, xi: float) -> float:
    """Amplitude `(alpha / 2)^{1 / (2 xi)}` of the symmetric 2-cycle.

    It solves `r - alpha r^{1 - 2 xi} = -r`.

    Raises:
        ValueError: if `alpha <= 0` or `xi <= 0` (the true Fisher has no cycle below `alpha = 2`).
    """
    _check(alpha, xi, least=np.finfo(float).tiny)
    return float((alpha / 2.0) ** (1.0 / (2.0 * xi)))


def cycle_multiplier(xi: float) -> float:
    """Derivative of the twice-applied map on the 2-cycle, `(4 xi - 1)^2`; the cycle attracts where it is below 1.

    One step has the derivative `1 - alpha (1 - 2 xi) |theta|^{-2 xi} = 4 xi - 1` there, whatever `alpha` and the sign.

    Raises:
        ValueError: if `xi <= 0`.
    """
    _check(1.0, xi, least=np.finfo(float).tiny)
    return (4.0 * xi - 1.0) ** 2


def empirical_fisher_direction(
    jacobian: Float[np.ndarray, "N P"], residual: Float[np.ndarray, " N"], *, rcond: float = 1e-12
) -> Float[np.ndarray, " P"]:
    """`-EF^+ grad` of a model with one output: `-A^+ 1` with `A = diag(e) J`, as `EF = A^T A / N`, `grad = A^T 1 / N`.

    If `J` has full row rank, the outputs move by `f' = -1/e` (see `ntkng.function_space_flow.EmpiricalFisher`), the
    opposite of isotropy: the smaller a residual, the faster it moves, and `e_n^2 = e_n(0)^2 - 2t`.

    Args:
        jacobian: `df/dtheta`, full row rank.
        residual: `e = mu - y`, no entry zero.
        rcond: singular values of `A` below this times the largest are refused.

    Raises:
        ValueError: if `diag(e) J` has not full row rank.
    """
    matrix, errors = real_array("jacobian", jacobian, 2), real_array("residual", residual, 1)
    if len(errors) != len(matrix):
        raise ValueError(
            f"residual must have one entry for each of the {len(matrix)} rows of jacobian, got {len(errors)}"
        )
    matrix = errors[:, None] * matrix
    values = np.linalg.svd(matrix, compute_uv=False)
    if matrix.shape[0] > matrix.shape[1] or not values[-1] > rcond * values[0]:
        raise ValueError(
            f"diag(e) J of shape {matrix.shape} has not full row rank (smallest singular value "
            f"{values[-1]:.3g}, largest {values[0]:.3g}); use more parameters or drop fitted samples"
        )
    return -np.linalg.lstsq(matrix, np.ones(matrix.shape[0]), rcond=None)[0]


def _check(alpha: float, xi: float, least: float) -> None:
    if not alpha > 0.0:
        raise ValueError(f"alpha must be positive, got {alpha}")
    if not xi >= least:
        raise ValueError(f"xi must be {'positive' if least else 'at least 0'}, got {xi}")
