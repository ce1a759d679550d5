"""Operators of a function-space flow that need a kernel or a range: damping and rank deficiency."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkng.conditioning import moving, range_projector
from ntkng.families import Family, Gaussian
from ntkng.flow_operators import Operator, check_positive
from ntkng.scaled_rows import smallest_solution
from ntkng.validation import real_array, symmetric
from ntkng.whitened_rows import whitened_rows

__all__ = ["Damped", "Projector", "dense_variance", "symmetrised"]

RCOND = 1e-12  # singular values of `Lambda^{1/2} B` below this times the largest count as zero


@dataclasses.dataclass(frozen=True)
class Damped(Operator):
    """Damped Fisher `G = F + rho I`: `M = (Lambda + N rho Theta^{-1})^{-1} = Theta (Lambda Theta + N rho I)^{-1}`.

    The second form also holds for a singular `Theta` and is the one computed. For a block-diagonal Fisher `M` is the
    sum over the blocks. For the Gaussian family `M` is constant and the mode with kernel eigenvalue `theta_i` decays at
    the rate `theta_i / (theta_i + N rho)`: isotropic for `rho -> 0`, gradient descent for `rho -> infinity`.
    `Theta` is taken as constant (a model linear in its parameters, or the lazy regime).

    Attributes:
        rho: damping, added to the Fisher `J^T Lambda J / N`.
        theta: `J J^T` (no `1/N`, sample-major), `[NC NC]`, or one for each block, `[L NC NC]`.
    """

    rho: float
    theta: Float[np.ndarray, "*L NC NC"]

    def __post_init__(self) -> None:
        check_positive(self.rho, "rho")
        object.__setattr__(self, "theta", _kernels(self.theta))

    def matrix(self, family: Family, f: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "NC NC"]:
        """`M(f)`."""
        kernels = self.theta.reshape(-1, f.size, f.size)
        variance = dense_variance(family, f)
        shift = f.shape[0] * self.rho * np.eye(f.size)
        # X A = B solved as A^T X^T = B^T
        return sum(np.linalg.solve((variance @ k + shift).T, k.T).T for k in kernels)  # type: ignore[return-value]

    def velocity(self, family, f, y):
        """`-M(f) (mu - y)`."""
        return -(self.matrix(family, f) @ family.residual(f, y).ravel()).reshape(f.shape)

    def has_closed_form(self, family, y):
        """Gaussian only."""
        return isinstance(family, Gaussian)

    def closed_form(self, family, f0, y, t):
        """`f = y + exp(-M t) (f0 - y)` in the eigenbasis of the symmetric `M`; modes outside of the kernels' range do not move."""
        matrix = symmetrised(self.matrix(family, f0))
        projector = range_projector(self.theta.reshape(-1, f0.size, f0.size).sum(axis=0))
        if projector is not None:
            matrix = symmetrised(projector @ matrix @ projector)
        rates, modes = np.linalg.eigh(matrix)
        rates = np.where(moving(rates), rates, 0)
        coefficients = modes.T @ (f0 - y).ravel()
        return y + (np.exp(-np.outer(t, rates)) * coefficients @ modes.T).reshape(-1, *f0.shape)

    def validate(self, family, f0, y):
        """`theta` must have the size of the logits."""
        _check_size(self.theta, f0, "theta")


