"""Natural gradient flow of a logistic linear predictor with more samples than dimensions (`N > d`): Legendre form.

The Fisher matrix is the Hessian of the loss, so `g' = -F F^+ g = -g`: the gradient decays as `g(t) = e^{-t} g(0)` for
all `N`, `d`, separable or not. When `X` has rank `d` the loss is strictly convex, and `w(t)` is the one point with that
gradient, the minimiser of `L(w) - e^{-t} g(0).w`. Newton's method solves this at times at which the ODE is hopeless.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_expit

from ntkng.inductive_bias.logistic import LogisticProblem, log_losses
from ntkng.ode import validate_times
from ntkng.scaled_rows import equilibrated, sorted_qr

__all__ = ["gradient_law", "legendre_flow"]

LARGEST_STEP = 0.5  # of the continuation in t
ITERATIONS = 40  # besides those that bring margins near, at most 1 at a time
GUESS = 1e-3  # relative change of a margin that is good enough between the times that were asked for
FLAT = 350.0  # natural logarithm


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
        RuntimeError: Newton's method did not converge, or the margins of `w(0)` are beyond float64 (above about 1400).
    """
    w0, times = problem.weights(w0), validate_times(t)
    if problem.rank < problem.X.shape[1]:
        raise ValueError(
            f"the Legendre form needs inputs of rank d, got d = {problem.X.shape[1]}, rank {problem.rank}; for N <= d "
            "use interpolating_flow"
        )
    Z, rows, columns = equilibrated(problem.signed)
    newton = _Newton(Z, rows, problem.margins(w0))
    ordered, place = np.unique(times, return_inverse=True)
    path, now, v = np.empty((ordered.size, w0.size)), 0.0, w0 / columns
    for k, time in enumerate(ordered):
        steps = int(np.ceil((time - now) / LARGEST_STEP))
        for target in np.linspace(now, time, steps + 1)[1:]:
            guess = newton.move(v, newton.velocity(v) * (target - now), target)[0]
            v = newton.solve(guess, target, 1e-14 if target == time else GUESS)
            now = target
        path[k] = columns * v if time else w0
    return path[place]


@dataclasses.dataclass(frozen=True)
class _Newton:
    """Newton's method for `sum_n z_n (r_n(w) - e^{-t} r_n(0)) = 0`, by least squares with the rows `S^{1/2} z_n`.

    The residuals of one point may differ by hundreds of orders of magnitude. Their sum would only keep the largest, so
    it is never formed: rows and right-hand side are scaled from logarithms, and QR with sorted rows keeps the digits of
    each.

    Attributes:
        Z: signed inputs with scaled rows and columns.
        rows: the scales of the rows.
        initial: margins of `w(0)`.
    """

    Z: np.ndarray
    rows: np.ndarray
    initial: np.ndarray

    def margins(self, v: np.ndarray) -> np.ndarray:
        return self.Z @ v / self.rows

    def potential(self, v: np.ndarray, t: float) -> float:
        """`N e^t (L(w) - e^{-t} g(0).w)`, of which the flow's weights are the minimum."""
        m = self.margins(v)
        with np.errstate(over="ignore"):
            return float(np.exp(t + log_losses(m)).sum() + expit(-self.initial) @ m)

    def move(self, v: np.ndarray, step: np.ndarray, t: float) -> tuple[np.ndarray, float]:
        """`v + step`, and the largest relative change of a margin.

        A step that changes a margin by more than 1 and does not lower the potential is shortened to change none by more.
        Residuals then change at most by the factor `e`, and every such step of Newton's method lowers the potential.
        """
        with np.errstate(invalid="ignore"):
            change = np.abs(self.margins(step))
        if not np.isfinite(change).all():
            raise RuntimeError(
                f"margins of up to {np.abs(self.margins(v)).max():.3g} make residuals that float64 does not hold; start "
                "closer to 0"
            )
        relative, longest = float((change / (1 + np.abs(self.margins(v)))).max()), change.max()
        if longest > 1 and not self.potential(v + step, t) < self.potential(v, t):
            step = step / longest
        return v + step, relative

    def velocity(self, v: np.ndarray) -> np.ndarray:
        """`dw/dt = F^+ (-g)`."""
        m = self.margins(v)
        return self._least_squares(m, lambda shift: np.exp(log_expit(-m) + shift))

    def solve(self, v: np.ndarray, t: float, tolerance: float) -> np.ndarray:
        """The weights at the time `t`, from a guess, up to a last relative change of a margin."""
        change = np.inf
        for _ in range(ITERATIONS + 4 * int(np.abs(self.margins(v)).max() + t)):
            m, before = self.margins(v), change
            v, change = self.move(v, self._least_squares(m, functools.partial(self._excess, m, t)), t)
            if change < tolerance or before / 2 <= change < 1e-9:  # here only rounding keeps the last digits moving
                break
        if not change <= max(1e-9, tolerance):
            raise RuntimeError(
                f"Newton's method did not converge at t = {t:.4g} (last change of a margin {change:.3g})"
            )
        return v

    def _excess(self, m: np.ndarray, t: float, shift: np.ndarray) -> np.ndarray:
        """`(r - e^{-t} r(0)) e^shift`, without cancellation at early times."""
        log_r, log_r0 = log_expit(-m), log_expit(-self.initial)
        if t > 1:
            return np.exp(log_r + shift) - np.exp(log_r0 - t + shift)
        fitted = np.exp(log_expit(self.initial) + shift) - np.exp(log_expit(m) + shift)  # r - r(0), for r near 1
        moved = np.where((m < 0) & (self.initial < 0), fitted, np.exp(log_r + shift) - np.exp(log_r0 + shift))
        return moved - np.expm1(-t) * np.exp(log_r0 + shift)

    def _least_squares(self, m: np.ndarray, excess: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """`(Z^T S Z)^{-1} Z^T excess`, `S = diag(r (1 - r))`."""
        root = (log_expit(m) + log_expit(-m)) / 2
        logs = root - np.log(self.rows)  # of S^{1/2}, for the rows of the caller's Z
        top = logs.max()
        near = logs > top - FLAT  # the curvature of the others is far below rounding; only their residuals count
        A = np.exp(logs[near] - top)[:, None] * self.Z[near]
        order, Q, R, pivots = sorted_qr(A)
        if R.shape[0] < R.shape[1] or not np.diag(R).all():
            return np.full(R.shape[1], np.inf)
        with np.errstate(over="ignore", invalid="ignore"):
            right = Q.T @ excess(-root - top)[near][order]
            if not near.all():
                rest = excess(-np.log(self.rows) - 2 * top)[~near] @ self.Z[~near]
                right = right + np.linalg.solve(R.T, rest[pivots])
            step = np.empty(len(pivots))
            step[pivots] = np.linalg.solve(R, right)
        return step
