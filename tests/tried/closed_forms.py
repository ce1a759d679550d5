"""Activations with closed forms of our own: polynomials at every variance, sines and the Gabor function at small inputs."""

import jax
import jax.numpy as jnp
import numpy as np
from gaussian_integrals import expectation
from tried.row import Row

from ntkng import closed_forms, stax

# standard deviations of both inputs, correlation
CASES = [(0.0, 0.0, 0.0), (0.0, 2.0, 0.0), (1e-6, 1e-6, 0.7), (1e-3, 1e-4, -1.0), (1.0, 1.0, 1.0), (3.0, 0.5, -0.9)]
HERMITE = np.array([0, -3, 0, 1]) / 6**0.5
POLYNOMIAL = np.array([0.2, 1.0, 0.3, -0.4])


def rows():
    """Values and slopes together."""
    truth = "Gauss-Legendre panels in two dimensions, NumPy"
    return [
        Row("polynomials, Hermite polynomials", "standard deviations 0 .. 3", truth, _worst(_polynomials()), 1e-13),
        Row("sin, cos, Gabor", "standard deviations 0 .. 3", truth, _worst(_waves()), 1e-12),
    ]


def _polynomials():
    for c in (POLYNOMIAL, HERMITE):
        p = np.polynomial.Polynomial(c)
        yield closed_forms.polynomial(c), p, p.deriv()


def _waves():
    yield closed_forms.sine(1.1, 0.8, 0.0), lambda x: 1.1 * np.sin(0.8 * x), lambda x: 0.88 * np.cos(0.8 * x)
    yield closed_forms.sine(1.0, 1.0, np.pi / 2), np.cos, lambda x: -np.sin(x)
    yield (
        closed_forms.gabor(),
        lambda x: np.exp(-(x**2)) * np.sin(x),
        lambda x: np.exp(-(x**2)) * (np.cos(x) - 2 * x * np.sin(x)),
    )


def _worst(functions):
    """Largest error of the geometric mean of the two variances."""
    first, second, rho = (np.array(part) for part in zip(*CASES, strict=True))
    worst = 0.0
    for layer, *true in functions:
        found = _kernels(layer, first**2, second**2, first * second * rho)
        for part, function in zip(found, true, strict=True):
            for value, case in zip(part, CASES, strict=True):
                scale = [expectation(function, s, s, 1.0) for s in case[:2]]
                worst = max(worst, abs(value - expectation(function, *case)) / ((scale[0] * scale[1]) ** 0.5 or 1.0))
    return worst


def _kernels(layer, first, second, covariance):
    """Values and slopes, from the kernel of a layer with these variances."""
    with jax.enable_x64(True):
        incoming = stax.Dense(1).kernel_fn(
            jnp.ones((len(first), 1)), jnp.ones((len(second), 1)), None, diagonal_batch=True
        )
        matrix = jnp.zeros_like(incoming.nngp) + jnp.asarray(covariance)[:, None] * jnp.eye(len(first))
        incoming = incoming.replace(
            nngp=matrix, ntk=jnp.ones_like(matrix), cov1=jnp.asarray(first), cov2=jnp.asarray(second)
        )
        outgoing = jax.jit(layer[2])(incoming)
        return np.diagonal(outgoing.nngp), np.diagonal(outgoing.ntk)
