r"""The NNGP kernel alone: the covariance of an untrained infinitely wide network's outputs.

For a multilayer perceptron `S_1 = sigma_w^2 x x^T / M_0 + sigma_b^2`, `S_{l+1} = sigma_w^2 E[phi(u) phi(u)^T] + sigma_b^2` with
`u ~ GP(0, S_l)`, for any other graph what neural-tangents propagates (Lee et al. 2018; Matthews et al. 2018). No tangent kernel and
no backward pass is computed, which takes a fraction of the time and memory of `analytic`.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.arguments import require_type
from ntkng.kernels.analytic import (
    LARGEST_COPIES,
    MEMORY,
    check_inputs,
    covariance_tile,
    largest_array,
    require_defined,
    widest_type,
)
from ntkng.kernels.tiles import in_tiles, preferred_side
from ntkng.network import Network
from ntkng.precision import AnyArray, in_float64, is_concrete, supported_dtype
from ntkng.validation import positive_integer


@in_float64
def nngp(
    network: Network,
    x: Float[AnyArray, "N *input"],
    x2: Float[AnyArray, "M *input"] | None = None,
    *,
    dtype: Any = jnp.float64,
    rows: int | None = None,
    memory: int = MEMORY,
) -> Float[AnyArray, "N M"]:
    """Covariance `S(x, x2)` of one output over random networks; different outputs are independent.

    Args:
        network: the architecture; its hidden widths play no role.
        x: inputs of the rows.
        x2: inputs of the columns; `None` takes those of the rows, which gives a matrix that is symmetric to the last bit.
        dtype: of the computation, float64 or float32.
        rows: side of the tiles in which the kernel is computed; `None` chooses it so that a tile fits into `memory`.
        memory: bytes for intermediate results, beside the result itself.

    Raises:
        ValueError: inputs that do not fit the network, or are not finite.

    Example:
        ```python
        S = ntkng.nngp(ntkng.mlp(784, depth=21, sigma_w=1.45**0.5, sigma_b=0.28**0.5), x)
        ```
    """
    require_type("network", network, Network, "build one with ntkng.mlp or ntkng.Network, and give it first")
    dtype = supported_dtype("dtype", dtype)
    with widest_type(dtype):
        x = check_inputs(network, "x", x, dtype)
        x2 = None if x2 is None else check_inputs(network, "x2", x2, dtype)
        side = preferred_side(len(x), _side(network, x, memory)) if rows is None else positive_integer("rows", rows)
        covariance = in_tiles(covariance_tile, network, x, x2, side)
        if is_concrete(covariance):
            require_defined(network, x, covariance.diagonal() if x2 is None else covariance[:, 0])
        return covariance


@in_float64
def variance(network: Network, x: Float[AnyArray, "N *input"], *, dtype: Any = jnp.float64) -> Float[AnyArray, "N"]:
    """`S(x_n, x_n)` alone, in the memory of the inputs.

    Raises:
        ValueError: inputs that do not fit the network, or are not finite.
    """
    dtype = supported_dtype("dtype", dtype)
    with widest_type(dtype):
        return _variance(network, check_inputs(network, "x", x, dtype))


@functools.partial(jax.jit, static_argnums=0)
def _variance(network: Network, x: Array) -> Array:
    return jax.lax.map(lambda one: covariance_tile(network, one[None], None, 0)[0, 0], x, batch_size=64)


def _side(network: Network, x: Array, memory: int) -> int:
    return max(1, int((memory / _bytes_per_pair(network, x.dtype)) ** 0.5))


@functools.lru_cache(maxsize=64)
def _bytes_per_pair(network: Network, dtype: Any) -> int:
    two = jax.ShapeDtypeStruct((2, *network.input_shape), dtype)
    jaxpr = jax.make_jaxpr(lambda x: covariance_tile(network, x, None, None))(two)
    return LARGEST_COPIES * max(1, largest_array(jaxpr.jaxpr) // 4) * dtype.itemsize
