"""An elementwise function and its derivatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


@dataclasses.dataclass(frozen=True)
class Activation:
    """A function of arrays that acts entry by entry, with its derivative.

    Attributes:
        function: `phi`.
        slope: `phi'`, or `None` for automatic differentiation.

    Raises:
        TypeError: one of them is no function of JAX arrays.
        ValueError: it changes their shape.
    """

    function: Callable[[Any], Any]
    slope: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        for name, function in (("fn", self.function), ("df", self.slope)):
            if function is None and name == "df":
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}; pass jnp.tanh or the like")
            try:
                result = jax.eval_shape(function, jax.ShapeDtypeStruct((2, 3), jnp.float32))
                shape = jnp.broadcast_shapes(result.shape, (2, 3))
            except Exception as error:  # whatever a user's function raises
                raise TypeError(
                    f"{name} must map JAX arrays entry by entry, got {type(error).__name__} from {function!r}; write it with "
                    "jax.numpy in place of numpy or math"
                ) from error
            if shape != (2, 3):
                raise ValueError(f"{name} must map arrays entry by entry, got shape {shape} for inputs of shape (2, 3)")

    @property
    def name(self) -> str:
        """What the function is called."""
        return getattr(self.function, "__name__", None) or type(self.function).__name__

    def derivatives(self, orders: tuple[int, ...]) -> Callable[[Array], Array]:
        """`u -> (phi^(k)(u) for k in orders)`, stacked in front."""

        def evaluate(u: Array) -> Array:
            if self.slope is None:
                found = _tower(self.function, max(orders), u)
            else:
                higher = _tower(self.slope, max(orders) - 1, u) if max(orders) else ()
                found = (*_tower(self.function, 0, u), *higher)
            return jnp.stack([found[order] for order in orders])

        return evaluate


def _tower(function: Callable[[Any], Any], order: int, u: Array) -> tuple[Array, ...]:
    """`function` and its derivatives up to `order`."""
    if order == 0:
        return (jnp.broadcast_to(jnp.asarray(function(u), u.dtype), u.shape),)
    values, slopes = jax.jvp(lambda v: _tower(function, order - 1, v), (u,), (jnp.ones_like(u),))
    return (*values, slopes[-1])
