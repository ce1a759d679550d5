"""Expectations over two correlated Gaussians by brute force: Gauss-Legendre panels that double in width away from 0."""

import numpy as np

REACH = 10.0
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(12)
SCALES = 2.0 ** np.arange(-15, 5)  # down to what changes at the largest standard deviation, 10^4
AROUND = np.concatenate([-SCALES[::-1], [0.0], SCALES])


def expectation(f, s1, s2, rho):
    """`E[f(u) f(v)]` for standard deviations `s1`, `s2` and correlation `rho`; `f` changes around 0 on a scale of about 1.

    `u = s1 x`, `v = s2 (rho x + sqrt(1 - rho^2) y)`: panels around `x = 0`, and for each `x` around the `y` where `v = 0`.
    """
    x, weight = _panels(AROUND)
    rest = np.sqrt((1 - rho) * (1 + rho))
    if rest == 0:
        return float((weight * f(s1 * x) * f(rho * s2 * x)).sum())
    y, inner = _panels(AROUND - rho / rest * x[:, None])
    return float((weight * f(s1 * x) * (inner * f(s2 * (rho * x[:, None] + rest * y))).sum(-1)).sum())


def _panels(edges):
    """Points and Gaussian weights of the panels between `edges` and between whole numbers, within `REACH`."""
    whole = np.broadcast_to(np.arange(-REACH, REACH + 1), (*edges.shape[:-1], int(2 * REACH) + 1))
    edges = np.sort(np.clip(np.concatenate([edges, whole], -1), -REACH, REACH), -1)
    middle, half = (edges[..., 1:] + edges[..., :-1]) / 2, (edges[..., 1:] - edges[..., :-1]) / 2
    points = (middle[..., None] + half[..., None] * POINTS).reshape(*edges.shape[:-1], -1)
    weights = (half[..., None] * WEIGHTS).reshape(*edges.shape[:-1], -1)
    return points, weights * np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
