"""Dense ingredients of the oracles: full per-layer Jacobians, for small networks only."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class DenseLayer:
    """Full matrices of one layer, in NumPy.

    Attributes:
        jacobian: `J_l`, `[N C, P_l]`, rows sample-major; for a dense layer its columns run over `(unit i, input k)`.
        features: `a_{l-1}`, `[N, K]`, inputs scaled and with bias; `None` for layers that are not dense.
        deltas: `delta_l`, `[N C, M]`; `None` likewise.
        is_output: whether the network's output is this layer's output.
    """

    jacobian: Float[np.ndarray, "NC P"]
    features: Float[np.ndarray, "N K"] | None = None
    deltas: Float[np.ndarray, "NC M"] | None = None
    is_output: bool = False

    @classmethod
    def from_factors(cls, features: np.ndarray, deltas: np.ndarray, is_output: bool = False) -> DenseLayer:
        """A dense layer from its factors: `J[(n, c), (i, k)] = delta[(n, c), i] a[n, k]`."""
        repeated = np.repeat(features, len(deltas) // len(features), axis=0)
        jacobian = np.einsum("ri,rk->rik", deltas, repeated).reshape(len(deltas), -1)
        return cls(jacobian, features, deltas, is_output)
