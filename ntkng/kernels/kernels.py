r"""The type `Kernels`: per layer the input Gram `A`, the backward Gram `B` and the layer NTK `Theta_l`.

Conventions (stated here, linked from everywhere):

- `Theta_l = J_l J_l^T` **without** `1/N`; `Theta = sum_l Theta_l`. The Fisher matrix is `J^T J / N`, so damping `rho`
  of the Fisher appears as `N rho` beside `Theta`.
- Vectors over samples and outputs are flattened sample-major: index `n C + c`.
- A Gram over samples and outputs is `[N C, N C]`. At infinite width outputs are independent, every such Gram is
  `G kron I_C`, and only `G`, `[N, N]`, is stored. A function array `[N, C]` is brought to the right shape for either by
  `r.reshape(len(G), -1)`, so the same code serves both.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.kernels.shapes import check_grams
from ntkng.kernels.units import Units
from ntkng.origin import Origin
from ntkng.precision import is_concrete
from ntkng.short_repr import short_repr


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gram:
    """One kernel on training inputs and between test and training inputs.

    Attributes:
        train: `G(x, x)`, `[n, n]`, with `n` = N or N C (see the module).
        cross: `G(x', x)`, `[n', n]`, or `None` without test inputs.
    """

    train: Float[Array, "n n"]
    cross: Float[Array, "m n"] | None = None

    __repr__ = short_repr

    def map(self, function: Any) -> Gram:
        """`function` applied to both parts."""
        return Gram(function(self.train), None if self.cross is None else function(self.cross))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LayerKernels:
    """Kernels of one parametrised layer.

    Attributes:
        theta: layer NTK `Theta_l`.
        inner: `A_{l-1} = a a^T`, Gram of the layer's inputs (patches of them for convolutions), scaled and with bias,
            over samples and positions, `[N S, N S]`: at infinite width and in the NTK parametrisation the NNGP kernel
            of the layer's output. `None` where the layer has no such factor, or where it was not asked for (S > 1).
        backward: `B_l = delta delta^T`, Gram of the backward signals, over samples, outputs and positions (in this
            order), `[N C S, N C S]`, or `[N S, N S]` where outputs are independent. `None` likewise.
        name: readable and unique in its network (static).
        dimensions: `(K, M)`, length of `a` (inputs and bias) and number of units of the finite layer, which the split
            of K-FAC's damping needs (static).
        positions: S, the number of positions at which the layer acts: 1 without spatial axes (static).
        is_output: whether the network's output is this layer's output, so that `delta` is the identity (static).
        units: backward signals unit by unit, on request; `None` otherwise, and where the layer has none.
        is_whitened_output: the same, but of outputs in other coordinates, `delta = S^T` (see `ntkng.whitening`; static).
    """

    theta: Gram
    inner: Gram | None = None
    backward: Gram | None = None
    name: str = dataclasses.field(default="", metadata={"static": True})
    dimensions: tuple[int, int] = dataclasses.field(default=(0, 0), metadata={"static": True})
    positions: int = dataclasses.field(default=1, metadata={"static": True})
    is_output: bool = dataclasses.field(default=False, metadata={"static": True})
    units: Units | None = None
    is_whitened_output: bool = dataclasses.field(default=False, metadata={"static": True})

    __repr__ = short_repr


@dataclasses.dataclass(frozen=True)
class Kernels:
    """All layer kernels of a network on given inputs.

    The constructor checks that all Grams are of one set of inputs. Transformations of the pytree, whose leaves may be anything,
    do not pass through it.

    Attributes:
        layers: in order of execution.
        nngp: covariance of the outputs over random networks, `[N, N]` and `[N', N]` (times `I_C`); analytic only.
        nngp_test: `[N', N']`, analytic only and on request.
        samples: N (static); may be left out for one output, where it is the side of the Grams.
        outputs: C (static).
        source: `"analytic"` or `"empirical"` (static).
        origin: which inputs and network they are of, for comparison with a problem's; unknown for kernels made by hand (static,
            see `ntkng.origin`).

    Raises:
        TypeError: Grams that are no floating-point arrays, sizes that are no integers.
        ValueError: no layers, several outputs without `samples`, Grams that are not `[N, N]` or `[N C, N C]`, or do not fit.
    """

    layers: tuple[LayerKernels, ...]
    nngp: Gram | None = None
    nngp_test: Float[Array, "M M"] | None = None
    samples: int = dataclasses.field(default=0, metadata={"static": True})
    outputs: int = dataclasses.field(default=1, metadata={"static": True})
    source: Literal["analytic", "empirical"] = dataclasses.field(default="analytic", metadata={"static": True})

    origin: Origin = dataclasses.field(default=Origin(), metadata={"static": True})

    def __post_init__(self) -> None:
        if not isinstance(self.layers, (tuple, list)) or not all(isinstance(lk, LayerKernels) for lk in self.layers):
            raise TypeError(
                f"layers must be a tuple of LayerKernels, got {type(self.layers).__name__} {self.layers!r:.80}"
            )
        samples, outputs = check_grams(self.layers, self.nngp, self.samples, self.outputs)
        for name, value in (("layers", tuple(self.layers)), ("samples", samples), ("outputs", outputs)):
            object.__setattr__(self, name, value)
        self._forget_traced_origin()

    def _forget_traced_origin(self) -> None:
        """A compiled program must not keep the origin of the first kernels that it saw."""
        if not is_concrete(self.layers):
            object.__setattr__(self, "origin", Origin())

    @property
    def theta(self) -> Gram:
        """The NTK `Theta = sum_l Theta_l`."""
        cross = None if self.layers[0].theta.cross is None else sum_(lk.theta.cross for lk in self.layers)
        return Gram(sum_(lk.theta.train for lk in self.layers), cross)

    @property
    def size(self) -> int:
        """Side of the train Grams: N (outputs independent) or N C."""
        return self.layers[0].theta.train.shape[0]

    @property
    def block(self) -> int:
        """Rows per sample of the train Grams: 1 (outputs independent) or C."""
        return self.size // self.samples

    def columns(self, function: Float[Array, "N C"]) -> Float[Array, "n k"]:
        """A function on the inputs, shaped so that these Grams act on its first axis."""
        return jnp.reshape(function, (function.shape[0] * self.block, -1))

    def __repr__(self) -> str:
        names = ", ".join(lk.name for lk in self.layers)
        return f"Kernels({self.source}; N = {self.samples}, C = {self.outputs}; layers {names})"


_STATIC = [f.name for f in dataclasses.fields(Kernels) if f.metadata.get("static")]
_DATA = [f.name for f in dataclasses.fields(Kernels) if f.name not in _STATIC]


def _unflatten(static: Any, leaves: Any) -> Kernels:
    kernels = object.__new__(Kernels)
    for name, value in zip((*_DATA, *_STATIC), (*leaves, *static), strict=True):
        object.__setattr__(kernels, name, value)
    kernels._forget_traced_origin()
    return kernels


jax.tree_util.register_pytree_with_keys(
    Kernels,
    lambda kernels: (
        [(jax.tree_util.GetAttrKey(name), getattr(kernels, name)) for name in _DATA],
        tuple(getattr(kernels, name) for name in _STATIC),
    ),
    _unflatten,
)


def sum_(arrays: Any) -> Array:
    """Sum without a leading zero, so that one array stays what it is."""
    total, *rest = arrays
    for array in rest:
        total = total + array
    return total
