"""Whether two networks are the same function, however they were built, and otherwise where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from ntkng.precision import in_float64

if TYPE_CHECKING:
    from ntkng.network import Network

AGREE = 1e-6  # relative, of kernels or outputs computed twice in float64


def network_difference(one: Network, other: Network, *, finite: bool) -> str | None:
    """In words, how the networks differ; `None` where they do not.

    Networks by the same constructor calls are equal. Others are tried on two inputs, since one function can be written in
    several ways (nested `serial`, an activation as a layer or as a function).

    Args:
        one: a network.
        other: another.
        finite: compare functions of finite width (for any parameters), and not kernels of infinite width, in which widths play
            no role unless the parametrisation is the standard one.
    """
    if one == other:
        return None
    shapes = [
        (network.input_shape, network.outputs, network.layer_names(), network.positions) for network in (one, other)
    ]  # fmt: skip
    if shapes[0] != shapes[1]:
        return f"{one!r} against {other!r}"
    if finite and one.dimensions != other.dimensions:
        return f"widths {_widths(one)} against {_widths(other)}"
    if _agree(one, other, finite):
        return None
    return _first_difference(one, other)


@in_float64
def _agree(one: Network, other: Network, finite: bool) -> bool:
    from ntkng.kernels.analytic import layerwise

    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *one.input_shape)))
    if finite:
        parts = one.split(one.init(jax.random.key(0)))
        if [np.shape(leaf) for leaf in jax.tree.leaves(parts)] != [
            np.shape(leaf) for leaf in jax.tree.leaves(other.split(other.init(jax.random.key(0))))
        ]:
            return False
        results = [network.apply(network.join(parts), x) for network in (one, other)]
    else:
        results = [layerwise(network, x, None) for network in (one, other)]
    pairs = zip(*(jax.tree.leaves(result) for result in results), strict=True)
    return all(bool(jnp.abs(a - b).max() <= AGREE * jnp.abs(b).max()) for a, b in pairs)


def _first_difference(one: Network, other: Network) -> str:
    lists = [[] if network.layer.recipe is None else network.layer.recipe.parts() for network in (one, other)]
    for index, (mine, theirs) in enumerate(zip(*lists, strict=False)):
        if repr(mine) != repr(theirs):
            return f"part {index + 1} is {mine!r} against {theirs!r}"
        if mine.key() != theirs.key():
            return f"part {index + 1}, {mine!r}, holds another function"
    return f"{one!r} against {other!r}"


def _widths(network: Network) -> list[int]:
    return [units for _, units in network.dimensions]
