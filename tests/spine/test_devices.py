"""Training inputs spread over two devices (of the host, in a process of its own) give the same trajectory."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import ntkng

PROGRAM = """
import jax, numpy as np, ntkng
jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)
x, y, x_test, y_test = (rng.normal(size=shape) for shape in ((8, 6), (8, 2), (3, 6), (3, 2)))
problem = ntkng.Problem(ntkng.mlp(6, 2, width=64, depth=3, activation="erf", sigma_b=0.3), x, y, x_test, y_test)
assert len(jax.devices()) == 2
for fisher in (ntkng.BlockTriDiagonal(), ntkng.KFAC(0.1)):
    one, two = (
        ntkng.simulate(problem, fisher, 0, step_size=0.02, steps=2, devices=devices) for devices in (None, jax.devices())
    )
    assert len(two.train.sharding.device_set) == 2
    assert np.abs(np.asarray(one.train) - np.asarray(two.train)).max() < 1e-12
    assert np.abs(np.asarray(one.test) - np.asarray(two.test)).max() < 1e-12
"""


def test_two_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_uneven_parts_are_refused():
    rng = np.random.default_rng(0)
    problem = ntkng.Problem(ntkng.mlp(4, width=8), rng.normal(size=(3, 4)), rng.normal(size=3))
    with pytest.raises(ValueError, match="cannot be spread evenly over 2 devices"):
        ntkng.simulate(problem, ntkng.Exact(), step_size=0.1, steps=1, devices=[*jax.devices()[:1]] * 2)
