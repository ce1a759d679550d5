r"""Units of an infinitely wide multilayer perceptron, by quasi-Monte Carlo.

In the limit the units of hidden layer `l` are independent and identically distributed, with backward signals

    delta[n, c] = phi'(u(x_n)) g_c(x_n) / sqrt(M_l),     u ~ GP(0, Cov(u_l)),   g_c ~ GP(0, sigma_w^2 B_{l+1}),

independent of each other, over training and test inputs jointly; `B_l = sigma_w^2 B_{l+1} o E[phi'(u) phi'(u)^T]` is their
second moment. Expectations over units are taken with scrambled Sobol points, mapped to Gaussians along the principal axes
of the covariances, largest variance first; independent scramblings give the error bar.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkng.kernels.activation import derivative, require_elementwise
from ntkng.kernels.kernels import Kernels, LayerKernels
from ntkng.kernels.units import Units, UnitSampling
from ntkng.network import Network

RANK = 1e-14  # relative variance below which a principal axis is left out


def sample_units(network: Network, joint: Kernels, samples: int, sampling: UnitSampling) -> tuple[Units | None, ...]:
    """Units of every hidden layer; `None` for the output layer, whose backward signals are the identity.

    Args:
        network: a multilayer perceptron; its widths set the scale `1/sqrt(M_l)`.
        joint: its analytic kernels on training and test inputs together, training inputs first.
        samples: N, number of training inputs among them.
        sampling: how many points, and their seed.

    Raises:
        ValueError: a network that is no multilayer perceptron ending in a dense layer.
    """
    if network.output_layer != network.depth - 1:
        raise ValueError(
            "the units of an infinitely wide network are only known where its outputs are those of its last dense "
            "layer; end the network with stax.Dense(C)"
        )
    hidden = range(network.depth - 1)
    for layer in hidden:
        require_elementwise(network, layer)
    return (*(_layer(network, joint, layer, samples, sampling) for layer in hidden), None)


def _layer(network: Network, joint: Kernels, layer: int, samples: int, sampling: UnitSampling) -> Units:
    following = joint.layers[layer + 1].backward
    weight = network.tags[layer + 1].arguments.get("W_std")
    if following is None or weight is None:
        raise ValueError(f"layer {joint.layers[layer + 1].name} has no backward Gram; use dense layers")
    forward = _root(preactivation_covariance(network, layer, joint.layers[layer]))
    backward = weight**2 * np.asarray(following.train)
    units, outputs = network.dimensions[layer][1], network.outputs
    parts = []
    for generator in _generators(sampling, layer):
        normal = _sobol_normal(forward.shape[1] + outputs * _root(backward).shape[1], sampling.points, generator)
        u = normal[:, : forward.shape[1]] @ forward.T
        axes = normal[:, forward.shape[1] :].reshape(sampling.points, -1, outputs)
        g = np.einsum("nk,skc->snc", _root(backward), axes)
        slopes = np.asarray(derivative(network, layer, jnp.asarray(u)))
        parts.append(slopes[:, :, None] * g / units**0.5)
    deltas = np.concatenate(parts)
    test = deltas[:, samples:] if deltas.shape[1] > samples else None
    # jnp: the arrays live in a pytree that compiled code takes
    return Units(
        jnp.asarray(deltas[:, :samples]),
        None if test is None else jnp.asarray(test),
        weight=units / len(deltas),
        groups=sampling.scramblings,
    )


def preactivation_covariance(network: Network, layer: int, kernels: LayerKernels) -> Float[np.ndarray, "n n"]:
    """Covariance of `u_l` over inputs: `A_{l-1}` in the NTK parametrisation, else from its differently scaled `A`."""
    assert kernels.inner is not None
    inner, arguments = np.asarray(kernels.inner.train), network.tags[layer].arguments
    if arguments["parameterization"].lower() != "standard":
        return inner
    has_bias = arguments["b_std"] is not None
    inputs = (network.dimensions[layer][0] - has_bias) / arguments["s"][0]
    return arguments["W_std"] ** 2 * (inner - has_bias) / inputs + (arguments["b_std"] or 0) ** 2


def _root(covariance: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n k"]:
    """`R` with `R R^T` the covariance, columns along principal axes, largest variance first."""
    if not np.isfinite(covariance).all():
        raise ValueError(
            "the covariance of a layer has NaN or infinite entries; check the inputs and the scale of the weights"
        )
    values, vectors = np.linalg.eigh(covariance)
    kept = values > RANK * values[-1]
    return (vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1]


def _generators(sampling: UnitSampling, layer: int) -> list[np.random.Generator]:
    return [np.random.default_rng([sampling.seed, layer, index]) for index in range(sampling.scramblings)]


def _sobol_normal(dimensions: int, points: int, generator: np.random.Generator) -> Float[np.ndarray, "points d"]:
    """Standard normal vectors from one scrambled Sobol sequence."""
    import scipy.special
    import scipy.stats.qmc as qmc

    if dimensions > qmc.Sobol.MAXDIM:
        raise ValueError(
            f"sampling units needs {dimensions} dimensions (inputs x (1 + outputs)), Sobol points have at most "
            f"{qmc.Sobol.MAXDIM}; use fewer training and test inputs at a time"
        )
    name = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"  # renamed in SciPy 1.15
    keyword: dict[str, Any] = {name: generator}
    uniform = qmc.Sobol(dimensions, scramble=True, **keyword).random(points)
    tiny = 2.0**-53
    return scipy.special.ndtri(np.clip(uniform, tiny, 1 - tiny))


def attach(kernels: Kernels, units: tuple[Units | None, ...]) -> Kernels:
    """`kernels` with the units of every layer."""
    layers = tuple(
        dataclasses.replace(layer, units=part) for layer, part in zip(kernels.layers, units, strict=True)
    )  # fmt: skip
    return dataclasses.replace(kernels, layers=layers)
