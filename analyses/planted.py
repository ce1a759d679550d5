"""Planted errors: a wrong Fisher approximation in the place of the right one, in theory or in simulation.

An approximation has two sides, the kernel (what the theory believes) and the parameter step (what a simulation does).
`altered` replaces either side and keeps everything else, so that a wrong theory and a wrong program are made alike, and go
through the same checks as a right one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning
from ntkng.fisher import DenseLayer, Exact, Fisher
from ntkng.kernels import Kernels
from ntkng.kernels.units import UnitSampling
from ntkng.layers import LayerRecord

Sides = tuple[Float[Array, "n n"], Float[Array, "m n"] | None]
Belief = Callable[[Fisher, Kernels], Sides]
Deed = Callable[[Fisher, Kernels, Sequence[LayerRecord], Array], tuple[Array, ...]]


@dataclasses.dataclass(frozen=True)
class Altered(Fisher):
    """An approximation with one side replaced.

    Attributes:
        of: the right approximation; its damping is that of this object.
        believes: gives `(K, K')` from the right approximation and kernels; `None` leaves them right.
        does: gives the cotangents of the parameter step (see `Fisher.cotangents`); `None` leaves them right.
    """

    of: Fisher = dataclasses.field(default_factory=Exact)
    believes: Belief | None = None
    does: Deed | None = None

    @property
    def right(self) -> Fisher:
        """The right approximation, with this object's damping."""
        return self.of if self.damping is self.of.damping else dataclasses.replace(self.of, damping=self.damping)

    @property
    def name(self) -> str:
        """That of the right one."""
        return self.of.name

    @property
    def needs_factors(self) -> bool:  # type: ignore[override]
        """That of the right one."""
        return self.of.needs_factors

    def unit_sampling(self) -> UnitSampling | None:
        """That of the right one."""
        return self.of.unit_sampling()

    def _kernel(self, kernels: Kernels) -> Sides:
        return self.right._kernel(kernels) if self.believes is None else self.believes(self.right, kernels)

    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """That of the right one."""
        return self.right.inspect(kernels)

    def predicted_alpha(self, kernels: Kernels) -> float | None:
        """That of the right one."""
        return self.right.predicted_alpha(kernels)

    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Any, ...]:
        """Those of the right one, or what `does` gives."""
        if self.does is None:
            return self.right.cotangents(kernels, records, residual)
        return self.does(self.right, kernels, records, residual)

    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Any:
        """The right curvature matrix."""
        return self.right.dense(layers, samples)


def altered(fisher: Fisher, *, believes: Belief | None = None, does: Deed | None = None) -> Altered:
    """`fisher` with one side replaced."""
    return Altered(fisher.damping, fisher, believes, does)
