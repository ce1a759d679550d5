"""The layer of neural-tangents for an activation whose kernels are integrated, for all layouts of its kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ntkng._neural_tangents import requirements
from ntkng.precision import is_concrete
from ntkng.quadrature.activation import Activation
from ntkng.quadrature.moments import Orders, covariances, variances
from ntkng.quadrature.trust import Trust, trust

SLACK = 1 + 1e-6  # of the largest variance: rounding of a variance at the limit is no reason to refuse it


def numerical(activation: Activation) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """`(init_fn, apply_fn, kernel_fn)` of neural-tangents.

    Inputs outside of the range in which the integrals are accurate end in a `ValueError`; under `jax.jit`, where no value can
    be looked at, in NaN.
    """

    @requirements.layer
    @requirements.supports_masking(remask_kernel=True)
    def construct() -> Any:
        def init_fn(_: Any, input_shape: Any) -> Any:
            return input_shape, ()

        def apply_fn(_: Any, inputs: Any, **__: Any) -> Any:
            return activation.function(inputs)

        @requirements.requires(diagonal_spatial=requirements.Diagonal())
        def kernel_fn(kernel: Any, **_: Any) -> Any:
            if not kernel.is_gaussian:
                raise ValueError(
                    f"{activation.name} got a kernel of inputs that are not Gaussian, expected those of a layer with random "
                    "weights; put stax.Dense or stax.Conv before it"
                )
            return _map(activation, kernel)

        return init_fn, apply_fn, kernel_fn

    return construct()


def _map(activation: Activation, kernel: Any) -> Any:
    known = trust(activation)
    batch, spatial = kernel.diagonal_batch, kernel.diagonal_spatial
    left = _checked(activation, known, requirements.get_diagonal(kernel.cov1, batch, spatial))
    right = None
    if kernel.cov2 is not None:
        right = _checked(activation, known, requirements.get_diagonal(kernel.cov2, batch, spatial))
    tables = known.tables[jnp.dtype(kernel.nngp.dtype)]

    def between(orders: Orders, rows: Array, columns: Array | None, covariance: Array, is_paired: bool) -> Array:
        axes, shape = _as_matrices(covariance.shape, is_paired, spatial)
        vectors = (None if part is None else _as_vectors(part, is_paired, spatial) for part in (rows, columns))
        found = covariances(activation, tables, orders, *vectors, covariance.transpose(axes).reshape(shape))
        found = found.reshape(len(orders), *(covariance.shape[axis] for axis in axes))
        return found.transpose(0, *(axes.index(axis) + 1 for axis in range(len(axes))))

    def among(covariance: Any, variance: Any) -> Array:
        if batch and spatial:
            return variances(activation, tables, (0, 0), variance)
        return between(((0, 0),), variance, None, covariance, not batch)[0]

    orders = ((0, 0),) if kernel.ntk is None else ((0, 0), (1, 1))
    nngp, *slopes = between(orders, left, right, kernel.nngp, True)
    cov2 = None if right is None else among(kernel.cov2, right)
    ntk = kernel.ntk * slopes[0] if slopes else None
    return kernel.replace(nngp=nngp, ntk=ntk, cov1=among(kernel.cov1, left), cov2=cov2, is_gaussian=False)


def _checked(activation: Activation, known: Trust, variance: Any) -> Array:
    """Variances, with NaN where the integrals are not accurate.

    Raises:
        ValueError: there is one, and it can be looked at.
    """
    inside = variance <= known.limit**2 * SLACK
    if is_concrete(variance) and not bool(inside.all()):
        largest = float(jnp.sqrt(jnp.where(inside, 0, variance).max()))
        # beyond the levels that were tried the rounding of a covariance alone costs this much near correlation 1
        accuracy = known.reached if known.failed is not None else largest**2 * float(jnp.finfo(jnp.float64).eps)
        raise ValueError(
            f"the kernel of {activation.name} needs Gaussian integrals, whose relative accuracy is {known.accuracy:.0e} for "
            f"input standard deviations up to {known.limit:g} and {accuracy:.0e} beyond; got {largest:.3g}: scale the inputs, "
            "reduce W_std, or use an activation with a closed form such as stax.Erf"
        )
    return jnp.where(inside, variance, jnp.nan)


def _as_matrices(
    shape: tuple[int, ...], is_paired: bool, is_spatial_diagonal: bool
) -> tuple[list[int], tuple[int, int, int]]:
    """Order of axes and shape that make a covariance a batch of matrices.

    Its axes are samples, two of them if `is_paired`, then positions, two for each spatial axis unless `is_spatial_diagonal`.
    """
    batch, rows, columns = ([], [0], [1]) if is_paired else ([0], [], [])
    first = 1 + is_paired
    if is_spatial_diagonal:
        batch += range(first, len(shape))
    else:
        rows += range(first, len(shape), 2)
        columns += range(first + 1, len(shape), 2)
    sizes = [math.prod(shape[axis] for axis in axes) for axes in (batch, rows, columns)]
    return batch + rows + columns, (sizes[0], sizes[1], sizes[2])


def _as_vectors(variance: Array, is_paired: bool, is_spatial_diagonal: bool) -> Array:
    """Variances `[N, *positions]` as the rows of these matrices, `[batch, rows]`."""
    if not is_paired:
        return variance.reshape(variance.shape[0], -1)
    return variance.reshape(variance.shape[0], -1).T if is_spatial_diagonal else variance.reshape(1, -1)
