"""The exact Gauss-Newton direction of a RevMLP: a layer-wise right inverse of its Jacobian."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ntkng.reversible.network import RevMLP, Weights
from ntkng.reversible.pseudo_inverse import solve_truncated


class Direction(NamedTuple):
    """A weight direction and how many singular values of each feature matrix were kept.

    Attributes:
        weights: `V`, a tree like `Weights`.
        ranks: `[L_b, 2]`, numerical ranks of `A_f` and `A_g` under the cut.
    """

    weights: Weights
    ranks: Int[Array, "L_b 2"]


@dataclasses.dataclass(frozen=True)
class RightInverse:
    r"""`R`: representation errors -> weight directions, with `J R = L_b I` when every `A` has full row rank.

    `J` is the Jacobian of the representation `z^{(L_b)}` (`[N D]`, sample-major) in all weights. Starting from the
    wanted change `E^{L_b}` of the representation, the blocks are visited from the last to the first:

        V_f = A_f^+ E_1,
        V_g = A_g^+ (E_2 - D_{y1}(A_g(y1) W_g)[A_f V_f]),
        E^{b-1} = D(block_b^{-1})[z^b] E^b                        (a forward-mode derivative of the inverse),

    with `E = (E_1, E_2)` the error at the output of the block. Both triangular corrections are needed: the one inside
    the block (`y1` moves `y2` too) and the one of the inverse (what earlier blocks do is carried through later ones).
    Activations are rebuilt by the inverse, none is stored. Each block alone produces the whole change, so `L_b` blocks
    together produce it `L_b` times: the code of the paper has no factor `1/L_b`, and a learning rate `eta` acts as
    `eta_eff = eta L_b`.

    Source: Buffelli et al. 2024, the Gauss-Newton update of the RevMLP.

    Attributes:
        rtol: relative cut of the singular values of `A` (the released code: 1e-2).
        atol: absolute cut (the released code: 1e-5).
        corrected: with `False`, `V_g = A_g^+ E_2`: the correction inside the block is left out, as in the half-coupled
            variant of the released code. `J R` is then not a multiple of the identity unless the weights vanish.
    """

    rtol: float = 1e-2
    atol: float = 0.0
    corrected: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.rtol < 1 and self.atol >= 0):
            raise ValueError(f"got rtol={self.rtol}, atol={self.atol}, expected 0 <= rtol < 1 and atol >= 0")

    def __call__(
        self, model: RevMLP, weights: Weights, representation: Float[Array, "N D"], error: Float[Array, "N D"]
    ) -> Direction:
        """`V = R E`.

        Args:
            model: the network.
            weights: where the Jacobian is taken.
            representation: `z^{(L_b)}`, the output of the last block on the batch.
            error: `E^{L_b}`, the wanted change of `z^{(L_b)}` per block.
        """
        directions: list[dict[str, Array]] = []
        ranks: list[Array] = []
        for block in reversed(range(model.blocks)):
            previous, previous_error = jax.jvp(
                lambda z, block=block: model.invert_block(block, weights, z), (representation,), (error,)
            )
            direction, rank = self._block(model, weights, block, previous, representation, error)
            directions.append(direction)
            ranks.append(rank)
            representation, error = previous, previous_error
        return Direction(tuple(reversed(directions)), jnp.stack(ranks[::-1]))

    def _block(self, model: RevMLP, weights: Weights, block: int, before, after, error):
        x2, y1 = before[:, model.dim // 2 :], after[:, : model.dim // 2]
        error_1, error_2 = jnp.split(error, 2, axis=1)
        features = model.features(block, "f", x2)
        direction_f, rank_f = solve_truncated(features, error_1, self.rtol, self.atol)

        def second_half(y):
            a = model.features(block, "g", y)
            return a @ weights[block]["g"], a

        if self.corrected:
            (_, features_g), (moved, _) = jax.jvp(second_half, (y1,), (features @ direction_f,))
            error_2 = error_2 - moved
        else:
            features_g = second_half(y1)[1]
        direction_g, rank_g = solve_truncated(features_g, error_2, self.rtol, self.atol)
        return {"f": direction_f, "g": direction_g}, jnp.stack([rank_f, rank_g])


def gauss_newton_direction(
    model: RevMLP, weights: Weights, inputs: Float[Array, "N D"], error: Float[Array, "N C"], inverse: RightInverse
) -> Direction:
    """`V = R (eps U^T)` for an error `eps` of the logits: with full row rank the logits move by `J V = L_b eps`.

    The update is `W <- W - eta V` with `eps` from `ntkng.reversible.objective`.
    """
    return inverse(model, weights, model.representation(weights, inputs), error @ model.readout.T)
