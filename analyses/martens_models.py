"""Small models whose dense curvature matrices the studies of Martens (2020) compare."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkng.families import Bernoulli, Family, Gaussian, Poisson, Softmax

__all__ = ["FAMILIES", "draw_targets", "mildly_nonlinear", "tanh_network"]

FAMILIES: dict[str, Family] = {
    "Gaussian": Gaussian(),
    "Bernoulli": Bernoulli(),
    "softmax": Softmax(),
    "Poisson": Poisson(),
}


def tanh_network(
    inputs: Float[np.ndarray, "N d"], widths: Sequence[int]
) -> tuple[Callable[[jax.Array], jax.Array], int]:
    """A tanh network with layer widths `widths` on `inputs`, weights `theta / sqrt(fan-in)`, as a function of `theta`.

    Returns:
        The function `theta [P] -> z [N widths[-1]]` and `P`.
    """
    sizes = [inputs.shape[1], *widths]
    shapes = list(itertools.pairwise(sizes))
    bounds = np.cumsum([0, *(a * b for a, b in shapes)])

    def model(theta: jax.Array) -> jax.Array:
        h = jnp.asarray(inputs)
        for layer, shape in enumerate(shapes):
            weights = theta[bounds[layer] : bounds[layer + 1]].reshape(shape)
            h = (jnp.tanh(h) if layer else h) @ weights / np.sqrt(shape[0])
        return h

    return model, int(bounds[-1])


def mildly_nonlinear(
    inputs: Float[np.ndarray, "N d"], directions: Float[np.ndarray, "N d"], outputs: int = 1, strength: float = 0.8
) -> Callable[[jax.Array], jax.Array]:
    """`z_nc = x_n . theta_c + strength tanh(a_n . theta_c)`: nonlinear in `theta`, with a well-conditioned Fisher.

    Returns:
        The function `theta [d * outputs] -> z [N outputs]`.
    """

    def model(theta: jax.Array) -> jax.Array:
        columns = theta.reshape(outputs, -1).T
        return jnp.asarray(inputs) @ columns + strength * jnp.tanh(jnp.asarray(directions) @ columns)

    return model


def draw_targets(family: Family, shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "N C"]:
    """Training targets that are possible outcomes of the family, unrelated to any model."""
    if isinstance(family, Gaussian):
        return rng.normal(size=shape)
    if isinstance(family, Bernoulli):
        return rng.integers(0, 2, size=shape).astype(np.float64)
    if isinstance(family, Softmax):
        return np.eye(shape[1])[rng.integers(0, shape[1], size=shape[0])]
    return rng.poisson(1.5, size=shape).astype(np.float64)
