r"""Layer kernels at infinite width, for any graph of `ntkng.stax` layers, from neural-tangents' kernel maps.

Every kernel map is affine in the incoming NTK, `NTK_out = D(NTK_in) + own`, where `own` comes from the layer's own
parameters (`own = A_{l-1}` for a dense layer). Hence `Theta = sum_l D_L ... D_{l+1}(own_l)`, and the reverse derivative of
`sum(Theta)` by a perturbation of layer l's outgoing NTK is its backward Gram `B_l`; then
`Theta_l = own_l o B_l`, summed over pairs of positions. For a multilayer perceptron these are
`B_L = 1 1^T`, `B_l = sigma_w^2 B_{l+1} o E[phi'(u_l) phi'(u_l)^T]`, `Theta_l = A_{l-1} o B_l` (Karakida and Osawa 2020, section 3).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng import stax
from ntkng.angles import entrance
from ntkng.arguments import require_type
from ntkng.kernels.kernels import Gram, Kernels, LayerKernels
from ntkng.kernels.tiles import in_tiles, preferred_side
from ntkng.kernels.unit_sampling import attach, sample_units
from ntkng.kernels.units import UnitSampling
from ntkng.layers.affine import has_factors
from ntkng.network import Network
from ntkng.origin import Origin
from ntkng.precision import AnyArray, in_float64, is_concrete, supported_dtype
from ntkng.sources import require_independent_outputs
from ntkng.tape import KernelTape, running
from ntkng.validation import numeric_array, positive_integer, shape_advice

MEMORY = 2**30
WORKING_COPIES = 5  # arrays of the size of a layer's own term that are alive at once, per layer (measured, rounded up)
LARGEST_COPIES = 4  # the same for the largest array of all


@in_float64
def analytic(
    network: Network,
    x: Float[AnyArray, "N *input"],
    x_test: Float[AnyArray, "M *input"] | None = None,
    *,
    dtype: Any = jnp.float64,
    rows: int | None = None,
    memory: int = MEMORY,
    factors: bool = False,
    test_covariance: bool = False,
    units: UnitSampling | None = None,
) -> Kernels:
    """Infinite-width kernels of every parametrised layer.

    Args:
        network: the architecture; its hidden widths play no role here in the NTK parametrisation.
        x: training inputs.
        x_test: test inputs, or `None`.
        dtype: of the computation, float64 or float32.
        rows: side of the tiles in which the kernels are computed; `None` chooses it so that a tile fits into `memory`.
        memory: bytes for intermediate results, beside the result itself.
        factors: also keep `A` and `B` of layers with positions, `[N S, N S]` each, which `KFAC` needs. Those of layers
            without positions are always there.
        test_covariance: also compute the NNGP kernel among test inputs, `[M, M]`, which ensembles need.
        units: also sample the units of every hidden layer, which `UnitWise` needs; for multilayer perceptrons.

    Returns:
        `Kernels` with `[N, N]` and `[M, N]` Grams (outputs are independent; see `ntkng.kernels.kernels`).

    Raises:
        TypeError: a network or dtype of another type.
        ValueError: inputs that do not fit the network, or are not finite; inputs at which the kernel of an activation is not
            known accurately (see `ntkng.stax.ElementwiseNumerical`); units of a network that is no multilayer perceptron.
    """
    if test_covariance and x_test is None:
        raise ValueError("test_covariance needs test inputs, got x_test=None; pass x_test")
    require_type("network", network, Network, "build one with ntkng.mlp or ntkng.Network, and give it first")
    dtype, given = supported_dtype("dtype", dtype), (x, x_test)
    with widest_type(dtype):
        x = check_inputs(network, "x", x, dtype)
        x_test = None if x_test is None else check_inputs(network, "x_test", x_test, dtype)
        what = network, factors
        if rows is None:
            rows = preferred_side(len(x), tile_side(network, x, factors, memory))
        side = positive_integer("rows", rows)
        train = in_tiles(_tile, what, x, None, side)
        cross = None if x_test is None else in_tiles(_tile, what, x_test, x, side)
        nngp_test = None
        if test_covariance and x_test is not None:
            nngp_test = in_tiles(covariance_tile, network, x_test, None, side)
        kernels = _assemble(network, x.shape[0], train, cross, nngp_test)
        if is_concrete(train):
            own = np.arange(x.shape[0])
            require_defined(network, x, train[0][own, own])
            if x_test is not None and cross is not None:
                require_defined(network, x_test, cross[0][:, 0])
    kernels = dataclasses.replace(kernels, origin=Origin.of(network, *given))
    if units is None:
        return kernels
    joint = kernels if x_test is None else analytic(network, jnp.concatenate([x, x_test]), memory=memory)
    return attach(kernels, sample_units(network, joint, x.shape[0], units))


def widest_type(dtype: Any) -> contextlib.AbstractContextManager[Any]:
    """Where float32 is asked for, 64-bit types are not available: neural-tangents computes in the widest type there is."""
    return contextlib.nullcontext() if dtype == jnp.float64 else jax.enable_x64(False)


def check_inputs(network: Network, name: str, x: Any, dtype: Any) -> Array:
    """`x` as an array of `dtype` whose shape fits the network."""
    array = jnp.asarray(x if isinstance(x, jax.Array) else numeric_array(name, x), dtype)
    if array.ndim == 0 or array.shape[1:] != network.input_shape:
        expected = ", ".join(map(str, ("N", *network.input_shape)))
        raise ValueError(
            f"{name} must have shape [{expected}] for this network, got {list(array.shape)}; "
            f"{shape_advice(name, array.shape, network.input_shape)}"
        )
    if array.shape[0] == 0:
        raise ValueError(f"{name} has no samples, got shape {array.shape}")
    if is_concrete(array) and not bool(jnp.isfinite(array).all()):
        raise ValueError(f"{name} has NaN or infinite entries; remove them")
    return array


def require_defined(network: Network, x: Array, values: Array) -> None:
    """Refuse inputs whose kernels are not finite; in a compiled program the layer that knows why cannot raise, here it can.

    Args:
        network: the architecture.
        x: inputs.
        values: entries of the kernels for each of them.

    Raises:
        ValueError: by the layer whose kernel is not known accurately at the first of these inputs, or naming this input.
    """
    undefined = np.flatnonzero(~np.isfinite(np.asarray(values)).reshape(len(values), -1).all(axis=1))
    if undefined.size:
        first = int(undefined[0])
        _kernel(network, jnp.asarray(x[first : first + 1]), None, ("nngp",))
        raise ValueError(
            f"the kernel at input {first} is {np.asarray(values)[first]}, expected a finite number: an activation "
            "that grows fast overflows at large inputs, a normalisation divides by 0 at inputs of zeros; scale or remove them"
        )


def tile_side(network: Network, x: Float[Array, "N *input"], factors: bool, memory: int) -> int:
    """The largest side of a tile whose intermediate results take at most `memory` bytes, by estimate."""
    return max(1, int((memory / _bytes_per_pair(network, x.dtype, factors)) ** 0.5))


@functools.lru_cache(maxsize=64)
def _bytes_per_pair(network: Network, dtype: Any, factors: bool) -> int:
    """Memory for each pair of samples: of all layers together, and of the largest array (quadrature has large ones)."""
    sizes: list[int] = []  # numbers, as no tracer may leave

    def propagate(x: Array) -> Any:
        tape = KernelTape()
        kernel = _propagate(network, x, None, tape, factors)
        sizes[:] = [math.prod(own.shape[2:]) for own in tape.own]
        return kernel

    jaxpr = jax.make_jaxpr(propagate)(jax.ShapeDtypeStruct((2, *network.input_shape), dtype))
    return (WORKING_COPIES * (1 + sum(sizes)) + LARGEST_COPIES * largest_array(jaxpr.jaxpr) // 4) * dtype.itemsize


def largest_array(jaxpr: Any) -> int:
    """Size of the largest intermediate array, within called programs too."""
    sizes = [0]
    for equation in jaxpr.eqns:
        sizes += [math.prod(variable.aval.shape) for variable in equation.outvars]
        for value in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(value, "jaxpr", value)
            sizes.append(largest_array(inner) if hasattr(inner, "eqns") else 0)
    return max(sizes)


def layerwise(
    network: Network, x1: Array, x2: Array | None, diagonal: Any = None, *, factors: bool = False
) -> tuple[Array, list[tuple[Array, Array | None, Array | None]]]:
    """NNGP and, per layer, `(Theta_l, A_l, B_l)` on one tile; differentiable and compilable.

    `A_l` and `B_l` are `[n1, n2]`, with positions `[n1, n2, S, S]` or, unless `factors`, `None`.
    `diagonal`: column of the first row's own sample, where rows and columns are the same inputs (see `KernelTape`).
    """
    reversed_: list[bool] = []

    def total(perturbations: Any) -> tuple[Array, Any]:
        tape = KernelTape(perturbations, diagonal)
        kernel = _propagate(network, x1, x2, tape, factors)
        reversed_[:] = tape.reversed_
        return kernel.ntk, (kernel.nngp, tape.own)

    _, (_, own) = jax.eval_shape(lambda: total(None))
    # behind a barrier, or else the compiler spends its time on folding convolutions of these constants
    zeros = jax.lax.optimization_barrier([jnp.zeros(o.shape, o.dtype) for o in own])
    ntk, pull, (nngp, own) = jax.vjp(total, zeros, has_aux=True)
    (backward,) = pull(jax.lax.optimization_barrier(jnp.ones_like(ntk)))
    layers = []
    for tag, o, b, is_reversed in zip(network.tags, own, backward, reversed_, strict=True):
        theta = (o * b).sum(axis=tuple(range(2, o.ndim)))
        if has_factors(tag.kind) and (factors or o.ndim == 2):
            layers.append((theta, *(_flatten_positions(part, is_reversed) for part in (o, b))))
        else:
            layers.append((theta, None, None))
    return nngp, layers


def _propagate(network: Network, x1: Array, x2: Array | None, tape: KernelTape, factors: bool) -> Any:
    # factors need all pairs of positions, also where the NTK depends on equal positions alone
    with running(tape):
        return _kernel(network, x1, x2, ("nngp", "ntk"), diagonal_spatial=False if factors else None)


def _kernel(network: Network, x1: Array, x2: Array | None, get: tuple[str, ...], **kwargs: Any) -> Any:
    """neural-tangents' kernels of the outputs, refused where they do not describe them."""
    layer = stax.serial(stax.Layer(*entrance(x1, x2)), network.layer)
    kernel = layer.kernel_fn(x1, x2, (*get, "sources"), **kwargs)
    require_independent_outputs(kernel.sources)
    return kernel._replace(sources=None)


