"""Natural gradient flow of a logistic linear predictor with more samples than dimensions (`N > d`): Legendre form.

The Fisher matrix is the Hessian of the loss, so `g' = -F F^+ g = -g`: the gradient decays as `g(t) = e^{-t} g(0)` for
all `N`, `d`, separable or not. When `X` has rank `d` the loss is strictly convex, and `w(t)` is the one point with that
gradient, the minimiser of `L(w) - e^{-t} g(0).w`. Newton's method solves this at times at which the ODE is hopeless.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from ntkng.inductive_bias.logistic import LogisticProblem
from ntkng.ode import validate_times

__all__ = ["gradient_law", "legendre_flow"]

LARGEST_STEP = 0.5  # of the continuation in t
ITERATIONS = 20


def gradient_law(
    problem: LogisticProblem, w0: Float[np.ndarray, " d"], t: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T d"]:
    """`g(t) = e^{-t} g(0)`, the gradient along the natural gradient flow with the pseudo-inverse; any `N`, `d`."""
    return np.exp(-validate_times(t))[:, None] * problem.gradient(problem.weights(w0))


def legendre_flow(
    problem: LogisticProblem, w0: Float[np.ndarray, " d"], t: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T d"]:
    """`w(t) = argmin_w L(w) - e^{-t} g(0).w`, by Newton's method continued in `t` from `w(0)`.

    Separable data: `w(t)` diverges along the direction given by `limit_direction`. Otherwise it tends to the maximum
    likelihood estimate.

    Raises:
        ValueError: `X` does not have rank `d` (then `w(t)` is not determined by its gradient; for `N <= d` use
            `interpolating_flow`).
        RuntimeError: Newton's method did not converge.
    """
    w, times = problem.weights(w0).copy(), validate_times(t)
    if problem.rank < problem.X.shape[1]:
        raise ValueError(
            f"the Legendre form needs inputs of rank d, got d = {problem.X.shape[1]}, rank {problem.rank}; for N <= d "
            "use interpolating_flow"
        )
    g0 = problem.gradient(w)
    ordered, place = np.unique(times, return_inverse=True)
    path, now = np.empty((ordered.size, w.size)), 0.0
    for k, time in enumerate(ordered):
        steps = int(np.ceil((time - now) / LARGEST_STEP))
        for target in np.linspace(now, time, steps + 1)[1:]:
            w = _newton(problem, w - _hessian_solve(problem, w, problem.gradient(w)) * (target - now), target, g0)
            now = target
        path[k] = w
    return path[place]


def _newton(problem: LogisticProblem, w: np.ndarray, t: float, g0: np.ndarray) -> np.ndarray:
    """Minimise `L(w) - e^{-t} g0.w`; everything is scaled by `e^t`, so that late times are no harder than early ones."""
    change, scale = np.inf, 1.0
    for _ in range(ITERATIONS):
        step = _hessian_solve(problem, w, problem.gradient(w) - np.exp(-t) * g0)
        # the residuals may change by the factor e^{|z.step|}: a bounded change of the margins keeps Newton stable
        change, scale = np.abs(problem.signed @ step).max(), 1 + np.abs(problem.signed @ w).max()
        w = w - step / max(1.0, change)
        if change < 1e-14 * scale:
            break
    if change > 1e-9 * scale:  # in between, rounding of an ill-conditioned Hessian keeps the last digits moving
        raise RuntimeError(f"Newton's method did not converge at t = {t:.4g} (last change of a margin {change:.3g})")
    return w


def _hessian_solve(problem: LogisticProblem, w: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`F(w)^{-1} v` from a QR factorisation of `S^{1/2} X`, whose condition is the square root of that of `F`."""
    m = problem.margins(w)
    root = np.sqrt(expit(m) * expit(-m))[:, None] * problem.X
    scale = np.abs(root).max()
    R = np.asarray(np.linalg.qr(root / scale, mode="r"))
    return len(m) * np.linalg.solve(R, np.linalg.solve(R.T, v / scale**2))
