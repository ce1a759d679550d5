"""Kernels seen from all inputs at once, and restricted to a batch of the training inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from ntkng.kernels.kernels import Gram, Kernels, LayerKernels
from ntkng.kernels.units import Units
from ntkng.origin import Origin


def everywhere(kernels: Kernels) -> Kernels:
    """The same kernels with the training inputs in front of the test inputs in the rows of all cross Grams.

    A preconditioned kernel's `cross` then says how the function moves on train and test inputs alike.
    """

    def stack(gram: Gram) -> Gram:
        return Gram(gram.train, gram.train if gram.cross is None else jnp.concatenate([gram.train, gram.cross]))

    return _map(kernels, stack, lambda units: dataclasses.replace(units, test=units.both))


def on_batch(kernels: Kernels, batch: Int[Array, "n"]) -> Kernels:
    """Kernels whose training inputs are those of a batch; the rows of the cross Grams stay.

    Args:
        kernels: of all inputs, from `everywhere` where the effect off the batch is wanted.
        batch: indices of training inputs; may be traced.
    """

    def restrict(gram: Gram) -> Gram:
        per_sample = len(gram.train) // kernels.samples
        columns = (batch[:, None] * per_sample + jnp.arange(per_sample)[None]).ravel()
        cross = None if gram.cross is None else gram.cross[:, columns]
        return Gram(gram.train[columns][:, columns], cross)

    def restrict_units(units: Units) -> Units:
        return dataclasses.replace(units, train=units.train[:, batch])

    return _map(kernels, restrict, restrict_units, samples=len(batch), nngp=None, nngp_test=None)


def _map(
    kernels: Kernels, change: Callable[[Gram], Gram], change_units: Callable[[Units], Units], **others: Any
) -> Kernels:
    def layer(old: LayerKernels) -> LayerKernels:
        grams = {name: getattr(old, name) for name in ("theta", "inner", "backward")}
        changed = {name: change(gram) for name, gram in grams.items() if gram is not None}
        return dataclasses.replace(old, **changed, units=None if old.units is None else change_units(old.units))

    layers = tuple(layer(old) for old in kernels.layers)
    return dataclasses.replace(kernels, layers=layers, origin=Origin(), **others)
