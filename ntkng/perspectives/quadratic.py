"""The problem of stochastic second-order iterations on a quadratic, and its independent modes.

The objective is `h(theta) = 1/2 (theta - theta*)^T H (theta - theta*)` and the iteration (Martens 2020, sections on
asymptotic convergence speed)

    theta_{k+1} = theta_k - alpha_k B^{-1} g_k,    E g_k = H (theta_k - theta*),    cov(g_k) = Sigma,

with independent noise. In the coordinates `u = Q^T B^{1/2} (theta - theta*)`, where
`B^{-1/2} H B^{-1/2} = Q diag(lam) Q^T`, both the mean iteration and `h = 1/2 sum_i lam_i u_i^2` are diagonal, so that

    u_{k+1,i} = (1 - alpha_k lam_i) u_{k,i} - alpha_k xi_{k,i},    var(xi_{k,i}) = s_i,

and the expected risk needs only `lam`, `u(0)` and `s_i = [Q^T B^{-1/2} Sigma B^{-1/2} Q]_ii`.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkng.validation import real_array

__all__ = ["Modes", "Risk", "StochasticQuadratic"]

SYMMETRY = 1e-10  # relative asymmetry above which a matrix is refused


@dataclasses.dataclass(frozen=True)
class Modes:
    """The iteration in the coordinates in which it is diagonal.

    Attributes:
        lam: eigenvalues of `B^{-1/2} H B^{-1/2}`, increasing; all positive.
        start: `u(0)`, the initial error.
        noise: `s`, variance of the preconditioned gradient in each mode.
    """

    lam: Float[np.ndarray, " n"]
    start: Float[np.ndarray, " n"]
    noise: Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class Risk:
    """`E h_k - h*` split into what the start and what the gradient noise contributes.

    Attributes:
        bias: `h` of the mean iterate.
        variance: what the noise adds.
    """

    bias: Float[np.ndarray, "..."]
    variance: Float[np.ndarray, "..."]

    @property
    def total(self) -> Float[np.ndarray, "..."]:
        """`bias + variance`."""
        return self.bias + self.variance


@dataclasses.dataclass(frozen=True)
class StochasticQuadratic:
    """A quadratic objective, its gradient noise and a preconditioner.

    Attributes:
        hessian: `H`, symmetric positive definite.
        noise: `Sigma`, covariance of the gradient, symmetric positive semi-definite.
        error: `theta_0 - theta*`.
        preconditioner: `B`, symmetric positive definite. `B = H` is Newton (and the natural gradient when `H = F`),
            `B = 1` is stochastic gradient descent.

    Raises:
        ValueError: if shapes disagree or a matrix is not symmetric or not definite.
    """

    reference: ClassVar[tuple[str, ...]] = ("martens-2020",)

    hessian: Float[np.ndarray, "n n"]
    noise: Float[np.ndarray, "n n"]
    error: Float[np.ndarray, " n"]
    preconditioner: Float[np.ndarray, "n n"]

    def __post_init__(self) -> None:
        size = np.shape(self.error)
        if len(size) != 1:
            raise ValueError(f"error must be a vector, got shape {size}; pass theta_0 - theta* of shape (n,)")
        for name in ("hessian", "noise", "preconditioner"):
            matrix = np.asarray(getattr(self, name), dtype=np.float64)
            _check_symmetric(name, matrix, size[0])
            _check_definite(name, matrix, strictly=name != "noise")
            object.__setattr__(self, name, matrix)
        object.__setattr__(self, "error", real_array("error", self.error, 1).astype(float))

    @property
    def modes(self) -> Modes:
        """Eigenvalues, initial error and noise of the diagonal iteration."""
        values, vectors = np.linalg.eigh(self.preconditioner)
        root = (vectors * np.sqrt(values)) @ vectors.T
        inverse_root = (vectors / np.sqrt(values)) @ vectors.T
        lam, q = np.linalg.eigh(inverse_root @ self.hessian @ inverse_root)
        whitened = q.T @ inverse_root
        return Modes(lam, q.T @ (root @ self.error), np.einsum("ij,jk,ik->i", whitened, self.noise, whitened))

    @property
    def initial_risk(self) -> float:
        """`h(theta_0) = 1/2 error^T H error`."""
        return float(0.5 * self.error @ self.hessian @ self.error)

    @property
    def noise_to_curvature(self) -> float:
        """`tr(H^{-1} Sigma)`; `n` when `Sigma = H`, as for the Fisher at a realisable optimum."""
        factor = scipy.linalg.cho_factor(self.hessian)
        return float(np.trace(scipy.linalg.cho_solve(factor, self.noise)))

    def with_preconditioner(self, preconditioner: Float[np.ndarray, "n n"]) -> StochasticQuadratic:
        """The same problem with another `B`."""
        return dataclasses.replace(self, preconditioner=preconditioner)


def _check_symmetric(name: str, matrix: np.ndarray, size: int) -> None:
    if matrix.shape != (size, size):
        raise ValueError(f"{name} has shape {matrix.shape}, expected {(size, size)} as error has {size} entries")
    require_symmetric(name, matrix)


def require_symmetric(name: str, matrix: np.ndarray) -> None:
    """Refuse a matrix that is not finite, square and symmetric (relative to its largest entry).

    Raises:
        ValueError: naming what was got.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {list(matrix.shape)}")
    if not np.all(np.isfinite(matrix)):
        raise ValueError(f"{name} has entries that are not finite; pass finite numbers")
    gap = float(np.max(np.abs(matrix - matrix.T), initial=0.0))
    if not gap <= SYMMETRY * float(np.max(np.abs(matrix), initial=0.0)):
        raise ValueError(f"{name} must be symmetric, got max |A - A^T| = {gap:.3g}; pass (A + A^T) / 2")


def _check_definite(name: str, matrix: np.ndarray, *, strictly: bool) -> None:
    values = np.linalg.eigvalsh(matrix)
    floor = 1e-13 * float(np.max(np.abs(values)))
    if strictly and not values[0] > floor:
        raise ValueError(
            f"{name} must be positive definite, got smallest eigenvalue {values[0]:.3g}; restrict it to its range"
        )
    if not strictly and values[0] < -floor:
        raise ValueError(f"{name} must be positive semi-definite, got smallest eigenvalue {values[0]:.3g}")
