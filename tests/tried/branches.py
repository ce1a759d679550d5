"""Branches that share a layer: skips around blocks with skips of their own."""

import numpy as np
from tried.row import Row

import ntkng
from ntkng import stax


def rows():
    """One row."""
    inputs = "u + (u + W relu(u)), input standard deviations 1e-3 .. 1e3"
    return [
        Row("branches that share a layer", inputs, "amplitudes counted by hand, arc-cosine formula", _skips(), 1e-12)
    ]


def _skips():
    def fan(branch):
        return stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), branch), stax.FanInSum())

    block = fan(fan(stax.serial(stax.Relu(), stax.Dense(8))))
    network = ntkng.Network(stax.serial(stax.Dense(8), block, stax.Dense(1)), 4)
    worst = 0.0
    for scale in (1e-3, 1.0, 1e3):
        x = scale * np.random.default_rng(0).normal(size=(5, 4))
        q = x @ x.T / 4
        size = np.sqrt(np.outer(np.diag(q), np.diag(q)))
        angle = np.arccos(np.clip(q / size, -1, 1))
        relu = size * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
        nngp, step = 4 * q + relu, (np.pi - angle) / (2 * np.pi)
        found = ntkng.analytic(network, x)
        for kernel, truth in ((found.nngp, nngp), (found.theta, 2 * nngp + step * q)):
            worst = max(worst, float(abs(kernel.train - truth).max() / abs(truth).max()))
    return worst
