"""Gradient flows of explicit parameters, natural and plain, for any model and exponential family.

Natural gradient flow is `theta' = -F^+ grad L` with the Fisher matrix `F = (s/N) sum_n J_n^T Lambda_n J_n`, and the
pseudo-inverse takes the smallest step among those that give the same function change. *Which inputs define the Fisher
matrix matters*: the training inputs, or more of them (`extra`), which enter with zero residual and so are held fixed as
far as the Jacobian allows. With `A` the stacked rows `Lambda^{1/2} J` and `b` the stacked `Lambda^{-1/2} (mu - y)` (zero
on the extra inputs), the velocity is the least-squares solution `-A^+ b`: no `F` is formed, so its condition number is
not squared.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ntkng.families import Family
from ntkng.inductive_bias.parametrisation import Model
from ntkng.ode import integrate
from ntkng.scaled_rows import smallest_solution
from ntkng.validation import real_array
from ntkng.whitened_rows import whitened_rows

__all__ = ["GradientFlow", "NaturalGradientFlow"]


@dataclasses.dataclass(frozen=True)
class GradientFlow:
    """`theta' = -J^T (mu(f) - y) / N`.

    Attributes:
        model: outputs and Jacobian.
        family: exponential family of the loss `(1/N) sum_n l(f_n, y_n)`.
        X: training inputs `[N d]`.
        y: targets `[N C]`.
        rtol: relative tolerance of the ODE solver.
        atol: absolute tolerance.
        evaluations: give up after this many velocities.
    """

    model: Model
    family: Family
    X: Float[np.ndarray, "N d"]
    y: Float[np.ndarray, "N C"]
    rtol: float = 1e-12
    atol: float = 1e-13
    evaluations: int = 1_000_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "X", real_array("X", self.X, 2).astype(np.float64))
        object.__setattr__(self, "y", self.family.validate_targets(self.y))
        if self.X.shape[:1] != self.y.shape[:1]:
            raise ValueError(f"inputs and targets must have one length, got {self.X.shape} and {self.y.shape}")

    def velocity(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """`theta'`."""
        residual = self.family.residual(self.model.outputs(theta, self.X), self.y)
        return -self.model.jacobian(theta, self.X).T @ residual.ravel() / len(self.X)

    def path(
        self, theta: Float[np.ndarray, " P"], t: Float[np.ndarray, " T"], *, method: str = "DOP853"
    ) -> Float[np.ndarray, "T P"]:
        """Parameters at the times `t`, by an ODE solver."""
        limits = {"rtol": self.rtol, "atol": self.atol, "evaluations": self.evaluations}
        return integrate(self.velocity, theta, t, method=method, **limits)  # type: ignore[arg-type]

    def outputs(self, path: Float[np.ndarray, "T P"], X: Float[np.ndarray, "M d"]) -> Float[np.ndarray, "T M C"]:
        """Logits along a path."""
        return np.stack([self.model.outputs(theta, X) for theta in path])


@dataclasses.dataclass(frozen=True)
class NaturalGradientFlow(GradientFlow):
    """`theta' = -F^+ J^T (mu(f) - y) / N` (see the module), smallest velocity in parameter space.

    If the rows over all Fisher inputs are linearly independent, the training means follow
    `mu(t) = y + e^{-t} (mu(0) - y)` and the logits on the extra inputs stay where they are. If only the training rows
    are, the first half still holds. Otherwise the velocity is the weighted projection of that direction.
    With `blocks` the Fisher matrix is block-diagonal over consecutive groups of parameters (layers); when the training
    rows of every one of the `L` groups are independent, the means follow `mu(t) = y + e^{-L t} (mu(0) - y)`.

    Attributes:
        extra: further inputs `[M d]` over which the Fisher sum (with its `1/N`) also runs; `None` for none.
        blocks: sizes of the groups of parameters of a block-diagonal Fisher matrix; `None` for the exact one.
        rcond: singular values of `A` below `rcond` times the largest count as zero (where the rows are independent: of
            `A` with rows of one length).
    """

    extra: Float[np.ndarray, "M d"] | None = None
    blocks: tuple[int, ...] | None = None
    rcond: float = 1e-12

    def velocity(self, theta):
        """`-A^+ b`, for each block of columns."""
        inputs = self.X if self.extra is None else np.concatenate([self.X, np.asarray(self.extra, dtype=np.float64)])
        f = self.model.outputs(theta, inputs)
        residual = np.zeros_like(f)
        residual[: len(self.X)] = self.family.residual(f[: len(self.X)], self.y)
        J = self.model.jacobian(theta, inputs).reshape(*f.shape, -1)
        A, b = whitened_rows(self.family, f, J, residual)
        sizes = self.blocks or (A.shape[1],)
        if sum(sizes) != A.shape[1]:
            raise ValueError(f"the blocks must add up to {A.shape[1]} parameters, got {sizes}")
        parts = np.split(A, np.cumsum(sizes)[:-1], axis=1)
        return -np.concatenate([smallest_solution(part, b, self.rcond) for part in parts])
