r"""Conjugate gradients in data space: `(Theta + N rho I) v = r` from products `J (J^T v)` alone, no `N C x N C` matrix.

One product costs one forward and one reverse pass per layer (`O(N K M + N C M)` for a dense layer), and its memory is that
of one parameter gradient. A Cholesky solve takes `O((N C)^3 / 3)` after Grams of `O((N C)^2 M)`: conjugate gradients win
where `N C` is large and the system well conditioned; they take about `sqrt(condition) log(1 / tolerance)` products.

Damped, they start at `v = r / (d + N rho)` with an estimate `d` of the diagonal of `Theta`. A saturated probability (see
`ntkng.whitening`) has a tiny row of `J` and a huge entry of `r`, of which this is the solution already; what is left is in
proportion to the rows of `J` again, so that the tolerance counts for every sample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import jax.scipy.sparse.linalg
from jaxtyping import Array, Float

from ntkng.fisher.combine import combine
from ntkng.fisher.kronecker import is_zero
from ntkng.kernels.kernels import sum_
from ntkng.layers import LayerRecord, pullback, pushforward
from ntkng.validation import positive, positive_integer

SLACK = 10  # the residual that the recursion carries drifts from the true one


@dataclasses.dataclass(frozen=True)
class ConjugateGradients:
    """How to solve without matrices.

    Attributes:
        tolerance: of `|r - (Theta + N rho I) v| / |r|` (damped: of what the first guess leaves, see the module); a
            solution that misses it ten times over is NaN, never returned.
        max_iterations: products per solve at most.
    """

    tolerance: float = 1e-8
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        positive("tolerance", self.tolerance)
        positive_integer("max_iterations", self.max_iterations)

    def solve(
        self, records: Sequence[LayerRecord], right: Float[Array, "n"], shift: float | Array
    ) -> Float[Array, "n"]:
        """`v` with `(sum_l J_l J_l^T + shift) v = right` over these layers; NaN where the tolerance is missed."""
        product = layer_product(records, shift)
        first, seen, rest = jnp.zeros_like(right), right, right
        if not is_zero(shift):
            diagonal = _diagonal(records)
            first = right / (diagonal + shift)
            seen = diagonal * first  # right - shift first, without their difference
            rest = seen - layer_product(records, 0)(first)
        limit = self.tolerance * jnp.maximum(jnp.linalg.norm(seen), jnp.linalg.norm(rest))
        most = self.max_iterations
        change, _ = jax.scipy.sparse.linalg.cg(product, rest, tol=0.0, atol=limit, maxiter=most)  # pyright: ignore
        error = jnp.linalg.norm(rest - product(change))
        return jnp.where(error <= SLACK * limit, first + change, jnp.nan)


def layer_product(records: Sequence[LayerRecord], shift: float | Array) -> Callable[[Array], Array]:
    """`v -> sum_l J_l (J_l^T v) + shift v` over these layers, `[N C] -> [N C]`."""

    def product(vector: Float[Array, "n"]) -> Float[Array, "n"]:
        total = shift * vector
        for record in records:
            total = total + pushforward(record, pullback(record, combine(record, vector))).reshape(-1)
        return total

    return product


def _diagonal(records: Sequence[LayerRecord]) -> Float[Array, "n"]:
    """The diagonal of `sum_l J_l J_l^T`, about: the squares of the backward signals, in the scale that one product gives them."""
    squares = sum_((record.deltas**2).reshape(record.samples * record.outputs, -1).sum(axis=1) for record in records)
    signs = jax.random.rademacher(jax.random.key(0), squares.shape, squares.dtype)
    vector = jnp.where(squares > 0, signs / jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    leaves = [leaf for record in records for leaf in jax.tree.leaves(pullback(record, combine(record, vector)))]
    return squares * sum_(jnp.sum(leaf**2) for leaf in leaves) / jnp.maximum((squares > 0).sum(), 1)
