"""Reversible multilayer perceptrons: additive coupling blocks with an exact inverse, after Buffelli et al. 2024."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

AnyArray = jax.Array | np.ndarray
"""What public functions take; JAX decides on the precision."""
Weights = tuple[dict[str, Any], ...]
"""One dictionary a block: `{"f": [q, D/2], "g": [q, D/2]}`, the last of the q rows being the bias."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RevMLP:
    r"""The fixed part of a RevMLP; what is trained is a separate tree of `Weights`.

    With `z = (x1, x2)` in `R^D`, block `b` maps

        y1 = x1 + A_f(x2) W_f,        y2 = x2 + A_g(y1) W_g,        A(x) = [phi(x C), 1],

    with a fixed random `C` (the *inverted bottleneck*, `[D/2, m]`, entries `N(0, 1/m)`) or, without bottleneck,
    `A(x) = [phi(x), 1]`; `phi` is ReLU, and the identity in the first block if `linear_first`. The logits are
    `f = z^{(L_b)} U` with a fixed `U` (`[D, C]`, orthonormal columns). Every block is undone exactly by
    `x2 = y2 - A_g(y1) W_g`, `x1 = y1 - A_f(x2) W_f`.

    The arrays are NumPy arrays in double precision: JAX computes with them in the precision of its context.
    Build one with `RevMLP.create`.

    Attributes:
        expansions: per block the pair `(C_f, C_g)`, each `[D/2, m]`, or `(None, None)` without bottleneck.
        readout: `U`, `[D, C]`.
        linear_first: the first block has no ReLU, as in the released code of the paper.
    """

    expansions: tuple[tuple[Any, Any], ...]
    readout: Any
    linear_first: bool = dataclasses.field(default=True, metadata={"static": True})

    @classmethod
    def create(
        cls, key: jax.Array, dim: int, classes: int, blocks: int, width: int | None, *, linear_first: bool = True
    ) -> RevMLP:
        """Draw the fixed matrices.

        Args:
            key: a typed key, `jax.random.key(seed)`.
            dim: `D`, even; the inputs must have this many columns.
            classes: number of logits `C <= D`.
            blocks: `L_b`.
            width: `m`, columns of the inverted bottleneck; `None` leaves the bottleneck out.
            linear_first: no ReLU in the first block.

        Raises:
            ValueError: when `dim` is odd, `classes > dim`, or a size is not positive.
        """
        if dim < 2 or dim % 2:
            raise ValueError(f"got dim={dim}, expected a positive even number: both halves of z have dim/2 entries")
        if not 1 <= classes <= dim:
            raise ValueError(f"got classes={classes}, expected 1 to dim={dim}: U has orthonormal columns")
        if blocks < 1 or (width is not None and width < 1):
            raise ValueError(f"got blocks={blocks}, width={width}, expected positive numbers (or width=None)")
        key_readout, key_blocks = jax.random.split(key)
        readout = np.linalg.qr(_generator(key_readout).standard_normal((dim, classes)))[0]
        if width is None:
            return cls(((None, None),) * blocks, readout, linear_first)
        draws = _generator(key_blocks).standard_normal((blocks, 2, dim // 2, width)) / np.sqrt(width)
        return cls(tuple((pair[0], pair[1]) for pair in draws), readout, linear_first)

    @property
    def blocks(self) -> int:
        """`L_b`, the number of coupling blocks."""
        return len(self.expansions)

    @property
    def dim(self) -> int:
        """`D`, the size of the representation."""
        return self.readout.shape[0]

    @property
    def classes(self) -> int:
        """`C`, the number of logits."""
        return self.readout.shape[1]

    @property
    def feature_count(self) -> int:
        """`q`, columns of every feature matrix `A` with the bias: `m + 1`, or `D/2 + 1` without bottleneck."""
        expansion = self.expansions[0][0]
        return (self.dim // 2 if expansion is None else expansion.shape[1]) + 1

    def initial_weights(self, key: jax.Array, std: float = 1e-3) -> Weights:
        """Weights `N(0, std^2)` and biases 0, as NumPy arrays in double precision."""
        shape = (self.blocks, 2, self.feature_count, self.dim // 2)
        draws = std * _generator(key).standard_normal(shape)
        draws[:, :, -1] = 0
        return tuple({"f": pair[0], "g": pair[1]} for pair in draws)

    def zero_weights(self) -> Weights:
        """All weights 0: every block is the identity."""
        return self.initial_weights(jax.random.key(0), std=0.0)

    def features(self, block: int, half: str, x: Float[Array, "N half"]) -> Float[Array, "N q"]:
        """`A_f` (`half="f"`) or `A_g` (`half="g"`) of a block at its input half."""
        expansion = self.expansions[block]["fg".index(half)]
        mixed = x if expansion is None else x @ expansion
        if not (self.linear_first and block == 0):
            mixed = jax.nn.relu(mixed)
        return jnp.concatenate([mixed, jnp.ones((len(x), 1), mixed.dtype)], axis=1)

    def apply_block(self, block: int, weights: Weights, z: Float[Array, "N D"]) -> Float[Array, "N D"]:
        """`(x1, x2) -> (y1, y2)`."""
        x1, x2 = jnp.split(z, 2, axis=1)
        y1 = x1 + self.features(block, "f", x2) @ weights[block]["f"]
        y2 = x2 + self.features(block, "g", y1) @ weights[block]["g"]
        return jnp.concatenate([y1, y2], axis=1)

    def invert_block(self, block: int, weights: Weights, z: Float[Array, "N D"]) -> Float[Array, "N D"]:
        """`(y1, y2) -> (x1, x2)`, exact up to rounding."""
        y1, y2 = jnp.split(z, 2, axis=1)
        x2 = y2 - self.features(block, "g", y1) @ weights[block]["g"]
        x1 = y1 - self.features(block, "f", x2) @ weights[block]["f"]
        return jnp.concatenate([x1, x2], axis=1)

    def representation(self, weights: Weights, x: Float[Array, "N D"]) -> Float[Array, "N D"]:
        """`z^{(L_b)}`, the output of the last block."""
        return self.representations(weights, x)[-1]

    def representations(self, weights: Weights, x: Float[Array, "N D"]) -> list[Float[Array, "N D"]]:
        """The outputs of all blocks in their order."""
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"got inputs of shape {x.shape}, expected [N, {self.dim}]; lift or pad the inputs to D")
        outputs = []
        for block in range(self.blocks):
            x = self.apply_block(block, weights, x)
            outputs.append(x)
        return outputs

    def inverse(self, weights: Weights, z: Float[Array, "N D"]) -> Float[Array, "N D"]:
        """The network input whose representation is `z`."""
        for block in reversed(range(self.blocks)):
            z = self.invert_block(block, weights, z)
        return z

    def logits(self, weights: Weights, x: Float[Array, "N D"]) -> Float[Array, "N C"]:
        """`f = z^{(L_b)} U`."""
        return self.representation(weights, x) @ self.readout


def _generator(key: jax.Array) -> np.random.Generator:
    """NumPy's generator seeded by a typed key: double precision whatever JAX is set to, the same on every device."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))
