"""Kernels of less than full rank over long times, and layers of which one factor is 0."""

import mpmath as mp
import numpy as np
from tried.row import Row

import ntkng
from ntkng.fisher.relative_damping import root_of_ratio

RNG = np.random.default_rng(3)
X = RNG.normal(size=(8, 3))
X[-1] = X[0]  # with another target
Y, X_TEST = RNG.normal(size=8), RNG.normal(size=(4, 3))


def rows():
    """One row a kind."""
    return [
        Row(
            "singular kernels",
            "linear networks, a duplicate row, N = 8, d = 3; t = 1e17, 1e30, infinity; GD, exact and K-FAC damped 1e-11 .. 1e-2",
            "least squares in NumPy",
            _limits(),
            1e-11,
        ),
        Row(
            "dampings of a zero factor",
            "K-FAC's pi, both scales 1e-320 .. 1e300 or 0",
            "mpmath; 1",
            _ratios(),
            1e-13,
        ),
    ]


def _limits():
    network = ntkng.mlp(3, width=16, depth=2, activation="linear")
    problem = ntkng.Problem(network, X, Y, X_TEST, np.zeros(4), allow_duplicates=True)
    kernels, truth = ntkng.analytic(network, X, X_TEST), X_TEST @ np.linalg.lstsq(X, Y, rcond=None)[0]
    paths = [
        ntkng.closed_form(problem, fisher, kernels, flow=True, steps=[1e17, 1e30, np.inf])
        for fisher in (ntkng.GradientDescent(), ntkng.Exact(1e-11), ntkng.KFAC(1e-9), ntkng.KFAC(1e-2))
    ]
    return float(max(np.abs(path.test[..., 0] - truth).max() for path in paths) / np.abs(truth).max())


def _ratios():
    scales = [1e-300, 1e-20, 1.0, 1e20, 1e300]
    pairs = [(a, b) for a in scales for b in scales] + [(1e-320, 1.0), (1e10, 1e-320)]
    errors = [float(abs(root_of_ratio(a, b) / mp.sqrt(mp.mpf(a) / mp.mpf(b)) - 1)) for a, b in pairs]
    return max(errors + [abs(root_of_ratio(a, b) - 1) for a, b in ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0))])
