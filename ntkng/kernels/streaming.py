r"""Symmetric kernels too large to keep several of: filled tile by tile, factorised in place, one at a time.

A kernel of N samples takes `8 N^2` bytes (3.2 GB at N = 20,000), and its Cholesky factor overwrites it. Only the upper
triangle is ever computed; tiles pass through the compiler with a memory bound of their own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning, require_nonsingular, rounding
from ntkng.kernels.analytic import layerwise, require_defined
from ntkng.network import Network

# the `(Theta_l, A_l, B_l)` of all layers on one tile, and what to take of them -> one array
Select = Callable[[list[tuple[Array, Array | None, Array | None]], Hashable], Array]
Track = Callable[[Iterable[Any], str], Iterable[Any]]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def tile(
    network: Network, select: Select, what: Hashable, rows: Array, columns: Array, diagonal: Array | None
) -> Float[Array, "n1 n2"]:
    """One tile of the selected kernel; what is not selected is never computed."""
    return select(layerwise(network, rows, columns, diagonal)[1], what)


@dataclasses.dataclass(frozen=True)
class Factorised:
    """Cholesky factor of a symmetric positive definite matrix, and its conditioning."""

    lower: Float[np.ndarray, "N N"]  # Fortran order; above the diagonal there is nothing of use
    conditioning: Conditioning

    def solve(self, right: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N k"]:
        """`G^{-1} right`."""
        import scipy.linalg

        return np.asarray(scipy.linalg.cho_solve((self.lower, True), right, check_finite=False))


def factorise(
    name: str,
    network: Network,
    x: Float[np.ndarray, "N *input"],
    select: Select,
    what: Hashable,
    side: int,
    track: Track,
) -> Factorised:
    """The selected kernel on `x` in Cholesky form, `N^3 / 3` operations and `8 N^2` bytes.

    Args:
        name: of the kernel, for errors and progress.
        network: the architecture.
        x: inputs.
        select: which kernel, a function at module level.
        what: its second argument.
        side: rows of a tile.
        track: shows progress.

    Raises:
        ValueError: the kernel is singular to working precision, or not finite.
    """
    import scipy.linalg

    matrix, norm = _upper(name, network, x, select, what, side, track)
    if not np.isfinite(norm):
        raise ValueError(f"{name} has NaN or infinite entries; check the inputs and the scale of the weights")
    potrf, pocon = scipy.linalg.get_lapack_funcs(("potrf", "pocon"), (matrix,))
    lower, failed = potrf(
        matrix.T, lower=1, overwrite_a=1, clean=0
    )  # the upper triangle by rows is the lower one by columns
    size, epsilon = len(matrix), float(np.finfo(matrix.dtype).eps)
    if failed:
        found = Conditioning(name, size, abs(int(failed)) - 1, np.inf, np.nan, np.nan, epsilon)
    else:
        reciprocal = float(pocon(lower, norm, uplo="L")[0])
        rank = size if reciprocal > rounding(size, 1.0, epsilon) else size - 1
        condition = 1 / reciprocal if reciprocal > 0 else np.inf
        found = Conditioning(name, size, rank, condition, np.nan, np.nan, epsilon)
    require_nonsingular(found, "use fewer or distinct inputs, a bias, or closed_form with damping > 0")
    return Factorised(lower, found)


def _upper(
    name: str, network: Network, x: np.ndarray, select: Select, what: Hashable, side: int, track: Track
) -> tuple[Float[np.ndarray, "N N"], float]:
    """Upper triangle (with whole tiles on the diagonal), and the 1-norm of the symmetric matrix."""
    size = len(x)
    side = min(side, size)
    starts = [*range(0, size - side, side), size - side]  # the last tile overlaps, so that all have one shape
    matrix = np.empty((size, size))
    for row, column in track([(i, j) for i in starts for j in starts if j >= i], name):
        own, other = jnp.asarray(x[row : row + side]), jnp.asarray(x[column : column + side])
        part = tile(network, select, what, own, other, jnp.asarray(row - column))
        if row == column:
            require_defined(network, own, jnp.diagonal(part))
        matrix[row : row + side, column : column + side] = np.asarray(part)
    return matrix, _one_norm(matrix, side)


def _one_norm(upper: Float[np.ndarray, "N N"], side: int) -> float:
    """Of the symmetric matrix with this upper triangle, a block of rows at a time."""
    sums = np.zeros(len(upper))
    for start in range(0, len(upper), side):
        block = np.abs(np.triu(upper[start : start + side], start))
        rows = slice(start, start + len(block))
        sums += block.sum(axis=0)
        sums[rows] += block.sum(axis=1) - np.diagonal(block, start)
    return float(sums.max())
