"""Any JAX function of flat parameters as a `Model`, computed in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.inductive_bias.parametrisation import Model

__all__ = ["DifferentiableModel"]


@dataclasses.dataclass(frozen=True)
class DifferentiableModel(Model):
    """A model given by `apply(theta, X) -> [N C]`; the Jacobian is by reverse mode, everything in float64.

    For a pytree of parameters take `apply = lambda theta, X: net(unravel(theta), X)` with `unravel` from
    `jax.flatten_util.ravel_pytree`.

    Attributes:
        apply: a function that JAX can trace.
    """

    apply: Callable[[Float[Array, " P"], Float[Array, "N d"]], Float[Array, "N C"]]

    def outputs(self, theta, X):
        """`apply(theta, X)`."""
        with jax.enable_x64(True):
            return np.asarray(self._outputs(jnp.asarray(theta), jnp.asarray(X)))

    def jacobian(self, theta, X):
        """`dapply/dtheta`, sample-major."""
        with jax.enable_x64(True):
            J = np.asarray(self._jacobian(jnp.asarray(theta), jnp.asarray(X)))
        return J.reshape(-1, J.shape[-1])

    @cached_property
    def _outputs(self):
        return jax.jit(self.apply)

    @cached_property
    def _jacobian(self):
        return jax.jit(jax.jacrev(self.apply))
