"""Importing ntkng is light and changes nothing global; results survive where JAX's x64 is off."""

import json
import subprocess
import sys

CODE = """
import json, sys, time
import jax
before = dict(jax.config.values)
start = time.process_time()
import ntkng
seconds = time.process_time() - start
heavy = [m for m in ("tensorflow", "tf2jax", "matplotlib", "pandas", "sklearn", "seaborn", "torch") if m in sys.modules]
print(json.dumps({"heavy": heavy, "changed": [k for k, v in jax.config.values.items() if before.get(k) != v]}))
"""


def test_import_is_light_and_leaves_jax_alone():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == {"heavy": [], "changed": []}


NO_X64 = """
import jax, numpy as np, ntkng
assert not jax.config.jax_enable_x64
x = np.random.default_rng(0).normal(size=(5, 8))
problem = ntkng.Problem(ntkng.mlp(8, width=32), x, x[:, 0])
run = ntkng.closed_form(problem, ntkng.BlockDiagonal(), steps=3)
assert isinstance(run.train, np.ndarray) and run.train.dtype == np.float64, type(run.train)
trained = ntkng.simulate(problem, ntkng.BlockDiagonal(), 0, step_size=0.1, steps=2)
assert isinstance(trained.train, np.ndarray) and trained.train.dtype == np.float64
assert not jax.config.jax_enable_x64
jax.config.update("jax_enable_x64", True)
assert isinstance(ntkng.closed_form(problem, ntkng.Exact(), steps=3).train, jax.Array)
print("fine")
"""


def test_float64_without_the_global_flag():
    run = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", NO_X64], capture_output=True, text=True)
    assert run.stdout == "fine\n", run.stderr
