"""The pytest plugin works from an empty project outside of the repository, through its entry point."""

import os
import subprocess
import sys

import pytest

START = "import sys, pytest; code = pytest.main(['--markers', '-q']); print('JAX' if 'jax' in sys.modules else 'light')"
USES = """
import ntkng
import pytest
from ntkng.testing import assert_kernels_match, parametrize_with_checks

def test_seeds(ntkng_seeds):
    assert ntkng_seeds == 5

def test_fixtures(ntkng_problem, ntkng_problem_of_width, ntkng_analytic, ntkng_empirical):
    assert ntkng_problem is ntkng_problem_of_width(64)
    assert ntkng_analytic.size == 4 and ntkng_empirical.size == 8
    assert_kernels_match(ntkng_analytic, ntkng_analytic)
    with pytest.raises(ValueError):
        assert_kernels_match(ntkng_analytic, ntkng.analytic(ntkng_problem.network, ntkng_problem.x[:2]))

network = ntkng.mlp(3, width=8, depth=2)

@parametrize_with_checks([network], expected_failures={"deterministic": "declared, and yet it holds"})
def test_conformance(subject, check):
    check()

@pytest.mark.ntkng_slow
def test_slow():
    raise RuntimeError("is not run")

@pytest.mark.ntkng_gpu
def test_gpu():
    import jax
    assert jax.default_backend() != "cpu"
"""
SWEEPS = """
import ntkng
from ntkng.testing import SMOOTH, assert_trajectories_match

def test_sweep(ntkng_width_sweep):
    sweep = ntkng_width_sweep(ntkng.Exact(), widths=(16, 32, 64), steps=1)
    assert ntkng_width_sweep(ntkng.Exact(), widths=(16, 32, 64), steps=1) is sweep
    assert [len(sweep.simulated[width].train) for width in (16, 32, 64)] == [20, 10, 5]
    assert_trajectories_match(sweep.simulated, sweep.predicted, powers=SMOOTH, effect=None, test_effect=None)
"""


def python(folder, *arguments):
    """Run Python in `folder` as a user's project would: nothing of this repository on the path but what is installed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )


def test_pytest_starts_without_jax(tmp_path):
    (tmp_path / "conftest.py").write_text("")
    run = python(tmp_path, "-c", START)
    assert "ntkng_slow" in run.stdout, (
        f"the entry point is missing: install the package again\n{run.stdout}{run.stderr}"
    )
    assert run.stdout.rstrip().endswith("light"), run.stdout


def test_plugin_in_an_empty_project(tmp_path):
    (tmp_path / "test_mine.py").write_text(USES)
    run = python(
        tmp_path, "-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", "--strict-markers", "--ntkng-seeds", "5"
    )
    assert "[XPASS(strict)] declared, and yet it holds" in run.stdout, run.stdout + run.stderr
    assert "1 failed" in run.stdout, run.stdout  # the declaration that has rotted, nothing else
    assert "slow: run with --ntkng-slow" in run.stdout, run.stdout


@pytest.mark.parametrize("value", ["1", "many"])
def test_bad_number_of_seeds(tmp_path, value):
    run = python(tmp_path, "-m", "pytest", "--ntkng-seeds", value)
    assert run.returncode == 4
    assert "--ntkng-seeds" in run.stderr, run.stderr


def test_slow_tests_run_when_asked_for(tmp_path):
    (tmp_path / "test_mine.py").write_text("import pytest\n@pytest.mark.ntkng_slow\ndef test_slow():\n    pass\n")
    assert "1 skipped" in python(tmp_path, "-m", "pytest", "-q").stdout
    assert "1 passed" in python(tmp_path, "-m", "pytest", "-q", "--ntkng-slow").stdout


@pytest.mark.slow
def test_width_sweeps(tmp_path):
    (tmp_path / "test_mine.py").write_text(SWEEPS)
    assert "1 passed" in python(tmp_path, "-m", "pytest", "-q", "--ntkng-seeds", "5").stdout
