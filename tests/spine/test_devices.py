"""Training inputs spread over two devices (of the host, in a process of its own) give the same trajectory."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import ntkng
from ntkng.devices import platform

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


def test_the_users_device_decides_and_not_the_default_backend(monkeypatch):
    """On a machine with an accelerator whose user computes on the CPU, batched solves must not run side by side."""
    cpu, x = jax.devices("cpu")[0], np.random.default_rng(0).normal(size=(3, 4))
    problem = ntkng.Problem(ntkng.mlp(4, width=8, depth=2), x, x[:, 0])
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert platform() == "gpu"
    vmapped = []
    monkeypatch.setattr(
        jax, "vmap", lambda function: vmapped.append(function) or (lambda keys: jax.lax.map(function, keys))
    )

    def train(key=0, **options):
        vmapped.clear()
        ntkng.simulate(problem, ntkng.Exact(), key, step_size=0.5, steps=1, seeds=2, **options)
        return bool(vmapped)

    assert train()
    for setting in (cpu, "cpu"):
        with jax.default_device(setting):
            assert platform() == "cpu"
            assert not train()
    assert not train(jax.device_put(jax.random.key(0), cpu))
    assert not train(devices=[cpu])
    assert jax.config.jax_default_device is None
