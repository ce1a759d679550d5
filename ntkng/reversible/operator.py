"""What the update of a RevMLP does in function space: `J R`, and where it is not `L_b I`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkng.precision import in_float64
from ntkng.reversible.kernels import layer_kernels
from ntkng.reversible.network import AnyArray, RevMLP, Weights
from ntkng.reversible.update import RightInverse


@in_float64
def block_operators(
    model: RevMLP, weights: Weights, inputs: Float[AnyArray, "N D"], inverse: RightInverse
) -> Float[Array, "L_b ND ND"]:
    r"""`J_b R_b` of every block, on the representation `z^{(L_b)}` of the inputs, sample-major; dense, for small `N D`.

    - If both feature matrices of block `b` have full row rank (`N <= m + 1` generically; a linear first block needs
      `N <= D/2 + 1`), `J_b R_b = I`. If all blocks do, `J R = sum_b J_b R_b = L_b I`.
    - Otherwise `J_b R_b` is an idempotent, in general oblique projector of the rank `operator_ranks` predicts, even
      where `J` itself has full rank.
    """
    weights = jax.tree.map(jnp.asarray, weights)
    return _block_operators(model, weights, jnp.asarray(inputs), inverse)


@partial(jax.jit, static_argnames=("inverse",))
def _block_operators(model: RevMLP, weights: Weights, inputs: Array, inverse: RightInverse) -> Array:
    z = model.representation(weights, inputs)

    def moved(error: Array) -> Array:
        direction = inverse(model, weights, z, error.reshape(z.shape)).weights
        outputs = []
        for block in range(model.blocks):
            tangent = jax.tree.map(jnp.zeros_like, direction[:block])
            tangent += (direction[block], *jax.tree.map(jnp.zeros_like, direction[block + 1 :]))
            outputs.append(jax.jvp(lambda w: model.representation(w, inputs), (weights,), (tangent,))[1].ravel())
        return jnp.stack(outputs)

    columns = jax.lax.map(moved, jnp.eye(z.size), batch_size=32)  # [ND L_b ND], the last axis being the output
    return columns.transpose(1, 2, 0)


@in_float64
def operator_ranks(
    model: RevMLP, weights: Weights, inputs: Float[AnyArray, "N D"], inverse: RightInverse
) -> Int[Array, " L_b"]:
    """Predicted rank of each `J_b R_b`: `(rank A_f + rank A_g) D/2`, ranks under the cut of `inverse`."""
    return _feature_ranks(model, weights, jnp.asarray(inputs), inverse).sum(1) * (model.dim // 2)


@partial(jax.jit, static_argnames=("inverse",))
def _feature_ranks(model: RevMLP, weights: Weights, inputs: Array, inverse: RightInverse) -> Int[Array, "L_b 2"]:
    z = model.representation(weights, inputs)
    return inverse(model, weights, z, jnp.zeros_like(z)).ranks


def generic_operator_trace(model: RevMLP, samples: int, input_rank: int | None = None) -> int:
    """Trace of `J R` in general position: the sum of its blocks' ranks, `sum_b (rank A_f + rank A_g) D/2`.

    A feature matrix has rank `min(N, q)`, in a linear first block `min(N, rank of its half of the inputs + 1, q)`;
    hidden units that are zero on all samples make it smaller (`operator_ranks` counts what there is).

    Args:
        model: the network.
        samples: `N`.
        input_rank: rank of each half of the inputs (at most `D/2`, the default); smaller for lifted inputs.
    """
    half = model.dim // 2
    nonlinear = min(samples, model.feature_count)
    linear = min(nonlinear, min(half, input_rank if input_rank is not None else half) + 1)
    first = linear if model.linear_first else nonlinear
    return 2 * half * (first + (model.blocks - 1) * nonlinear)


def fisher_spectrum(
    model: RevMLP,
    weights: Weights,
    inputs: Float[AnyArray, "N D"],
    groups: Literal["block", "half-layer"],
    rtol: float = 1e-10,
) -> Float[np.ndarray, " ND"]:
    r"""Eigenvalues of `J G^+ J^T = sum_g J_g J_g^+`, `G` the block-diagonal Fisher with pseudo-inverse, ascending.

    `groups="block"` keeps a coupling block's two half-layers together: when all feature matrices have full row rank,
    each `J_b J_b^+ = I` and all eigenvalues are `L_b`. `groups="half-layer"` treats them apart: a half-layer's Jacobian
    has rank `N D/2` at most, so its projector is not the identity and the sum is not isotropic, although its trace is
    still `L_b N D`; it becomes isotropic as the weights vanish.

    Args:
        model: the network.
        weights: where the Jacobian is taken.
        inputs: `N D` is the size of a dense eigenproblem.
        groups: which weights share a block of `G`.
        rtol: eigenvalues of `J_g J_g^T` below `rtol` times the largest count as zero.
    """
    if groups not in ("block", "half-layer"):
        raise ValueError(f"got groups={groups!r}, expected 'block' or 'half-layer'")
    kernels = np.asarray(layer_kernels(model, weights, inputs, logits=False))
    size = kernels.shape[-1]
    kernels = kernels.sum(1) if groups == "block" else kernels.reshape(-1, size, size)
    total = np.zeros((size, size))
    for kernel in kernels:
        values, vectors = np.linalg.eigh(kernel)
        kept = vectors[:, values > rtol * values[-1]]
        total += kept @ kept.T
    return np.linalg.eigvalsh(total)
