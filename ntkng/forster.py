r"""Forster's transform (radial isotropic position): inputs of low dimension on which K-FAC stays isotropic.

With fewer input dimensions than samples, `d < N`, the input Gram `A_0` of the first layer is singular, and its projector
`P_A = X X^+` (the hat matrix) replaces the identity: with the backward Gram `B_1` nonsingular, the first layer's part of
K-FAC's preconditioned kernel is `N diag(P_A)`, diagonal with the leverages of the samples, and isotropic only where all
leverages are equal, to `d/N`. An invertible `R` takes the data there:

    z_n = R x_n / |R x_n|,     sum_n z_n z_n^T = (N/d) I.

Then `P_A = (d/N) Z Z^T` has the diagonal `d/N`, the first layer contributes `d I`, and `alpha = N (L - 2) + d + 1` instead of
`N (L - 1) + 1` (Karakida and Osawa 2020, section 4.3 and its appendix on K-FAC; no bias). `KFAC(singular="pseudo-inverse")`
uses `P_A`, and finds this `alpha` from the leverages.

`R` minimises the geodesically convex potential of `A = R^T R` (Tyler's M-estimator of shape)

    Phi(A) = (1/N) sum_n log x_n^T A x_n - (1/d) log det A,

here by Newton steps `R <- exp(S/2) R`, `H[S] = -G`, with `G = Z^T Z / N - I/d` and
`H[S] = (M S + S M)/2 - Z^T diag(z_n^T S z_n) Z / N`, `M = Z^T Z / N`, solved by conjugate gradients. A minimum exists for points in
general position; it does not where more than `N d'/d` points lie in a `d'`-dimensional subspace (Forster 2002; Barthe 1998).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ntkng.direction import unit
from ntkng.short_repr import short_repr
from ntkng.validation import nonnegative, positive, real_array

STEPS = 200
LONGEST = 3.0  # spectral norm of a Newton step
DEGENERATE = 1e7  # condition number of R from which a subspace with too many points is looked for
ROUNDS = 4
EPSILON = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class ForsterTransform:
    """The map `x -> R x / |R x|`, to be fitted on training inputs and applied to any inputs.

    Attributes:
        matrix: `R`, `[d, M_0]`; the part of an input outside of the span of the training inputs is dropped.
        imbalance: `max |sum_n z_n z_n^T - (N/d) I|` over the entries, on the training inputs.
        steps: Newton steps that were taken.
    """

    matrix: Float[np.ndarray, "d M0"]
    imbalance: float
    steps: int

    __repr__ = short_repr

    @property
    def dimension(self) -> int:
        """`d`, the dimension of the span of the training inputs, and of the transformed inputs."""
        return len(self.matrix)

    def __call__(self, x: Float[np.ndarray, "N M0"]) -> Float[np.ndarray, "N d"]:
        """Transformed inputs, rows of norm 1.

        Raises:
            ValueError: inputs of another dimension, or orthogonal to all training inputs.
        """
        x = real_array("x", x, 2).astype(float)
        _refuse_zero((x == 0).all(axis=1), "input")
        if x.shape[1] != self.matrix.shape[1]:
            raise ValueError(f"x must have {self.matrix.shape[1]} columns as in training, got {x.shape[1]}")
        return _unit_rows(unit("x", x), self.matrix)[0]


def forster(
    x: Float[np.ndarray, "N M0"], *, tolerance: float = 1e-12, rank_tolerance: float | None = None
) -> ForsterTransform:
    """Fit the transform on training inputs of any rank `d`.

    Args:
        x: training inputs, none of them 0, of any lengths: only their directions count. They are projected on their span
            first.
        tolerance: bound on `|Z^T Z / N - I/d|` in the Frobenius norm, relative to `|I/d|`.
        rank_tolerance: singular values of the inputs below this times the largest one count as 0; `None` takes the inputs scaled
            to length 1 and `max(N, M_0)` times the machine epsilon. Raise it to drop directions that are noise.

    Raises:
        ValueError: an input that is 0; no such position exists, and the message names a subspace with too many points; or
            the tolerance was not reached, and the message says what was.
    """
    x = real_array("x", x, 2).astype(float)
    positive("tolerance", tolerance)
    _refuse_zero((x == 0).all(axis=1), "training input")
    kept = None if rank_tolerance is None else _main_directions(x, rank_tolerance)
    x = unit("x", x)  # only directions count
    matrix, steps, condition = _whitening(x, kept), 0, 1.0
    for _ in range(ROUNDS):  # again from the points as they come out, until rounding on the way there no longer shows
        points, noise = _unit_rows(x, matrix)
        reached = _distance(points)
        if reached < tolerance:
            return ForsterTransform(matrix, float(len(x) * np.abs(_gradient(points)).max()), steps)
        factor, more = _newton(points, tolerance, noise)
        if np.linalg.cond(factor) > DEGENERATE:  # perhaps a limit that is approached, not attained
            _refuse_heavy_subspace(points, factor, noise)
        matrix, steps, condition = factor @ matrix, steps + more, max(condition, float(np.linalg.cond(factor)))
    raise ValueError(
        f"no radial isotropic position found to {tolerance:.0e}: reached {reached:.1e} in {steps} steps (condition number "
        f"of R {condition:.1e}); the tolerance is below rounding, or the inputs are close to having more than N d'/d points "
        "in a subspace of dimension d': raise tolerance or rank_tolerance, remove near-duplicates, or add inputs"
    )


def _main_directions(x: np.ndarray, tolerance: float) -> np.ndarray:
    """Right singular vectors of the inputs as they are, `[d, M_0]`."""
    nonnegative("rank_tolerance", tolerance)
    _, values, right = np.linalg.svd(x / np.abs(x).max(), full_matrices=False)
    return right[: max(1, int((values > tolerance * values[0]).sum()))]


def _whitening(x: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """The map to coordinates in which the second moment of the inputs is the identity, `[d, M_0]`."""
    _, values, right = np.linalg.svd(x if kept is None else x @ kept.T, full_matrices=False)
    rank = int((values > max(x.shape) * EPSILON * values[0]).sum())
    return np.sqrt(len(x)) * (right[:rank] if kept is None else right[:rank] @ kept) / values[:rank, None]


def _newton(points: np.ndarray, tolerance: float, noise: float) -> tuple[np.ndarray, int]:
    """`R` for these points, and the steps taken; not always to the tolerance."""
    factor = np.eye(points.shape[1])
    for steps in range(STEPS + 1):  # noqa: B007
        moved = _unit_rows(points, factor)[0]
        if _distance(moved) < tolerance:
            break
        if np.linalg.cond(factor) > DEGENERATE:
            _refuse_heavy_subspace(points, factor, noise)
        factor = _exponential(_newton_step(moved, _gradient(moved)) / 2) @ factor
        factor /= np.linalg.norm(factor, 2)
    return factor, steps


def _distance(points: np.ndarray) -> float:
    """`|Z^T Z / N - I/d| / |I/d|`."""
    return float(np.linalg.norm(_gradient(points)) * np.sqrt(points.shape[1]))


def _unit_rows(x: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """`R x / |R x|` for inputs of length 1, and how far rounding of these inputs may have moved it."""
    rows = x @ matrix.T
    norms = np.linalg.norm(rows, axis=1)
    noise = (
        8 * EPSILON * np.linalg.norm(np.abs(x) @ np.abs(matrix).T, axis=1)
    )  # of the entries of x, and of the product
    _refuse_zero(norms <= noise, "input, projected on the span of the training inputs,")
    return rows / norms[:, None], float((noise / norms).max())


def _refuse_zero(zero: np.ndarray, what: str) -> None:
    if zero.any():
        raise ValueError(f"{what} {int(zero.argmax())} is 0 and has no direction; remove it")


def _gradient(points: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "d d"]:
    """`Z^T Z / N - I/d`."""
    return points.T @ points / len(points) - np.eye(points.shape[1]) / points.shape[1]


def _newton_step(points: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """`S` with `H[S] = -G`, by conjugate gradients, shortened until the potential falls along `exp(t S)`."""
    count, dimension = points.shape
    moment = points.T @ points / count

    def hessian(direction: np.ndarray) -> np.ndarray:
        moved = points @ direction
        squares = np.einsum("nd,nd->n", moved, points)
        half = moment @ direction
        return (half + half.T) / 2 - (points * squares[:, None]).T @ points / count

    relative = np.clip(np.linalg.norm(gradient) * np.sqrt(dimension), 1e-4, 0.1)  # not below what rounding allows
    step = _conjugate_gradients(hessian, -gradient, relative)
    step -= np.eye(dimension) * np.trace(step) / dimension  # a multiple of the identity moves nothing
    values, vectors = np.linalg.eigh(step)
    squares = (points @ vectors) ** 2
    slope = float(np.sum(gradient * step))
    length = min(1.0, LONGEST / max(np.abs(values).max(), 1e-300))
    while length > 1e-10:
        if np.log(squares @ np.exp(length * values)).mean() <= 1e-4 * length * slope + 1e-14:
            break
        length /= 2
    return length * step


def _conjugate_gradients(operator, right: np.ndarray, relative: float) -> np.ndarray:
    """Solution of `operator[S] = right`, positive semi-definite and consistent, to a relative residual."""
    solution, residual = np.zeros_like(right), right.copy()
    direction, square = residual.copy(), float(np.sum(residual**2))
    goal = relative**2 * square
    for _ in range(10 * len(right)):
        image = operator(direction)
        curvature = float(np.sum(direction * image))
        if curvature <= 1e-15 * float(np.sum(direction**2)):
            break  # flat to rounding: Phi does not change there
        length = square / curvature
        solution += length * direction
        residual -= length * image
        previous, square = square, float(np.sum(residual**2))
        if square <= goal:
            break
        direction = residual + square / previous * direction
    return solution if np.any(solution) else right


def _exponential(symmetric: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.exp(values)) @ vectors.T


def _refuse_heavy_subspace(points: np.ndarray, factor: np.ndarray, noise: float) -> None:
    """Raise where a subspace holds too many points: where `R` degenerates, it shrinks that subspace.

    What is near the shrunk directions is only a guess. The span of these points, by their singular values, is the
    subspace, and all points in it to rounding are counted.
    """
    count, dimension = points.shape
    directions = np.linalg.svd(factor)[2][::-1]  # smallest singular values first
    outside = np.sqrt(np.maximum(1 - np.cumsum((points @ directions.T) ** 2, axis=1), 0))
    for size in range(1, dimension):
        near = points[outside[:, size - 1] < 1e-3]
        if len(near) * dimension < count * size:
            continue
        _, values, right = np.linalg.svd(near, full_matrices=False)
        span = int((values > noise * np.sqrt(len(near))).sum())
        inside = np.linalg.norm(points - points @ right[:span].T @ right[:span], axis=1) <= 4 * noise
        if span < dimension and inside.sum() * dimension >= count * span:
            raise ValueError(_advice(inside, span, dimension))


def _advice(inside: np.ndarray, span: int, dimension: int) -> str:
    """What is wrong with so many inputs in a subspace, and which are the fewest to remove."""
    count, heavy = len(inside), int(inside.sum())
    surplus = (heavy * dimension - count * span) // (
        dimension - span
    ) + 1  # the others stay: d' (N - r) > d (heavy - r)
    others, members = np.flatnonzero(~inside).tolist(), np.flatnonzero(inside).tolist()
    if len(others) < surplus:
        fix = f"remove the {len(others)} inputs outside of it (such as {others}), which leaves {span} dimensions"
    else:
        fix = f"remove {surplus} of these inputs (such as {members[: min(surplus, 5)]})"
    return (
        f"no radial isotropic position exists: {heavy} of the {count} inputs lie in a subspace of dimension d' = {span} of "
        f"their {dimension}-dimensional span, expected fewer than N d'/d = {count * span / dimension:.4g}; {fix}, project "
        "the inputs on fewer dimensions (raise rank_tolerance), or add others"
    )
