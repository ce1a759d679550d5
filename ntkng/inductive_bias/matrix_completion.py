"""Matrix completion by factorisation, `W = W_L ... W_1`, loss `(1/2) |Omega * (W - M)|^2`, and three natural gradients.

The Fisher matrix is `sum J_ij^T J_ij` over a set of entries `(i, j)`, with the scale of the loss. What natural gradient
flow does to the unobserved entries depends on that set and on the rank of the Jacobian:

1. all entries, `J` of full row rank `m n` (hidden widths at least `min(m, n)`): `W' = -Omega * (W - M)`, hence
   `W(t) = W(0) - (1 - e^{-t}) Omega * (W(0) - M)`. Unobserved entries never move, whatever the depth.
2. observed entries only: the observed part obeys the same law, the others are dragged along by `Theta_uo Theta_oo^{-1}`.
3. all entries, two factors of inner width `k < min(m, n)`: `W' = -(P_U E + E P_V - P_U E P_V)`, `E = Omega * (W - M)`,
   with the projectors on the column and row space of `W`: the residual projected on the tangent space of the rank-`k`
   matrices.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Literal

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float

from ntkng.inductive_bias.parametrisation import DeepLinear
from ntkng.ode import integrate, validate_times
from ntkng.validation import real_array

__all__ = ["MatrixCompletion"]


@dataclasses.dataclass(frozen=True)
class MatrixCompletion:
    """A matrix `M` of which the entries with `observed = True` are known.

    Attributes:
        M: `[m n]`; the unobserved entries are used only by `unobserved_ratio`.
        observed: `Omega`.

    Raises:
        ValueError: shapes differ, or no entry is observed.
    """

    M: Float[np.ndarray, "m n"]
    observed: Bool[np.ndarray, "m n"]

    def __post_init__(self) -> None:
        M, observed = real_array("M", self.M).astype(np.float64), np.asarray(self.observed)
        if M.ndim != 2 or observed.shape != M.shape or observed.dtype != bool:
            raise ValueError(f"expected M [m n] and a boolean mask of its shape, got {M.shape}, {observed.shape}")
        if not observed.any():
            raise ValueError("at least one entry must be observed")
        object.__setattr__(self, "M", M)
        object.__setattr__(self, "observed", observed)

    def network(self, *hidden: int) -> DeepLinear:
        """The factorisation with these inner widths, as a deep linear network (`beta^T = W`)."""
        return DeepLinear((self.M.shape[1], *hidden, self.M.shape[0]))

    def error(self, W: Float[np.ndarray, "*T m n"]) -> Float[np.ndarray, "*T m n"]:
        """`E = Omega * (W - M)`, the gradient of the loss in `W`."""
        return np.where(self.observed, np.asarray(W) - self.M, 0.0)

    def unobserved_ratio(self, W: Float[np.ndarray, "*T m n"]) -> Float[np.ndarray, "*T"]:
        """Root mean square error on the unobserved entries, over that of predicting zero.

        Raises:
            ValueError: no entry is hidden, or all hidden entries are 0, so that predicting zero is right.
        """
        hidden, W = ~self.observed, self._matrix("W", W)
        scale = np.abs(self.M[hidden]).max(initial=0)
        if scale == 0:
            what = "all hidden entries of M are 0" if hidden.any() else "every entry of M is observed"
            raise ValueError(f"there is no error of predicting zero to compare with: {what}; hide some that are not 0")
        miss = np.linalg.norm((W / scale - self.M / scale)[..., hidden], axis=-1)
        return miss / np.linalg.norm(self.M[hidden] / scale)

    def _matrix(self, name: str, W: Float[np.ndarray, "*T m n"]) -> Float[np.ndarray, "*T m n"]:
        W = real_array(name, W).astype(np.float64)
        if W.shape[-2:] != self.M.shape:
            raise ValueError(f"{name} must have the shape {self.M.shape} of M, got {W.shape}")
        return W

    def isotropic_path(self, W0: Float[np.ndarray, "m n"], t: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T m n"]:
        """Case 1: `W(t) = W(0) - (1 - e^{-t}) Omega * (W(0) - M)`."""
        W0 = self._matrix("W0", W0)
        return W0 + np.expm1(-validate_times(t))[:, None, None] * self.error(W0)

    def tangent_path(
        self, W0: Float[np.ndarray, "m n"], rank: int, t: Float[np.ndarray, " T"]
    ) -> Float[np.ndarray, "T m n"]:
        """Case 3, integrated in matrix space (no factors).

        Raises:
            ValueError: `W(0)` does not have this rank.
        """
        W0 = self._matrix("W0", W0)
        if np.linalg.matrix_rank(W0) != rank:
            raise ValueError(f"W(0) must have rank {rank}, got {np.linalg.matrix_rank(W0)}")

        def velocity(w: np.ndarray) -> np.ndarray:
            W = w.reshape(W0.shape)
            U, _, Vt = np.linalg.svd(W, full_matrices=False)
            return -tangent_projection(U[:, :rank], Vt[:rank].T, self.error(W)).ravel()

        largest = max(np.abs(W0).max(), np.abs(self.M[self.observed]).max())
        return integrate(velocity, W0.ravel(), t, atol=1e-13 * largest).reshape(-1, *W0.shape)

    def natural_gradient(
        self, network: DeepLinear, theta: Float[np.ndarray, " P"], fisher: Literal["all", "observed"]
    ) -> Float[np.ndarray, " P"]:
        """Velocity `-J^+ E`, `J` the rows of all entries (`E = 0` where unobserved) or of the observed ones.

        `J^+ = J^T (J J^T)^+`, and `J J^T` over all entries is the sum over layers of Kronecker products of the partial
        products, so that `J` is not formed. Eigenvalues below 1e-11 of the largest count as zero.
        """
        if fisher not in ("all", "observed"):
            raise ValueError(f"fisher must be 'all' or 'observed', got {fisher!r}")
        error = self.error(network.end_to_end(theta).T).T.ravel()  # input-major, as beta
        kernel = end_to_end_kernel(network, theta)
        chosen = np.ones(error.size, dtype=bool) if fisher == "all" else self.observed.T.ravel()
        dual = np.zeros_like(error)
        dual[chosen] = _symmetric_solve(kernel[np.ix_(chosen, chosen)], error[chosen])
        return -network.pull_back(theta, dual.reshape(network.shape))

    def natural_gradient_path(
        self,
        network: DeepLinear,
        theta: Float[np.ndarray, " P"],
        t: Float[np.ndarray, " T"],
        fisher: Literal["all", "observed"],
        *,
        rtol: float = 1e-12,
    ) -> Float[np.ndarray, "T m n"]:
        """`W(t)` of natural gradient flow in the factors."""
        path = integrate(
            lambda p: self.natural_gradient(network, p, fisher), theta, t, rtol=rtol, atol=0.1 * rtol
        )  # fmt: skip
        return np.stack([network.end_to_end(p).T for p in path])

    def gradient_path(
        self,
        network: DeepLinear,
        theta: Float[np.ndarray, " P"],
        t: Float[np.ndarray, " T"],
        *,
        rtol: float = 1e-8,
        atol: float = 1e-10,
    ) -> Float[np.ndarray, "T m n"]:
        """`W(t)` of gradient flow in the factors."""

        def velocity(p: np.ndarray) -> np.ndarray:
            return -network.pull_back(p, self.error(network.end_to_end(p).T).T)

        path = integrate(velocity, theta, t, rtol=rtol, atol=atol)
        return np.stack([network.end_to_end(p).T for p in path])


def tangent_projection(
    U: Float[np.ndarray, "m k"], V: Float[np.ndarray, "n k"], E: Float[np.ndarray, "m n"]
) -> Float[np.ndarray, "m n"]:
    """`P_U E + E P_V - P_U E P_V` for orthonormal bases of column and row space."""
    left, right = U @ (U.T @ E), (E @ V) @ V.T
    return left + right - U @ (U.T @ right)


def end_to_end_kernel(network: DeepLinear, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "dC dC"]:
    """`J_beta J_beta^T = sum_l (W_{<l}^T W_{<l}) kron (W_{>l} W_{>l}^T)`, input-major."""
    blocks = zip(*network.partial_products(theta), strict=True)
    return np.asarray(sum(np.kron(low.T @ low, up @ up.T) for low, up in blocks))


def _symmetric_solve(kernel: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`kernel^+ v`: by Cholesky, or by eigenvalues when the kernel is singular or nearly so."""
    with contextlib.suppress(np.linalg.LinAlgError):
        factor, lower = scipy.linalg.cho_factor(kernel, lower=True)
        pivots = np.diag(factor) ** 2
        if pivots.min() > 1e-9 * pivots.max():
            return scipy.linalg.cho_solve((factor, lower), v)
    values, vectors = np.linalg.eigh(kernel)
    kept = values > 1e-11 * values[-1]
    return vectors[:, kept] @ ((vectors[:, kept].T @ v) / values[kept])
