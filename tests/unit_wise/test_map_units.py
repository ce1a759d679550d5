"""Batches of units: the same results for any size of a batch, and never two batched factorisations at once."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from ntkng.fisher.small_solves import map_units, solve_small

STEPS = """
import jax, ntkng, numpy as np
x = np.random.default_rng(0).normal(size=(200, 784))
problem = ntkng.Problem(ntkng.mlp(784, width=1024, depth=8), x, x[:, 0])
ntkng.simulate(problem, ntkng.UnitWise(1e-3), 0, step_size=1e-4, steps=12, dtype="float32")
"""


@pytest.mark.parametrize("batch", [1, 3, 4, 7, 100])
def test_any_batch(batch):
    rng = np.random.default_rng(0)
    factors, right = rng.normal(size=(7, 5, 5)), rng.normal(size=(7, 5))
    systems = factors @ factors.transpose(0, 2, 1) + np.eye(5)
    units = jnp.asarray(systems, jnp.float32), jnp.asarray(right, jnp.float32)
    # those filled up are no systems at all: what becomes of them must not show
    found = np.asarray(map_units(lambda unit: solve_small(unit[0], unit[1][:, None])[:, 0], units, batch))
    np.testing.assert_allclose(found, np.linalg.solve(systems, right[..., None])[..., 0], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_several_batches_do_not_wait_for_each_other():
    """A deep network, where factorisations take over, 1024 units in batches of about 140: some ten seconds, or for ever."""
    subprocess.run([sys.executable, "-c", STEPS], check=True, timeout=240)
