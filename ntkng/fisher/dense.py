"""Dense ingredients of the oracles: full per-layer Jacobians, for small networks only."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class DenseLayer:
    """Full matrices of one layer, in NumPy.

    Attributes:
        jacobian: `J_l`, `[N C, P_l]`, rows sample-major; for Dense and Conv its columns run over `(unit i, input k)`.
        features: `a_{l-1}`, `[N, K]`, inputs (patches) scaled and with bias, or `[N, S, K]` where the weights are shared
            over S positions; `None` for layers that have no such factors.
        deltas: `delta_l`, `[N C, M]` or `[N C, S, M]`; `None` likewise.
        is_output: whether the network's output is this layer's output.
    """

    jacobian: Float[np.ndarray, "NC P"]
    features: Float[np.ndarray, "N *S K"] | None = None
    deltas: Float[np.ndarray, "NC *S M"] | None = None
    is_output: bool = False

    @classmethod
    def from_factors(cls, features: np.ndarray, deltas: np.ndarray, is_output: bool = False) -> DenseLayer:
        """A layer from its factors: `J[(n, c), (i, k)] = sum_s delta[(n, c), s, i] a[n, s, k]`."""
        repeated = np.repeat(features, len(deltas) // len(features), axis=0)
        positions = "s" * (features.ndim - 2)
        jacobian = np.einsum(f"r{positions}i,r{positions}k->rik", deltas, repeated).reshape(len(deltas), -1)
        return cls(jacobian, features, deltas, is_output)

    def kronecker_factors(self, samples: int, *, reduce: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """K-FAC's `A`, `K x K`, and `B`, `M x M`; `reduce` takes mean features and total deltas over positions first.

        Raises:
            ValueError: the layer has a Jacobian only.
        """
        if self.features is None or self.deltas is None:
            raise ValueError("K-FAC needs the factors of every layer, got a layer with a Jacobian only")
        features = self.features.reshape(samples, -1, self.features.shape[-1])
        deltas = self.deltas.reshape(len(self.deltas), -1, self.deltas.shape[-1])
        divisor = samples
        if reduce:
            features, deltas = features.mean(axis=1), deltas.sum(axis=1)
        else:
            divisor *= features.shape[1]
        features, deltas = features.reshape(-1, features.shape[-1]), deltas.reshape(-1, deltas.shape[-1])
        return features.T @ features / samples, deltas.T @ deltas / divisor
