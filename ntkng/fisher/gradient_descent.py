"""Gradient descent: no curvature at all, the baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning
from ntkng.fisher.base import Fisher
from ntkng.fisher.combine import combine
from ntkng.fisher.dense import DenseLayer
from ntkng.kernels.kernels import Kernels
from ntkng.layers.record import LayerRecord


@dataclasses.dataclass(frozen=True)
class GradientDescent(Fisher):
    """`G + rho I -> (1 + rho) I`: `K = Theta / (N (1 + rho))`, not isotropic; its rates are the spectrum of `Theta / N`.

    With the default damping 0 this is plain gradient descent on the loss `1/(2N) sum |f - y|^2`.
    """

    isotropic: ClassVar[bool] = False
    needs_curvature: ClassVar[str] = "nowhere"  # pyright: ignore
    inverts_singular_grams: ClassVar[bool] = False  # pyright: ignore  # nothing is inverted

    def _kernel(self, kernels: Kernels) -> tuple[Float[Array, "n n"], Float[Array, "m n"] | None]:
        theta = kernels.theta.map(lambda gram: gram / (kernels.samples * (1 + self.damping)))
        return theta.train, theta.cross

    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """Nothing is inverted."""
        return ()

    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Any, ...]:
        """`D_l = sum_c r[c] delta_l[c] / N`."""
        weights = residual / (kernels.samples * (1 + self.damping))
        return tuple(combine(record, weights) for record in records)

    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Float[np.ndarray, "P P"]:
        """`(1 + rho) I`."""
        return (1 + float(self.damping)) * np.eye(sum(layer.jacobian.shape[1] for layer in layers))
