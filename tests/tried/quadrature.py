"""Kernels of activations that are integrated numerically: values and slopes, at small and large inputs, all correlations."""

import jax
import jax.numpy as jnp
import numpy as np
from gaussian_integrals import expectation
from tried.row import Row

from ntkng.quadrature import rule
from ntkng.quadrature.activation import Activation
from ntkng.quadrature.trust import trust

# standard deviations of both inputs, correlation
MODERATE = [(0.0, 2.0, 0.5), (1e-6, 1.0, 0.9), (0.3, 10.0, -0.99), (3.0, 3.0, 1.0), (10.0, 10.0, 0.999)]
LARGE = [(1.0, 1000.0, 0.7), (30.0, 200.0, -0.95), (1000.0, 1000.0, 1e-3), (1000.0, 1000.0, 1 - 1e-5)]
ACTIVATIONS = [Activation(function) for function in (jnp.tanh, jax.nn.softplus, jax.nn.silu)]


def rows():
    """Two ranges: those of usual data and of raw pixels."""
    kind, truth = "tanh, softplus, silu: E[phi phi], E[phi' phi']", "Gauss-Legendre panels in two dimensions, NumPy"
    worst = errors(MODERATE + LARGE)
    usual, pixels = worst[: len(MODERATE)].max(), worst[len(MODERATE) :].max()
    return [
        Row(kind, "standard deviations 0 .. 10, correlations -0.99 .. 1", truth, usual, 1e-11),
        Row(kind, "standard deviations 1 .. 1000, correlations -0.95 .. 1 - 1e-5", truth, pixels, 1e-9),
    ]


def errors(cases):
    """Relative errors, `[n]`: the largest of all functions, those of the three activations in one program."""
    with jax.enable_x64(True):
        first, second, rho = (jnp.array(part) for part in zip(*cases, strict=True))
        tables = trust(ACTIVATIONS[0]).tables[jnp.dtype(jnp.float64)]
        which = tuple((i, i) for i in range(len(TRUE)))
        arguments = first[:, None], second[:, None], rho[:, None, None]
        found = jax.jit(lambda *a: rule.pairs(_evaluate, which, *a, tables))(*arguments)[..., 0, 0]
    truth = [[expectation(function, *case) for case in cases] for function in TRUE]
    return np.abs(np.asarray(found) / np.where(truth, truth, 1) - np.where(truth, 1, 0)).max(0)


def _evaluate(u):
    return jnp.concatenate([activation.derivatives((0, 1))(u) for activation in ACTIVATIONS])


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


TRUE = (
    np.tanh,
    lambda x: 4 * _sigmoid(2 * x) * _sigmoid(-2 * x),
    lambda x: np.logaddexp(0, x),
    _sigmoid,
    lambda x: x * _sigmoid(x),
    lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x)),
)
