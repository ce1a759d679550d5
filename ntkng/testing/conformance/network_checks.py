"""Checks of a network: what ntkng sees of it layer by layer, against what JAX and neural-tangents see as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkng.kernels import analytic, empirical
from ntkng.network import Network
from ntkng.report import Claim, Report
from ntkng.testing.conformance.cases import error

SAMPLES = 3
BOUND = 1e-9


def deterministic(network: Network) -> Report:
    """The outputs of a sample depend on that sample and the parameters alone."""
    x, _ = inputs(network)
    with jax.enable_x64(True):
        parameters = network.init(jax.random.key(0))
        once, twice = (np.asarray(network.apply(parameters, jnp.asarray(x))) for _ in range(2))
        alone = np.concatenate([np.asarray(network.apply(parameters, jnp.asarray(row[None]))) for row in x])
    return Report(
        "determinism",
        (
            Claim.below("repeated", error(twice, once), 1e-15, "difference of two evaluations"),
            Claim.below("alone", error(alone, once), BOUND, "difference of a batch and its samples one by one"),
            Claim.holds("shape", once.shape == (SAMPLES, network.outputs), "outputs are [N, C]"),
        ),
    )


def empirical_kernels(network: Network) -> Report:
    """Every layer's `Theta_l` is `J_l J_l^T` with the full Jacobian of `jax.jacobian`."""
    x, x_test = inputs(network)
    with jax.enable_x64(True):
        parameters = network.init(jax.random.key(0))
        kernels = empirical(network, parameters, x, x_test)
        train, test = (_jacobians(network, parameters, a) for a in (x, x_test))
    claims = []
    for layer, own, other in zip(kernels.layers, train, test, strict=True):
        for where, value, expected in (
            ("train", layer.theta.train, own @ own.T),
            ("cross", layer.theta.cross, other @ own.T),
        ):
            claims.append(
                Claim.below(f"{layer.name}/{where}", error(value, expected), BOUND, "difference over largest entry")
            )
    return Report("empirical kernels against full Jacobians", tuple(claims))


def analytic_kernels(network: Network) -> Report:
    """The infinite-width layers sum to the NTK that neural-tangents computes as a whole."""
    x, x_test = inputs(network)
    kernels = analytic(network, x, x_test)
    claims = [
        Claim.below(
            where,
            error(getattr(kernels.theta, where), total_ntk(network, x, other)),
            1e-7,
            "difference over largest entry",
        )
        for where, other in (("train", None), ("cross", x_test))
    ]
    return Report("infinite-width kernels against the total NTK", tuple(claims))


def parameters_round_trip(network: Network) -> Report:
    """`join(split(parameters))` gives the parameters back."""
    with jax.enable_x64(True):
        parameters = network.init(jax.random.key(0))
        rebuilt = network.join(network.split(parameters))
    same = jax.tree.structure(rebuilt) == jax.tree.structure(parameters) and all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(rebuilt), jax.tree.leaves(parameters), strict=True)
    )
    return Report("parameters", (Claim.holds("join(split)", same, "gives the same pytree"),))


def total_ntk(network: Network, x: Any, x_test: Any = None) -> np.ndarray:
    """neural-tangents' own NTK `[N, N]`, or `[M, N]` between test and training inputs."""
    with jax.enable_x64(True):
        rows = jnp.asarray(x if x_test is None else x_test)
        return np.asarray(network.layer.kernel_fn(rows, None if x_test is None else jnp.asarray(x), "ntk"))


def inputs(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Random training and test inputs that fit the network."""
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=(n, *network.input_shape)) for n in (SAMPLES, 2))  # type: ignore[return-value]


def _jacobians(network: Network, parameters: Any, x: np.ndarray) -> list[np.ndarray]:
    parts = network.split(parameters)
    jacobians = jax.jacobian(lambda parts: network.apply(network.join(parts), jnp.asarray(x)))(parts)
    rows = len(x) * network.outputs
    return [
        np.concatenate([np.asarray(leaf).reshape(rows, -1) for leaf in jax.tree.leaves(part)], axis=1)
        for part in jacobians
    ]


CHECKS: dict[str, Callable[[Network], Report]] = {
    check.__name__: check for check in (deterministic, empirical_kernels, analytic_kernels, parameters_round_trip)
}
