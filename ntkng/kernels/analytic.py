r"""Layer kernels at infinite width, for any graph of `ntkng.stax` layers, from neural-tangents' kernel maps.

Every kernel map is affine in the incoming NTK, `NTK_out = D(NTK_in) + own`, where `own` comes from the layer's own
parameters (`own = A_{l-1}` for a dense layer). Hence `Theta = sum_l D_L ... D_{l+1}(own_l)`, and the reverse derivative of
`sum(Theta)` by a perturbation of layer l's outgoing NTK is its backward Gram `B_l`; then
`Theta_l = own_l o B_l`, summed over positions. For a multilayer perceptron these are
`B_L = 1 1^T`, `B_l = sigma_w^2 B_{l+1} o E[phi'(u_l) phi'(u_l)^T]`, `Theta_l = A_{l-1} o B_l` (Karakida and Osawa 2020, section 3).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.kernels.kernels import Gram, Kernels, LayerKernels
from ntkng.network import Network
from ntkng.precision import AnyArray, in_float64, is_concrete
from ntkng.tape import KernelTape, running
from ntkng.validation import positive_integer

DENSE = "Dense"


@in_float64
def analytic(
    network: Network,
    x: Float[AnyArray, "N *input"],
    x_test: Float[AnyArray, "M *input"] | None = None,
    *,
    dtype: Any = jnp.float64,
    rows: int | None = None,
    test_covariance: bool = False,
) -> Kernels:
    """Infinite-width kernels of every parametrised layer.

    Args:
        network: the architecture; its hidden widths play no role here in the NTK parametrisation.
        x: training inputs.
        x_test: test inputs, or `None`.
        dtype: of the computation.
        rows: compute this many rows at a time, to bound memory; `None` takes all at once. Any number will do.
        test_covariance: also compute the NNGP kernel among test inputs, `[M, M]`, which ensembles need.

    Returns:
        `Kernels` with `[N, N]` and `[M, N]` Grams (outputs are independent; see `ntkng.kernels.kernels`).

    Raises:
        ValueError: inputs that do not fit the network, or are not finite.
    """
    x = check_inputs(network, "x", x, dtype)
    train = _in_rows(network, x, None, rows)
    cross = None
    if x_test is not None:
        cross = _in_rows(network, check_inputs(network, "x_test", x_test, dtype), x, rows)
    nngp_test = None
    if test_covariance:
        if x_test is None:
            raise ValueError("test_covariance needs test inputs, got x_test=None; pass x_test")
        nngp_test = _nngp(network, check_inputs(network, "x_test", x_test, dtype))
    return _assemble(network, x.shape[0], train, cross, nngp_test)


def check_inputs(network: Network, name: str, x: Any, dtype: Any) -> Array:
    """`x` as an array of `dtype` whose shape fits the network."""
    array = jnp.asarray(x, dtype)
    if array.ndim == 0 or array.shape[1:] != network.input_shape:
        expected = ", ".join(map(str, ("N", *network.input_shape)))
        raise ValueError(f"{name} must have shape [{expected}] for this network, got {list(array.shape)}; reshape it")
    if array.shape[0] == 0:
        raise ValueError(f"{name} has no samples, got shape {array.shape}")
    if is_concrete(array) and not bool(jnp.isfinite(array).all()):
        raise ValueError(f"{name} has NaN or infinite entries; remove them")
    return array


def layerwise(
    network: Network, x1: Array, x2: Array | None, diagonal: Any = None
) -> tuple[Array, list[tuple[Array, Array, Array]]]:
    """NNGP and, per layer, `(Theta_l, own_l, B_l)` on one block; differentiable and compilable.

    `diagonal`: column of the first row's own sample, where rows and columns are the same inputs (see `KernelTape`).
    """

    def total(perturbations: Any) -> tuple[Array, Any]:
        with running(KernelTape(perturbations, diagonal)) as tape:
            kernel = network.layer.kernel_fn(x1, x2, ("nngp", "ntk"))
        return kernel.ntk, (kernel.nngp, tape.own)

    _, (_, own) = jax.eval_shape(lambda: total(None))
    zeros = [jnp.zeros(o.shape, o.dtype) for o in own]
    ntk, pull, (nngp, own) = jax.vjp(total, zeros, has_aux=True)
    (backward,) = pull(jnp.ones_like(ntk))
    return nngp, [
        ((o * b).sum(axis=tuple(range(2, o.ndim))), o, b) for o, b in zip(own, backward, strict=True)
    ]  # fmt: skip


_layerwise = jax.jit(layerwise, static_argnums=0)


def _in_rows(network: Network, x1: Array, x2: Array | None, rows: int | None) -> Any:
    """`layerwise` in blocks of rows, the last one padded so that a single program is compiled."""
    if rows is None or positive_integer("rows", rows) >= x1.shape[0]:
        return _layerwise(network, x1, x2, 0 if x2 is None else None)
    blocks = []
    for start in range(0, x1.shape[0], rows):
        block = x1[start : start + rows]
        missing = rows - block.shape[0]
        padded = jnp.concatenate([block, x1[:missing]]) if missing else block
        part = _layerwise(network, padded, x1 if x2 is None else x2, start if x2 is None else None)
        blocks.append(jax.tree.map(lambda leaf, keep=block.shape[0]: leaf[:keep], part))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *blocks)


def _nngp(network: Network, x: Array) -> Array:
    return network.layer.kernel_fn(x, None, "nngp")


def _assemble(network: Network, samples: int, train: Any, cross: Any, nngp_test: Array | None) -> Kernels:
    layers = []
    for index, (name, tag) in enumerate(zip(network.layer_names(), network.tags, strict=True)):
        theta, own, backward = (
            Gram(part, None if cross is None else cross[1][index][i]) for i, part in enumerate(train[1][index])
        )
        has_factors = tag.kind == DENSE and own.train.ndim == 2
        factors = (own, backward) if has_factors else (None, None)
        is_output = index == network.output_layer
        layers.append(LayerKernels(theta, *factors, name, network.dimensions[index], is_output))
    nngp = Gram(train[0], None if cross is None else cross[0])
    return Kernels(tuple(layers), nngp, nngp_test, samples, network.outputs, "analytic")
