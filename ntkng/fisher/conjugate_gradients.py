r"""Conjugate gradients in data space: `(Theta + N rho I) v = r` from products `J (J^T v)` alone, no `N C x N C` matrix.

One product costs one forward and one reverse pass per layer (`O(N K M + N C M)` for a dense layer), and its memory is that
of one parameter gradient. A Cholesky solve takes `O((N C)^3 / 3)` after Grams of `O((N C)^2 M)`: conjugate gradients win
where `N C` is large and the system well conditioned; they take about `sqrt(condition) log(1 / tolerance)` products.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import jax.scipy.sparse.linalg
from jaxtyping import Array, Float

from ntkng.fisher.combine import combine
from ntkng.layers import LayerRecord, pullback, pushforward
from ntkng.validation import positive, positive_integer

SLACK = 10  # the residual that the recursion carries drifts from the true one


@dataclasses.dataclass(frozen=True)
class ConjugateGradients:
    """How to solve without matrices.

    Attributes:
        tolerance: of `|r - (Theta + N rho I) v| / |r|`; a solution that misses it ten times over is NaN, never returned.
        max_iterations: products per solve at most.
    """

    tolerance: float = 1e-8
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        positive("tolerance", self.tolerance)
        positive_integer("max_iterations", self.max_iterations)

    def solve(self, product: Callable[[Array], Array], right: Float[Array, "n"]) -> Float[Array, "n"]:
        """`v` with `product(v) = right`, for a positive definite `product`; NaN where the tolerance is missed."""
        solution, _ = jax.scipy.sparse.linalg.cg(product, right, tol=self.tolerance, maxiter=self.max_iterations)
        error = jnp.linalg.norm(right - product(solution))
        return jnp.where(error <= SLACK * self.tolerance * jnp.linalg.norm(right), solution, jnp.nan)


def layer_product(records: Sequence[LayerRecord], shift: float | Array) -> Callable[[Array], Array]:
    """`v -> sum_l J_l (J_l^T v) + shift v` over these layers, `[N C] -> [N C]`."""

    def product(vector: Float[Array, "n"]) -> Float[Array, "n"]:
        total = shift * vector
        for record in records:
            total = total + pushforward(record, pullback(record, combine(record, vector))).reshape(-1)
        return total

    return product
