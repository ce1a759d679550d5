"""Inputs that are equal, nearly equal, collinear or opposite: kernels whose angles are 0, nearly 0 or pi."""

import numpy as np
from angles import recursions
from tried.row import Row

import ntkng
from ntkng import stax


def _inputs(size):
    rng = np.random.default_rng(0)
    base = rng.normal(size=size)
    moved = [base + distance * rng.normal(size=size) for distance in (1e-2, 1e-4, 1e-7, 1e-10, 1e-13, 1e-15)]
    return np.array([base, base, 3 * base, -base, -0.7 * base, 0 * base, *moved])


def rows():
    """Multilayer perceptrons of three layers, cross kernels with two of the inputs."""
    found, truth = [], "the recursion in 50 digits"
    for size, slopes, sigma_b, what in (
        (1, (0, 1), 0.0, "ReLU, one feature"),
        (3, (0.1, 1), 0.3, "leaky ReLU, biases"),
    ):
        x = _inputs(size)
        network = ntkng.mlp(size, width=8, activation=stax.ABRelu(*slopes), sigma_b=sigma_b)
        kernels, scale = ntkng.analytic(network, x[:2], x), np.square(x[0]).mean() + sigma_b**2
        expected = recursions.mlp(x, x[:2], 3, slopes, 2**0.5, sigma_b)
        worst = max(
            np.abs(a.cross - b).max() / scale for a, b in zip((kernels.nngp, kernels.theta), expected, strict=True)
        )
        inputs = "equal, distances 1e-15 to 1e-2, times 3, -1 and -0.7, zero; of the input's variance"
        found.append(Row(f"NNGP and NTK, {what}", inputs, truth, float(worst), 1e-13))
    return found
