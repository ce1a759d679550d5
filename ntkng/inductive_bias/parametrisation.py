"""Linear predictors `f = X beta(theta)` in disguise: fully connected and diagonal linear networks of any depth."""

from __future__ import annotations

import abc
import dataclasses
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from ntkng.validation import real_array

__all__ = ["DeepLinear", "DiagonalLinear", "LinearParametrisation", "Model"]


class Model(abc.ABC):
    """A function of flat parameters and inputs, with its Jacobian."""

    @abc.abstractmethod
    def outputs(self, theta: Float[np.ndarray, " P"], X: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "N C"]:
        """Logits."""

    @abc.abstractmethod
    def jacobian(self, theta: Float[np.ndarray, " P"], X: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "NC P"]:
        """Their derivative, sample-major."""


class LinearParametrisation(Model):
    """`f = X beta(theta)`, `beta` of shape `[d C]` flattened row by row (input-major)."""

    shape: tuple[int, int]

    @abc.abstractmethod
    def end_to_end(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "d C"]:
        """`beta(theta)`."""

    @abc.abstractmethod
    def end_to_end_jacobian(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "dC P"]:
        """`J_beta = dbeta/dtheta`."""

    @abc.abstractmethod
    def pull_back(self, theta: Float[np.ndarray, " P"], v: Float[np.ndarray, "d C"]) -> Float[np.ndarray, " P"]:
        """`J_beta^T v` without forming `J_beta`."""

    @abc.abstractmethod
    def matching(self, beta: Float[np.ndarray, "d C"], rng: np.random.Generator) -> Float[np.ndarray, " P"]:
        """Random parameters whose end-to-end vector is `beta`, for starting several architectures at one predictor."""

    def outputs(self, theta, X):
        """`X beta(theta)`."""
        return np.asarray(X) @ self.end_to_end(theta)

    def jacobian(self, theta, X):
        """`(X kron I_C) J_beta`."""
        d, C = self.shape
        J = self.end_to_end_jacobian(theta).reshape(d, C, -1)
        return np.einsum("nd,dcp->ncp", np.asarray(X), J).reshape(-1, J.shape[-1])

    def full_rank(self, theta: Float[np.ndarray, " P"]) -> bool:
        """Whether `J_beta` has full row rank `dC`, the condition under which natural gradient flow ignores the depth."""
        return bool(np.linalg.matrix_rank(self.end_to_end_jacobian(theta)) == np.prod(self.shape))


@dataclasses.dataclass(frozen=True)
class DeepLinear(LinearParametrisation):
    """Fully connected linear network `beta^T = W_L ... W_1`; `theta` is `W_1, ..., W_L`, each flattened row by row.

    `J_beta` has full row rank when `W_L ... W_2` has rank `C` (one output: when it is not zero).

    Attributes:
        widths: `(d, h_1, ..., C)`; two entries are the linear predictor itself.
    """

    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        widths = tuple(int(w) for w in self.widths)
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths must be at least (d, C), all positive, got {self.widths}")
        object.__setattr__(self, "widths", widths)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """`(d, C)`."""
        return self.widths[0], self.widths[-1]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.widths) - 1

    def layers(self, theta: Float[np.ndarray, " P"]) -> list[Float[np.ndarray, "out in"]]:
        """`W_1, ..., W_L`."""
        sizes = [i * o for i, o in pairwise(self.widths)]
        theta = np.asarray(theta, dtype=np.float64)
        if theta.shape != (sum(sizes),):
            raise ValueError(f"expected {sum(sizes)} parameters for widths {self.widths}, got shape {theta.shape}")
        parts = np.split(theta, np.cumsum(sizes)[:-1])
        return [p.reshape(o, i) for p, (i, o) in zip(parts, pairwise(self.widths), strict=True)]

    def partial_products(self, theta: Float[np.ndarray, " P"]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """`W_{l-1} ... W_1` and `W_L ... W_{l+1}` for every layer `l`."""
        layers = self.layers(theta)
        below, above = [np.eye(self.widths[0])], [np.eye(self.widths[-1])]
        for W in layers[:-1]:
            below.append(W @ below[-1])
        for W in layers[:0:-1]:
            above.append(above[-1] @ W)
        return below, above[::-1]

    def end_to_end(self, theta):
        """`(W_L ... W_1)^T`."""
        below, _ = self.partial_products(theta)
        return (self.layers(theta)[-1] @ below[-1]).T

    def end_to_end_jacobian(self, theta):
        """`dbeta[i, c] / dW_l[a, b] = (W_L ... W_{l+1})[c, a] (W_{l-1} ... W_1)[b, i]`."""
        d, C = self.shape
        blocks = zip(*self.partial_products(theta), strict=True)
        return np.concatenate([np.einsum("ca,bi->icab", up, low).reshape(d * C, -1) for low, up in blocks], axis=1)

    def pull_back(self, theta, v):
        """`(W_L ... W_{l+1})^T v^T (W_{l-1} ... W_1)^T` for each layer `l`."""
        blocks = zip(*self.partial_products(theta), strict=True)
        return np.concatenate([(up.T @ v.T @ low.T).ravel() for low, up in blocks])

    def matching(self, beta, rng):
        """Layers 1 to L - 1 with independent `N(0, 1/in)` entries; the last one solves for `beta`."""
        beta = self._beta(beta)
        layers = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(self.widths[:-1])]
        product = np.eye(self.widths[0])
        for W in layers:
            product = W @ product
        last = np.linalg.lstsq(product.T, beta, rcond=None)[0].T
        if not np.abs(last @ product - beta.T).max() <= 1e-8 * np.abs(beta).max():
            raise ValueError(
                f"random layers of widths {self.widths} cannot represent this beta; hidden widths must be at least d "
                "(`balanced` needs the rank of beta only)"
            )
        return np.concatenate([W.ravel() for W in [*layers, last]])

    def balanced(self, beta: Float[np.ndarray, "d C"]) -> Float[np.ndarray, " P"]:
        """Parameters with this `beta` and `W_l W_l^T = W_{l+1}^T W_{l+1}`: every layer takes the `L`-th root."""
        beta = self._beta(beta)
        U, s, Vt = np.linalg.svd(beta.T, full_matrices=False)
        rank, narrowest = int(np.linalg.matrix_rank(beta)), min(self.widths[1:-1], default=len(s))
        if narrowest < rank:
            raise ValueError(
                f"hidden widths must be at least the rank {rank} of beta for a balanced factorisation, got {self.widths}"
            )
        U, s, Vt = U[:, :narrowest], s[:narrowest], Vt[:narrowest]  # what is cut off is 0 to rounding
        frames = [Vt.T, *(np.eye(h, len(s)) for h in self.widths[1:-1]), U]
        layers = [(up * s ** (1 / self.depth)) @ low.T for low, up in pairwise(frames)]
        return np.concatenate([W.ravel() for W in layers])

    def _beta(self, beta: Float[np.ndarray, "d C"]) -> Float[np.ndarray, "d C"]:
        beta = real_array("beta", beta).astype(np.float64)
        if beta.size != np.prod(self.shape):
            raise ValueError(f"beta must have shape {self.shape}, got {beta.shape}")
        return beta.reshape(self.shape)

    def imbalance(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, " K"]:
        """`W_l W_l^T - W_{l+1}^T W_{l+1}` of all neighbours, flattened: conserved by both gradient flows."""
        differences = [low @ low.T - up.T @ up for low, up in pairwise(self.layers(theta))]
        return np.concatenate([D.ravel() for D in differences]) if differences else np.zeros(0)


