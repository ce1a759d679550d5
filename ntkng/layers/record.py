"""What one parametrised layer of a finite network contributes at given inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jaxtyping import Array, Float

from ntkng.short_repr import short_repr
from ntkng.tape import Tag


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LayerRecord:
    """Inputs and backward signals of one layer.

    The Jacobian of the outputs by the layer's parameters is implied, never formed: for a dense layer it is
    `J_l[(n, c)] = delta[n, c] (outer) a[n]`, with `a` the input scaled and augmented by the bias.

    Attributes:
        parameters: the layer's own parameters.
        inputs: `h_{l-1}`, `[N, *S_in, M_in]`, `S` spatial axes, if any.
        deltas: `d f_c / d u_l`, `[N, C, *S_out, M_out]`, `u_l` the layer's output.
        tag: which layer it is (static).
    """

    parameters: Any
    inputs: Float[Array, "N *S_in M_in"]
    deltas: Float[Array, "N C *S_out M_out"]
    tag: Tag = dataclasses.field(metadata={"static": True})

    __repr__ = short_repr

    def astype(self, dtype: Any) -> LayerRecord:
        """Inputs and backward signals in another precision, and with them the parameters."""
        parameters = jax.tree.map(lambda leaf: leaf.astype(dtype), self.parameters)
        return dataclasses.replace(
            self, parameters=parameters, inputs=self.inputs.astype(dtype), deltas=self.deltas.astype(dtype)
        )

    @property
    def samples(self) -> int:
        """N."""
        return self.deltas.shape[0]

    @property
    def outputs(self) -> int:
        """C."""
        return self.deltas.shape[1]
