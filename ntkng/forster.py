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

from ntkng.validation import positive, real_array

STEPS = 200
LONGEST = 3.0  # spectral norm of a Newton step
DEGENERATE = 1e7  # condition number of R from which a subspace with too many points is looked for
INSIDE = 1e-8  # relative distance up to which a point counts as inside a subspace


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
        if x.shape[1] != self.matrix.shape[1]:
            raise ValueError(f"x must have {self.matrix.shape[1]} columns as in training, got {x.shape[1]}")
        return _unit_rows(x @ self.matrix.T)


def forster(
    x: Float[np.ndarray, "N M0"], *, tolerance: float = 1e-12, rank_tolerance: float | None = None
) -> ForsterTransform:
    """Fit the transform on training inputs of any rank `d`.

    Args:
        x: training inputs, none of them 0. They are projected on their span first.
        tolerance: bound on `|Z^T Z / N - I/d|` in the Frobenius norm, relative to `|I/d|`.
        rank_tolerance: singular values below this times the largest one count as 0; `None` takes
            `max(N, M_0)` times the machine epsilon. Raise it to drop directions that are noise.

    Raises:
        ValueError: an input that is 0, or no such position exists: the message names a subspace with too many points.
    """
    x = real_array("x", x, 2).astype(float)
    positive("tolerance", tolerance)
    whitened, basis = _whiten(x, rank_tolerance)
    factor = np.eye(whitened.shape[1])
    for steps in range(STEPS + 1):  # noqa: B007
        points = _unit_rows(whitened @ factor.T)
        gradient = _gradient(points)
        if np.linalg.norm(gradient) * np.sqrt(len(factor)) < tolerance:
            break
        if np.linalg.cond(factor) > DEGENERATE:
            _refuse_heavy_subspace(whitened, factor)
        step = _newton_step(points, gradient)
        factor = _exponential(step / 2) @ factor
        factor /= np.linalg.norm(factor, 2)
    else:
        _refuse_heavy_subspace(whitened, factor)
        raise ValueError(
            f"no radial isotropic position found to {tolerance:.0e} in {STEPS} steps (condition number of R "
            f"{np.linalg.cond(factor):.1e}); the inputs are close to having more than N d'/d points in a subspace of "
            "dimension d': raise rank_tolerance, remove near-duplicates, or add inputs"
        )
    if np.linalg.cond(factor) > DEGENERATE:  # a limit that is approached, not attained
        _refuse_heavy_subspace(whitened, factor)
    matrix = factor @ basis
    points = _unit_rows(x @ matrix.T)
    return ForsterTransform(matrix, float(len(x) * np.abs(_gradient(points)).max()), steps)


def _whiten(x: np.ndarray, rank_tolerance: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in which the second moment of the inputs is the identity, and the map to them, `[d, M_0]`."""
    _refuse_zero(np.linalg.norm(x, axis=1), "training input")
    left, values, right = np.linalg.svd(x, full_matrices=False)
    if rank_tolerance is None:
        rank_tolerance = max(x.shape) * np.finfo(float).eps
    rank = int((values > rank_tolerance * values[0]).sum())
    scale = np.sqrt(len(x))
    whitened = scale * left[:, :rank]
    _refuse_zero(np.linalg.norm(whitened, axis=1), "projected training input")
    return whitened, scale * right[:rank] / values[:rank, None]


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1)
    _refuse_zero(norms, "input, projected on the span of the training inputs,")
    return rows / norms[:, None]


def _refuse_zero(norms: np.ndarray, what: str) -> None:
    if (norms == 0).any():
        raise ValueError(f"{what} {int(norms.argmin())} is 0 and has no direction; remove it")


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


def _refuse_heavy_subspace(points: np.ndarray, factor: np.ndarray) -> None:
    """Raise where a subspace holds too many points: where `R` degenerates, it shrinks that subspace.

    The points found inside are verified by the rank of the matrix of these points.
    """
    count, dimension = points.shape
    directions = np.linalg.svd(factor)[2][::-1]  # smallest singular values first
    rows = points / np.linalg.norm(points, axis=1, keepdims=True)
    outside = np.sqrt(np.maximum(1 - np.cumsum((rows @ directions.T) ** 2, axis=1), 0))
    for size in range(1, dimension):
        near = np.argsort(outside[:, size - 1])[: int((outside[:, size - 1] < 1e-3).sum())]
        if len(near) * dimension < count * size:
            continue
        values = np.linalg.svd(rows[near], compute_uv=False)
        if len(values) > size and values[size] > INSIDE * values[0]:
            continue
        raise ValueError(
            f"no radial isotropic position exists: {len(near)} of the {count} inputs lie in a subspace of dimension d' = "
            f"{size} of their {dimension}-dimensional span, expected fewer than N d'/d = {count * size / dimension:.4g}; "
            "project the inputs on fewer dimensions (raise rank_tolerance), remove some of these inputs (such as "
            f"{sorted(int(i) for i in near)[:5]}), or add others"
        )
