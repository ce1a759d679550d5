"""Linear systems whose rows and columns come in different units: scales in powers of two, and QR that keeps small columns.

Inputs arrive as the user has them: one feature in metres, the next in micrometres, one sample a million times longer
than another. Scaling by powers of two loses no digit, and Householder QR with column pivoting of a matrix whose rows are
sorted by size has small errors in every row (Cox and Higham 1998), not only relative to the largest one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

__all__ = ["EPSILON", "ExactRowSpace", "RowSpace", "equilibrated", "row_scales", "smallest_solution", "sorted_qr"]

EPSILON = float(np.finfo(np.float64).eps)
PASSES = 12  # halve the distance to equal rows and columns each


def row_scales(A: Float[np.ndarray, "N d"]) -> Float[np.ndarray, " N"]:
    """Powers of two by which the largest entry of every row lies in [1/2, 1); 1 for rows of zeros."""
    return np.ldexp(1.0, np.minimum(-np.frexp(np.abs(A).max(1, initial=0))[1], 1000))


def equilibrated(A: Float[np.ndarray, "N d"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`rho A kappa`, and the powers of two `rho`, `kappa`, with largest entries of rows and columns near 1."""
    with np.errstate(divide="ignore"):
        logs = np.log2(np.abs(A))
    rows, columns = np.zeros(A.shape[0]), np.zeros(A.shape[1])
    for _ in range(PASSES):
        for shifts, axis in ((rows, 1), (columns, 0)):
            top = (logs + rows[:, None] + columns).max(axis)
            shifts -= np.where(np.isfinite(top), top, 0) / 2
    rows, columns = np.round(rows).astype(int), np.round(columns).astype(int)
    return np.ldexp(A, rows[:, None] + columns), np.ldexp(1.0, rows), np.ldexp(1.0, columns)


def sorted_qr(A: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`A[order][:, pivots] = Q R`, the rows sorted by their largest entry; returns `order, Q, R, pivots`."""
    order = np.argsort(-np.abs(A).max(1, initial=0), kind="stable")
    if not A.shape[1]:  # LAPACK refuses empty matrices
        return order, A, np.zeros((0, 0)), np.zeros(0, dtype=int)
    factors: Any = scipy.linalg.qr(A[order], mode="economic", pivoting=True)
    return order, *factors


class RowSpace:
    """Factorisation of independent rows `A [k d]`, `k <= d`."""

    def __init__(self, A: Float[np.ndarray, "k d"]) -> None:
        self.scale = row_scales(A)
        self.order, self.Q, self.R, self.pivots = sorted_qr((self.scale[:, None] * A).T)

    def least_norm(self, b: Float[np.ndarray, "k *C"]) -> Float[np.ndarray, "d *C"]:
        """Smallest `w` with `A w = b`."""
        scaled = (b.T * self.scale).T
        inner = scipy.linalg.solve_triangular(self.R, scaled[self.pivots], trans=1)
        w = np.empty((len(self.order), *inner.shape[1:]))
        w[self.order] = self.Q @ inner
        return w

    def combination(self, v: Float[np.ndarray, "d *C"]) -> Float[np.ndarray, "k *C"]:
        """Coefficients `x` of the nearest `A^T x` to `v`."""
        x = np.empty((len(self.pivots), *v.shape[1:]))
        x[self.pivots] = scipy.linalg.solve_triangular(self.R, self.Q.T @ v[self.order])
        return (x.T * self.scale).T

    @property
    def robust(self) -> bool:
        """Whether the rows are far from dependent."""
        diagonal = np.abs(np.diag(self.R))
        return bool(diagonal.min(initial=np.inf) > 1e-8 * diagonal.max(initial=0))


def smallest_solution(
    A: Float[np.ndarray, "n k"], b: Float[np.ndarray, "n *C"], rcond: float
) -> Float[np.ndarray, "k *C"]:
    """`A^+ b`, singular values below `rcond` times the largest counted as 0, but no row for being small.

    Independent rows may be scaled; and where the columns are independent in rows of one size, all rows count.
    """
    norms = np.linalg.norm(A, axis=1)
    if len(A) <= A.shape[1] and norms.all():
        x, _, rank, _ = np.linalg.lstsq(A / norms[:, None], (b.T / norms).T, rcond=rcond)
        if rank == len(A):
            return x
    x, _, rank, _ = np.linalg.lstsq(A, b, rcond=rcond)
    if rank < A.shape[1] <= len(A) and np.linalg.matrix_rank(equilibrated(A)[0], rtol=rcond) == A.shape[1]:
        order, Q, R, pivots = sorted_qr(A)
        x[pivots] = scipy.linalg.solve_triangular(R, Q.T @ b[order])
    return x


class ExactRowSpace(RowSpace):
    """The same for rows of rational numbers (object arrays of `Fraction`)."""

    def __init__(self, A: np.ndarray) -> None:
        self.A, self.inverse = A, _rational_inverse(A @ A.T)

    def least_norm(self, b: np.ndarray) -> np.ndarray:
        """Smallest `w` with `A w = b`."""
        return self.A.T @ (self.inverse @ b)

    def combination(self, v: np.ndarray) -> np.ndarray:
        """Coefficients `x` of the nearest `A^T x` to `v`."""
        return self.inverse @ (self.A @ v)


def _rational_inverse(gram: np.ndarray) -> np.ndarray:
    """Inverse of a positive definite matrix of rational numbers, by Gauss and Jordan (its pivots are positive)."""
    size = len(gram)
    both = np.concatenate([gram, np.vectorize(Fraction, otypes=[object])(np.eye(size))], axis=1)
    for k in range(size):
        both[k] = both[k] / both[k, k]
        others = np.arange(size) != k
        both[others] -= np.outer(both[others, k], both[k])
    return both[:, size:]
