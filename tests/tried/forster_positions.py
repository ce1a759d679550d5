"""Radial isotropic positions of inputs of any length, and close to having none."""

import numpy as np
from tried.row import Row

from ntkng.forster import forster

TRUTH = "`Z^T Z = (N/d) I` of the transformed inputs, in the Frobenius norm"


def off(x):
    z = forster(x)(x)
    return float(np.linalg.norm(z.T @ z / len(z) - np.eye(z.shape[1]) / z.shape[1]) * np.sqrt(z.shape[1]))


def rows():
    """Lengths, features, near planes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 4))
    near = [np.r_[x[:14] * [1, 1, e, e], x[14:]] for e in (1e-3, 1e-6, 1e-10)]
    return [
        Row(
            "`forster`", "lengths 1e-150 to 1e150", TRUTH, off(x * 10 ** rng.uniform(-150, 150, size=(20, 1))), 1.1e-12
        ),
        Row("`forster`", "features 1e-6 to 1e6", TRUTH, off(x * 10 ** rng.uniform(-6, 6, size=4)), 1.1e-12),
        Row("`forster`", "too many inputs within 1e-3 to 1e-10 of a plane", TRUTH, max(map(off, near)), 1.1e-12),
    ]
