r"""Backward signals of a layer's units: what unit-wise approximations need beyond Grams.

Unit `i` of layer `l` has the backward signals `delta_{l,i}[n, c] = d f_c(x_n) / d u_{l,i}(x_n)`. A finite network has `M_l`
of them. At infinite width they are independent and identically distributed, and a sample of them stands for the layer
(`ntkng.kernels.unit_sampling`), each sampled unit for a share of the `M_l` units of the network. One type for both. The units
of a layer whose weights are shared over S positions (convolutions) are its channels, with a signal at every position.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.layers import affine
from ntkng.layers.record import LayerRecord
from ntkng.seeds import integer_seed
from ntkng.short_repr import short_repr
from ntkng.validation import positive_integer


@dataclasses.dataclass(frozen=True)
class UnitSampling:
    """How to sample the units of an infinitely wide layer.

    Attributes:
        points: quasi-random units per scrambling; a power of 2 keeps Sobol points balanced.
        scramblings: independent scramblings of the points; their spread is the error bar.
        seed: of the scramblings.

    Raises:
        TypeError: numbers that are no integers.
        ValueError: fewer than two scramblings (no error bar), a negative seed, or `points` that is no power of 2.
    """

    points: int = 2**12
    scramblings: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        points, scramblings = (positive_integer(name, getattr(self, name)) for name in ("points", "scramblings"))
        if points & (points - 1):
            raise ValueError(f"points must be a power of 2, got {points}; use {2 ** points.bit_length()}")
        integer_seed("seed", self.seed, smallest=0)
        if scramblings < 2:
            raise ValueError(f"scramblings must be >= 2 for an error bar, got {scramblings}")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Units:
    """Units of one layer.

    Attributes:
        train: `delta[i, n, c]`, `[M, N, C]`, or `delta[i, n, c, s]` with S positions.
        test: the same on test inputs, `[M, N', C]`, or `None`.
        weight: how many units of the network each of them stands for: 1, or more for a sample (static).
        groups: number of independent groups (scramblings) in which a sample is drawn, equal in size and one after
            another; 1 for a finite network (static).
    """

    train: Float[Array, "M N C *S"]
    test: Float[Array, "M N2 C *S"] | None = None
    weight: float = dataclasses.field(default=1.0, metadata={"static": True})
    groups: int = dataclasses.field(default=1, metadata={"static": True})

    __repr__ = short_repr

    @property
    def both(self) -> Float[Array, "M N3 C *S"]:
        """Training inputs, then test inputs, if any."""
        return self.train if self.test is None else jnp.concatenate([self.train, self.test], axis=1)

    @property
    def active(self) -> float:
        """Share of the pairs of a unit and a training input whose backward signal is not 0: about 1/2 for ReLU."""
        return float((abs(self.train).reshape(*self.train.shape[:2], -1).sum(axis=-1) > 0).mean())


def has_units(record: LayerRecord) -> bool:
    """Whether each unit's weights act alike at every position (Dense, Conv), so that the layer has blocks per unit."""
    return affine.has_factors(record.tag.kind)


def unit_signals(record: LayerRecord) -> Float[Array, "M N C *S"]:
    """`delta[i, n, c]`, or `delta[i, n, c, s]` with positions, of a layer that has units."""
    deltas = jnp.moveaxis(affine.view(record).deltas, -1, 0)
    return deltas[..., 0] if deltas.shape[-1] == 1 else deltas


def units_of(train: LayerRecord, test: LayerRecord | None = None) -> Units | None:
    """The units of a finite network's layer; `None` where it has none (see `has_units`)."""
    if not has_units(train):
        return None
    return Units(unit_signals(train), None if test is None else unit_signals(test))