@dataclasses.dataclass(frozen=True)
class DiagonalLinear(LinearParametrisation):
    """Diagonal network `beta_i = prod_l w_{l,i}` with one output; `theta` is `[L d]`, flattened.

    `J_beta` has full row rank if and only if every coordinate has some `prod_{k != l} w_{k,i} != 0`. With `tied`
    factors, `beta_i = u_i^L`, a coordinate cannot pass through zero.

    Attributes:
        depth: number of factors `L`.
        dimension: `d`.
        tied: whether all factors are one.
    """

    depth: int
    dimension: int
    tied: bool = False

    def __post_init__(self) -> None:
        if self.depth < 1 or self.dimension < 1:
            raise ValueError(f"depth and dimension must be positive, got {self.depth} and {self.dimension}")

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """`(d, 1)`."""
        return self.dimension, 1

    def factors(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "L d"]:
        """`w_{l,i}`."""
        theta, rows = np.asarray(theta, dtype=np.float64), 1 if self.tied else self.depth
        if theta.shape != (rows * self.dimension,):
            raise ValueError(f"expected {rows * self.dimension} parameters, got shape {theta.shape}")
        return np.broadcast_to(theta.reshape(rows, self.dimension), (self.depth, self.dimension))

    def end_to_end(self, theta):
        """`prod_l w_l`."""
        return np.prod(self.factors(theta), axis=0)[:, None]

    def end_to_end_jacobian(self, theta):
        """`dbeta_i/dw_{l,i} = prod_{k != l} w_{k,i}`."""
        others = self._others(theta)
        return np.diag(others.sum(0)) if self.tied else np.concatenate([np.diag(row) for row in others], axis=1)

    def pull_back(self, theta, v):
        """`v_i prod_{k != l} w_{k,i}`."""
        pulled = self._others(theta) * np.asarray(v)[:, 0]
        return pulled.sum(0) if self.tied else pulled.ravel()

    def matching(self, beta, rng):
        """Factors 2 to L uniform in [0.5, 1.5]; the first one solves for `beta`."""
        beta = np.asarray(beta, dtype=np.float64).ravel()
        if self.tied:
            return self.balanced(beta)
        later = rng.uniform(0.5, 1.5, size=(self.depth - 1, self.dimension))
        return np.concatenate([beta / np.prod(later, axis=0), later.ravel()])

    def balanced(self, beta: Float[np.ndarray, "d 1"]) -> Float[np.ndarray, " P"]:
        """All factors `|beta_i|^{1/L}`, the sign in the first one."""
        beta = np.asarray(beta, dtype=np.float64).ravel()
        root = np.abs(beta) ** (1 / self.depth)
        if self.tied:
            if self.depth % 2 == 0 and beta.min() < 0:
                raise ValueError("tied factors of even depth only represent beta >= 0; use tied=False")
            return np.sign(beta) * root
        return np.concatenate([np.sign(beta) * root, np.tile(root, self.depth - 1)])

    def _others(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "L d"]:
        factors = self.factors(theta)
        return np.stack([np.prod(np.delete(factors, k, axis=0), axis=0) for k in range(self.depth)])