@dataclasses.dataclass(frozen=True)
class Projector(Operator):
    """Rank-deficient Jacobian: only the range of `J` moves.

    With the pseudo-inverse of the exact Fisher, `Lambda^{1/2} M Lambda^{1/2} = alpha` times the orthogonal projector on
    `range(Lambda^{1/2} J)`. With a basis `B` of `range(J)`, `M = alpha B (B^T Lambda B)^{-1} B^T`. What survives of the
    master law is the gradient law `B^T (mu(t) - y) = e^{-alpha t} B^T (mu(0) - y)`.
    For softmax the all-ones part of each row of logits is gauge: the means do not depend on it.
    Gaussian: `f(t) = y + (I - P)(f(0) - y) + e^{-alpha t} P (f(0) - y)`; there `P` may also be oblique.

    Attributes:
        P: a projector (`P P = P`) on the range of `J`, `[NC NC]`, sample-major; build it from `J` with `onto`.
        alpha: the rate inside the range.
    """

    P: Float[np.ndarray, "NC NC"]
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.alpha, "alpha")
        P = real_array("P", self.P).astype(np.float64)
        if P.ndim != 2 or P.shape[0] != P.shape[1]:
            raise ValueError(f"P must be square, got shape {P.shape}; use Projector.onto(J) for a Jacobian")
        defect = np.abs(P @ P - P).max()
        if not defect <= 1e-8 * np.abs(P).max():
            raise ValueError(f"P must be idempotent, got |P P - P| = {defect:.3g}; use Projector.onto(J)")
        object.__setattr__(self, "P", P)

    @classmethod
    def onto(cls, J: Float[np.ndarray, "NC P"], alpha: float = 1.0, *, rcond: float = 1e-10) -> Projector:
        """The orthogonal projector on the range of `J` (singular values above `rcond` times the largest)."""
        U, s, _ = np.linalg.svd(real_array("J", J, 2).astype(np.float64), full_matrices=False)
        basis = U[:, s > rcond * s[0]]
        return cls(basis @ basis.T, alpha)

    @property
    def orthogonal(self) -> bool:
        """Whether `P` is symmetric."""
        return bool(np.abs(self.P - self.P.T).max() <= 1e-8 * np.abs(self.P).max())

    @cached_property
    def basis(self) -> Float[np.ndarray, "NC r"]:
        """Orthonormal basis of the range of `P`."""
        U, s, _ = np.linalg.svd(self.P)
        return U[:, s > 0.5]  # a projector's non-zero singular values are at least 1

    def matrix(self, family: Family, f: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "NC NC"]:
        """`M(f)`."""
        if isinstance(family, Gaussian):
            return self.alpha * self.P
        A = whitened_rows(family, f, self._rows(f), np.zeros_like(f))[0]
        root = self.basis @ smallest_solution(A, np.eye(len(A)), RCOND)
        return self.alpha * root @ root.T

    def velocity(self, family, f, y):
        """`-M(f) (mu - y)`."""
        residual = family.residual(f, y)
        if isinstance(family, Gaussian):
            return -self.alpha * (self.P @ residual.ravel()).reshape(f.shape)
        A, b = whitened_rows(family, f, self._rows(f), residual)
        return -self.alpha * (self.basis @ smallest_solution(A, b, RCOND)).reshape(f.shape)

    def _rows(self, f: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C r"]:
        return self.basis.reshape(*f.shape, -1)

    def has_closed_form(self, family, y):
        """Gaussian only."""
        return isinstance(family, Gaussian)

    def closed_form(self, family, f0, y, t):
        """See the class."""
        moving = (self.P @ (f0 - y).ravel()).reshape(f0.shape)
        return f0 + np.expm1(-self.alpha * t)[:, None, None] * moving

    def validate(self, family, f0, y):
        """`P` must have the size of the logits, and be orthogonal unless the family is Gaussian."""
        _check_size(self.P, f0, "P")
        if not isinstance(family, Gaussian) and not self.orthogonal:
            raise ValueError("an oblique projector is defined only for the Gaussian family; use Projector.onto(J)")


def dense_variance(family: Family, f: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "NC NC"]:
    """`Lambda(f)` as one block-diagonal matrix, sample-major."""
    return np.asarray(scipy.linalg.block_diag(*family.variance(f)))


def symmetrised(matrix: np.ndarray) -> np.ndarray:
    """Half the sum with the transpose: removes the rounding error of a matrix that is symmetric."""
    return 0.5 * (matrix + np.swapaxes(matrix, -1, -2))


def _kernels(theta: np.ndarray) -> np.ndarray:
    theta = symmetric("theta", theta, (2, 3))
    for kernel in theta.reshape(-1, *theta.shape[-2:]):
        smallest, largest = np.linalg.eigvalsh(kernel)[[0, -1]]
        if not smallest >= -1e-8 * largest:
            raise ValueError(f"theta must be positive semi-definite, got the eigenvalue {smallest:.3g}; pass J @ J.T")
    return theta


def _check_size(matrix: np.ndarray, f0: np.ndarray, name: str) -> None:
    if matrix.shape[-1] != f0.size:
        raise ValueError(f"{name} must be {f0.size} x {f0.size} for logits of shape {f0.shape}, got {matrix.shape}")
