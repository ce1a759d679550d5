"""Closed forms with N in the ten thousands, streamed, against one Cholesky factorisation of that size."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import ntkng
from ntkng.streamed import streamed_closed_form

MEMORY = 2**30


def run(quick: bool) -> list[dict[str, Any]]:
    """One row per approximation, timed once (minutes each): seconds of wall time, and over those of the factorisation."""
    import scipy.linalg

    samples = 1000 if quick else 20_000
    rng = np.random.default_rng(0)
    x, x_test = rng.normal(size=(samples, 784)), rng.normal(size=(100, 784))
    problem = ntkng.Problem(ntkng.mlp(784, depth=3, sigma_b=0.3), x, np.sign(x[:, 0]), x_test, np.sign(x_test[:, 0]))
    matrix = np.full((samples, samples), 0.1)
    np.fill_diagonal(matrix, 1.0)
    start = time.perf_counter()
    scipy.linalg.cholesky(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    factorisation = time.perf_counter() - start
    del matrix
    rows = [
        {"what": "many samples", "contestant": "one Cholesky", "N": samples, "seconds": factorisation, "ratio": 1.0}
    ]
    for fisher in (ntkng.Exact(), ntkng.BlockDiagonal()):
        start = time.perf_counter()
        path = streamed_closed_form(problem, fisher, step_size=0.1, steps=99, memory=MEMORY)
        seconds = time.perf_counter() - start
        assert path.test is not None
        rows.append(
            {
                "what": "many samples", "contestant": fisher.name, "N": samples, "seconds": seconds,
                "ratio": seconds / factorisation, "test loss": float(np.asarray(path.test_loss)[-1]),
            }
        )  # fmt: skip
    return rows
