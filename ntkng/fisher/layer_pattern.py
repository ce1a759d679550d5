r"""Fisher matrices that keep a pattern of layer blocks: exact, block-diagonal, block tri-diagonal, any other.

Keep block `(i, j)` of the Fisher matrix where the symmetric 0/1 matrix `T` has a 1. With `D = blockdiag(Theta_1 .. Theta_L)`,

    K(x', x) = sum_l Theta'_l V_l,     V = ((T kron I) D + N rho I)^{-1} (1_L kron I)

(Karakida and Osawa 2020, section 4, for diagonal and tri-diagonal patterns). Undamped, with `T` and every `Theta_l` with
`c_l != 0` nonsingular: `V_l = c_l Theta_l^{-1}`, `c = T^{-1} 1`, so `K = alpha I` with `alpha = 1^T T^{-1} 1`. A singular `T`
has a limit `rho -> 0` when `T c = 1` is solvable (block tri-diagonal at depth 3s + 2); it is isotropic too.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning, inspect
from ntkng.fisher.base import Fisher
from ntkng.fisher.combine import combine
from ntkng.fisher.conjugate_gradients import ConjugateGradients
from ntkng.fisher.dense import DenseLayer
from ntkng.fisher.patterns import TINY, coupled_system, pattern_alpha, separate_groups
from ntkng.fisher.solves import project, shifted, solve, symmetric_part
from ntkng.kernels.kernels import Kernels, sum_
from ntkng.layers.record import LayerRecord


@dataclasses.dataclass(frozen=True)
class LayerPattern(Fisher):
    """Base of the patterns; a subclass gives `pattern(depth)`.

    Attributes:
        solver: of parameter steps: `None` factorises Grams (Cholesky), `ConjugateGradients()` forms none, for definite groups
            of layers (exact, block-diagonal) and undamped nonsingular patterns. Preconditioned kernels are factorised always.
    """

    solver: ConjugateGradients | None = dataclasses.field(default=None, kw_only=True)

    @property
    def is_matrix_free(self) -> bool:
        """Whether parameter steps form no Gram."""
        return self.solver is not None

    @abc.abstractmethod
    def pattern(self, depth: int) -> Float[np.ndarray, "L L"]:
        """`T`: symmetric, entries 0 or 1, ones on the diagonal."""

    # -- theory ------------------------------------------------------------------------------------------------------

    def predicted_alpha(self, kernels: Kernels) -> float | None:
        """`1^T T^+ 1`, undamped."""
        return None if self.is_damped else pattern_alpha(self.pattern(len(kernels.layers)))

    def _kernel(self, kernels: Kernels) -> tuple[Float[Array, "n n"], Float[Array, "m n"] | None]:
        thetas = [layer.theta for layer in kernels.layers]
        rows = [t.train if t.cross is None else jnp.concatenate([t.train, t.cross]) for t in thetas]
        groups, shift = self._groups(kernels), self._shift(kernels)
        if groups is None:
            duals = self.duals(kernels, jnp.eye(kernels.size, dtype=rows[0].dtype))
            total = sum_(row @ dual for row, dual in zip(rows, duals, strict=True) if dual is not None)
        else:
            sums = [(c, sum_(rows[i] for i in group)) for c, group in groups]
            total = sum_(project(both, both[: kernels.size], shift, scale=c) for c, both in sums)
        train, cross = symmetric_part(total[: kernels.size]), total[kernels.size :]
        return train, None if thetas[0].cross is None else cross

    def _groups(self, kernels: Kernels) -> list[tuple[float, tuple[int, ...]]] | None:
        return separate_groups(self.pattern(len(kernels.layers)), self.is_damped)

    def _shift(self, kernels: Kernels) -> Any:
        return kernels.samples * self.damping

    def duals(self, kernels: Kernels, right: Float[Array, "n k"]) -> list[Float[Array, "n k"] | None]:
        """`V_l right` for every layer; `None` where the layer does not move."""
        thetas = [layer.theta.train for layer in kernels.layers]
        groups = self._groups(kernels)
        if groups is not None:
            solved = [c * solve(sum_(thetas[i] for i in g), self._shift(kernels), right) for c, g in groups]
            return _per_layer(groups, solved, len(thetas))
        pattern = self.pattern(len(thetas))
        if self.is_damped:
            return _solve_coupled(pattern, thetas, self._shift(kernels), right)
        return _solve_singular(pattern, thetas, right)

    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """Every `Theta_l + N rho I` (or sum over a group of layers) that is inverted, or the coupled system."""
        shift, groups = float(self._shift(kernels)), self._groups(kernels)
        thetas = [np.asarray(layer.theta.train) for layer in kernels.layers]
        if groups is None and self.is_damped:
            system = coupled_system(self.pattern(len(thetas)), thetas)
            return (inspect(f"the coupled system of {self.name}", system, shift, is_gram=False),)
        inverted = [(i,) for i in range(len(thetas))] if groups is None else [group for _, group in groups]
        return tuple(inspect(_group_name(kernels, group), sum_(thetas[i] for i in group), shift) for group in inverted)

    # -- parameters --------------------------------------------------------------------------------------------------

    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Any, ...]:
        """`D_l = sum_c (V_l r)[c] delta_l[c]`."""
        dtype = kernels.layers[0].theta.train.dtype
        if self.solver is None:
            duals = self.duals(kernels, residual.reshape(-1, 1).astype(dtype))
        else:
            duals = self._without_matrices(self.solver, [record.astype(dtype) for record in records], residual)
        return tuple(
            combine(record, jnp.zeros_like(residual) if dual is None else dual)
            for record, dual in zip(records, duals, strict=True)
        )

    def _without_matrices(
        self, solver: ConjugateGradients, records: Sequence[LayerRecord], residual: Array
    ) -> list[Array | None]:
        right = residual.reshape(-1).astype(records[0].deltas.dtype)
        groups = separate_groups(self.pattern(len(records)), self.is_damped)
        if groups is None:
            raise ValueError(
                f"conjugate gradients need definite systems, which damped or singular {self.name} does not have; use "
                "solver=None"
            )
        shift = len(residual) * self.damping
        solved = [c * solver.solve([records[i] for i in g], right, shift) for c, g in groups]
        return _per_layer(groups, solved, len(records))

    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Float[np.ndarray, "P P"]:
        """`J^T J / N` with the blocks outside of the pattern set to 0, plus `rho I`."""
        pattern = self.pattern(len(layers))
        rows = [
            [pattern[i, j] * a.jacobian.T @ b.jacobian / samples for j, b in enumerate(layers)]
            for i, a in enumerate(layers)
        ]
        fisher = np.block(rows)
        return fisher + float(self.damping) * np.eye(len(fisher))


@dataclasses.dataclass(frozen=True)
class Exact(LayerPattern):
    """The exact Fisher matrix: `K = Theta' (Theta + N rho I)^{-1}`; undamped `K = I`, `alpha = 1`."""

    def pattern(self, depth: int) -> Float[np.ndarray, "L L"]:
        """All ones."""
        return np.ones((depth, depth))


@dataclasses.dataclass(frozen=True)
class BlockDiagonal(LayerPattern):
    """One block a layer: `K = sum_l Theta'_l (Theta_l + N rho I)^{-1}`; undamped `alpha = L`."""

    def pattern(self, depth: int) -> Float[np.ndarray, "L L"]:
        """Identity."""
        return np.eye(depth)


@dataclasses.dataclass(frozen=True)
class BlockTriDiagonal(LayerPattern):
    """Neighbouring layers are coupled: `T_ij = 1` where `|i - j| <= 1`.

    Undamped `alpha` is `s` at depth `3s` and `s + 1` at depths `3s + 1` and `3s + 2` (there by the limit of vanishing
    damping, `T` is singular). `T` is indefinite from depth 3 on, so a damped system can be singular for unlucky `rho`:
    its conditioning is inspected and its verdict can be `"ill-posed"`.
    """

    def pattern(self, depth: int) -> Float[np.ndarray, "L L"]:
        """Ones on three diagonals."""
        index = np.arange(depth)
        return (np.abs(index[:, None] - index) <= 1).astype(float)


@dataclasses.dataclass(frozen=True)
class CustomPattern(LayerPattern):
    """Any symmetric 0/1 pattern.

    Attributes:
        blocks: `T` as nested tuples, so that it can be hashed; arrays are converted.
    """

    blocks: tuple[tuple[float, ...], ...] = ((1.0,),)

    def __post_init__(self) -> None:
        super().__post_init__()
        array = np.asarray(self.blocks, float)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or not np.array_equal(array, array.T):
            raise ValueError(f"blocks must be a symmetric matrix, got shape {array.shape}; symmetrise it")
        if not np.isin(array, (0, 1)).all() or not (np.diag(array) == 1).all():
            raise ValueError("blocks must hold 0 or 1 only, with ones on the diagonal: every layer keeps its own block")
        object.__setattr__(self, "blocks", tuple(tuple(map(float, row)) for row in array))

    def pattern(self, depth: int) -> Float[np.ndarray, "L L"]:
        """`blocks`, which must fit the depth."""
        if depth != len(self.blocks):
            raise ValueError(f"the pattern is for {len(self.blocks)} layers, got a network with {depth}")
        return np.asarray(self.blocks)


def _per_layer(
    groups: Sequence[tuple[float, tuple[int, ...]]], solved: Sequence[Array], depth: int
) -> list[Array | None]:
    """The solution of its group for every layer, `None` for layers of no group."""
    found = {i: solution for (_, group), solution in zip(groups, solved, strict=True) for i in group}
    return [found.get(i) for i in range(depth)]


def _solve_coupled(pattern: np.ndarray, thetas: Any, shift: Any, right: Array) -> list[Array | None]:
    size, depth = len(right), len(thetas)
    rows = [
        jnp.concatenate([float(pattern[i, j]) * theta for j, theta in enumerate(thetas)], axis=1) for i in range(depth)
    ]  # fmt: skip
    system = shifted(jnp.concatenate(rows), shift)
    return list(jnp.linalg.solve(system, jnp.tile(right, (depth, 1))).reshape(depth, size, -1))


def _solve_singular(pattern: np.ndarray, thetas: Any, right: Array) -> list[Array | None]:
    r"""The limit `rho -> 0`: `V = R^{-T} S^+ R^T (1 kron I)` with `D = R R^T`, `S = R^T (T kron I) R`."""
    if pattern_alpha(pattern) is None:
        raise ValueError(
            "the pattern is singular and T c = 1 has no solution, so there is no undamped limit; use damping > 0"
        )
    size, depth = len(right), len(thetas)
    roots = [jnp.linalg.cholesky(theta) for theta in thetas]
    blocks = [[float(pattern[i, j]) * a.T @ b for j, b in enumerate(roots)] for i, a in enumerate(roots)]
    values, vectors = jnp.linalg.eigh(jnp.block(blocks))
    null = size * (depth - np.linalg.matrix_rank(pattern, tol=TINY))  # inertia: known, not guessed from a tolerance
    order = jnp.argsort(jnp.abs(values))
    inverse = jnp.zeros_like(values).at[order[null:]].set(1 / values[order[null:]])
    stacked = jnp.concatenate([root.T @ right for root in roots])
    moved = (vectors * inverse[None]) @ (vectors.T @ stacked)
    return [
        jax.scipy.linalg.solve_triangular(root.T, part, lower=False)
        for root, part in zip(roots, moved.reshape(depth, size, -1), strict=True)
    ]


def _group_name(kernels: Kernels, group: tuple[int, ...]) -> str:
    if len(group) == 1:
        return f"Theta of layer {kernels.layers[group[0]].name}"
    if len(group) == len(kernels.layers):
        return "the NTK (sum of Theta over all layers)"
    return f"the sum of Theta over layers {', '.join(kernels.layers[i].name for i in group)}"
