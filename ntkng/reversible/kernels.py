"""Neural tangent kernels of a RevMLP, layer by layer, and their closed forms at zero weights."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.precision import in_float64
from ntkng.reversible.network import AnyArray, RevMLP, Weights


@in_float64
def layer_kernels(
    model: RevMLP,
    weights: Weights,
    inputs: Float[AnyArray, "N D"],
    inputs_2: Float[AnyArray, "M D"] | None = None,
    *,
    logits: bool = True,
) -> Float[Array, "L_b 2 NC MC"]:
    r"""`Theta_{b,h} = J_{b,h} J_{b,h}^T` of every half-layer `h` in (f, g), sample-major, no `1/N`.

    An output of half-layer `(b, h)` is `A W`, so its weights enter the network output of sample `n` through the
    `[C, D/2]` matrix `M_n = d output / d (A W)_n` only, and

        Theta_{b,h}[(n,c), (n',c')] = (A A^T)[n, n'] (M_n M_{n'}^T)[c, c'].

    The sum over all half-layers is the NTK.

    Args:
        model: the network.
        weights: where the kernel is taken.
        inputs: rows of the kernel.
        inputs_2: columns of the kernel; by default the same.
        logits: kernel of the logits; with `False` of the representation `z^{(L_b)}`, with `D` outputs.
    """
    weights = jax.tree.map(jnp.asarray, weights)
    left = _factors(model, weights, jnp.asarray(inputs), logits)
    right = left if inputs_2 is None else _factors(model, weights, jnp.asarray(inputs_2), logits)
    pairs = [
        [_kernel(*f, *g) for f, g in zip(block, block_2, strict=True)]
        for block, block_2 in zip(left, right, strict=True)
    ]
    return jnp.stack([jnp.stack(pair) for pair in pairs])


def neural_tangent_kernel(
    model: RevMLP, weights: Weights, inputs: Float[AnyArray, "N D"], inputs_2: Float[AnyArray, "M D"] | None = None
) -> Float[Array, "NC MC"]:
    """`Theta = J J^T` of the logits, sample-major, no `1/N`."""
    return layer_kernels(model, weights, inputs, inputs_2).sum((0, 1))


@in_float64
def zero_weight_ntk(model: RevMLP, inputs: Float[AnyArray, "N D"]) -> Float[Array, "NC NC"]:
    r"""The NTK at zero weights, where every block is the identity and all blocks see the inputs.

        Theta = sum_b  A_f A_f^T (x) U_1^T U_1  +  A_g A_g^T (x) U_2^T U_2,

    with `U = (U_1; U_2)` split like `z`, `A_f` at `x2` and `A_g` at `x1`; `(x)` is the Kronecker product, samples
    first. Exact at every width.
    """
    inputs = jnp.asarray(inputs)
    halves = {"f": inputs[:, model.dim // 2 :], "g": inputs[:, : model.dim // 2]}
    readouts = dict(zip("fg", jnp.split(jnp.asarray(model.readout), 2), strict=True))
    total = jnp.zeros((len(inputs) * model.classes,) * 2)
    for block in range(model.blocks):
        for half in "fg":
            a = model.features(block, half, halves[half])
            total += jnp.kron(a @ a.T, readouts[half].T @ readouts[half])
    return total


def zero_weight_ntk_infinite_width(model: RevMLP, inputs: Float[AnyArray, "N D"]) -> Float[np.ndarray, "NC NC"]:
    r"""`zero_weight_ntk` for `m -> infinity`, with the readout of `model`.

    `A A^T -> k(x, x') + 1` with the arc-cosine kernel `k = |x||x'| (sin t + (pi - t) cos t) / (2 pi)`, `t` the angle
    between the rows, or `k = x.x'` in a linear first block. At width `m` the relative deviation is of order
    `m^{-1/2}`.

    Raises:
        ValueError: when `model` has no inverted bottleneck, and so no width.
    """
    if model.expansions[0][0] is None:
        raise ValueError("got a network without inverted bottleneck: there is no width to take to infinity")
    inputs = np.asarray(inputs, dtype=np.float64)
    halves = (inputs[:, model.dim // 2 :], inputs[:, : model.dim // 2])
    readouts = np.split(np.asarray(model.readout, dtype=np.float64), 2)
    total = np.zeros((len(inputs) * model.classes,) * 2)
    for block in range(model.blocks):
        for x, u in zip(halves, readouts, strict=True):
            kernel = x @ x.T if model.linear_first and block == 0 else arc_cosine_kernel(x)
            total += np.kron(kernel + 1, u.T @ u)
    return total


def arc_cosine_kernel(x: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "N N"]:
    """`E[relu(u.x) relu(u.x')]` for `u ~ N(0, I)`: `|x||x'| (sin t + (pi - t) cos t) / (2 pi)`."""
    norms = np.linalg.norm(x, axis=1)
    scale = np.outer(norms, norms)
    cosine = np.divide(x @ x.T, scale, out=np.zeros_like(scale), where=scale > 0).clip(-1, 1)
    angle = np.arccos(cosine)
    return scale * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)


@partial(jax.jit, static_argnames=("logits",))
def _factors(model: RevMLP, weights: Weights, x: Array, logits: bool) -> list[list[tuple[Array, Array]]]:
    """Per block and half the pair `(A [N q], M [N C D/2])`."""
    shape = (model.blocks, 2, model.dim // 2)
    output = lambda shifts, sample: _shifted(model, weights, sample, shifts, logits)  # noqa: E731
    jacobians = jax.vmap(jax.jacobian(output), in_axes=(None, 0))(jnp.zeros(shape, x.dtype), x)  # [N C L_b 2 D/2]
    factors = []
    for block, after in enumerate(model.representations(weights, x)):
        a_f = model.features(block, "f", x[:, model.dim // 2 :])
        a_g = model.features(block, "g", after[:, : model.dim // 2])
        factors.append([(a_f, jacobians[:, :, block, 0]), (a_g, jacobians[:, :, block, 1])])
        x = after
    return factors


def _shifted(model: RevMLP, weights: Weights, sample: Array, shifts: Array, logits: bool) -> Array:
    """The output for one sample when `shifts[b, h]` is added to the output of each half-layer."""
    z = sample[None]
    for block in range(model.blocks):
        x1, x2 = jnp.split(z, 2, axis=1)
        y1 = x1 + model.features(block, "f", x2) @ weights[block]["f"] + shifts[block, 0]
        y2 = x2 + model.features(block, "g", y1) @ weights[block]["g"] + shifts[block, 1]
        z = jnp.concatenate([y1, y2], axis=1)
    return (z @ model.readout if logits else z)[0]


def _kernel(a: Array, m: Array, a_2: Array, m_2: Array) -> Array:
    blocks = jnp.einsum("nk,Nk,nci,NCi->ncNC", a, a_2, m, m_2, optimize="optimal")
    return blocks.reshape(m.shape[0] * m.shape[1], -1)
