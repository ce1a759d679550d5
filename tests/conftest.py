"""What all tests share: compiled programs are dropped between files before they fill a small machine."""

import gc
from pathlib import Path

import jax
import pytest

STATUS, LIMIT = Path("/proc/self/statm"), 3 * 2**30


@pytest.fixture(autouse=True, scope="module")
def _bounded_memory():
    yield
    if STATUS.exists() and int(STATUS.read_text().split()[1]) * 4096 > LIMIT:
        jax.clear_caches()
        gc.collect()