def _tile(what: tuple[Network, bool], x1: Array, x2: Array | None, diagonal: Any) -> Any:
    network, factors = what
    return layerwise(network, x1, x2, diagonal, factors=factors)


def covariance_tile(network: Network, x1: Array, x2: Array | None, diagonal: Any) -> Array:
    """The NNGP kernel on one tile, as `in_tiles` asks for it."""
    with running(KernelTape(diagonal=diagonal)):
        return _kernel(network, x1, x2, ("nngp",)).nngp


def _flatten_positions(gram: Array, is_reversed: bool) -> Array:
    """`[n1, n2, H, H', W, W']` (or `W, W', H, H'`) as `[n1, n2, S, S']`."""
    if gram.ndim == 2:
        return gram
    first, second = list(range(2, gram.ndim, 2)), list(range(3, gram.ndim, 2))
    if is_reversed:
        first, second = first[::-1], second[::-1]
    positions = math.prod(gram.shape[axis] for axis in first)
    return gram.transpose(0, 1, *first, *second).reshape(*gram.shape[:2], positions, positions)


def _assemble(network: Network, samples: int, train: Any, cross: Any, nngp_test: Array | None) -> Kernels:
    layers = []
    for index, name in enumerate(network.layer_names()):
        own_cross = (None, None, None) if cross is None else cross[1][index]
        theta, inner, backward = (
            None if part is None else Gram(_matrix(part), None if other is None else _matrix(other))
            for part, other in zip(train[1][index], own_cross, strict=True)
        )
        assert theta is not None
        shape = name, network.dimensions[index], network.positions[index]
        layers.append(LayerKernels(theta, inner, backward, *shape, index == network.output_layer))
    nngp = Gram(train[0], None if cross is None else cross[0])
    return Kernels(tuple(layers), nngp, nngp_test, samples, network.outputs, "analytic")


def _matrix(gram: Array) -> Array:
    """`[n1, n2, S, S']` as `[n1 S, n2 S']`."""
    if gram.ndim == 2:
        return gram
    n1, n2, s1, s2 = gram.shape
    return gram.transpose(0, 2, 1, 3).reshape(n1 * s1, n2 * s2)
