"""What a function is: its code and what that reads, the same in every process."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng.fingerprint import fingerprint

FACTOR = {"a": 2.0}


def helper(x):
    return FACTOR["a"] * x


def uses_helper(x):
    return helper(x)


def scaled(k):
    return lambda x: k * x


class Scale:
    def __init__(self, k):
        self.k = k

    def run(self, x):
        return self.k * x


def twice(x, k=2):
    return k * x


def test_functions_of_one_name_differ_by_what_they_hold():
    k = jax.random.key(0), jax.random.key(1), jax.random.key(0, impl="rbg")
    held = [1, 2, 1.0, True, "1", (1,), [1], np.float32(1), np.arange(2), np.arange(2.0), jnp.arange(2.0), None, *k]
    held += [ntkng.KFAC(0.1), ntkng.KFAC(0.2), helper, np.sin, jnp.sin, {"a": 1}, {1}, -0.0, 0.0, np.nan, b"1"]
    held += [ntkng.mlp(3, width=8), ntkng.mlp(3, width=9)]
    found = [fingerprint(scaled(value)) for value in held]
    assert len(set(found)) == len(held)
    assert found == [fingerprint(scaled(value)) for value in held]
    assert fingerprint(Scale(1).run) != fingerprint(Scale(2).run)
    assert fingerprint(functools.partial(twice, k=1)) != fingerprint(functools.partial(twice, k=2))
    assert fingerprint(lambda x: x) != fingerprint(lambda x: x + 1)
    assert fingerprint(jax.jit(scaled(1))) != fingerprint(jax.jit(scaled(2)))


def test_what_the_code_reads_counts(monkeypatch):
    before = fingerprint(uses_helper)
    monkeypatch.setitem(FACTOR, "a", 3.0)
    after = fingerprint(uses_helper)
    assert after != before
    monkeypatch.setattr(sys.modules[__name__], "helper", lambda x: x)
    assert fingerprint(uses_helper) not in (before, after)
    before = fingerprint(twice)
    monkeypatch.setattr(twice, "__defaults__", (3,))
    assert fingerprint(twice) != before


LOG: list[int] = []


def test_what_a_function_writes_does_not_count():
    calls, seen, count = [], {}, 0

    def run(x):
        nonlocal count
        count += 1
        calls.append(x)
        LOG.append(x)
        seen["n"] = seen.get("n", 0) + 1

    before = fingerprint(run)
    run(1)
    assert fingerprint(run) == before


@pytest.mark.parametrize("value", [np.random.default_rng(0), np.random.default_rng(0).normal, iter([1]), pytest])
def test_what_cannot_be_identified_is_refused(value):
    if value is pytest:
        import threading

        value = threading.Lock()
    with pytest.raises(TypeError, match="cannot be identified|another state"):
        fingerprint(scaled(value))


def test_another_process_agrees(tmp_path, monkeypatch):
    (tmp_path / "points_of_a_user.py").write_text(
        "S = {'a', 'b', (1, 2)}\ndef f(x, s=frozenset('xyz')):\n    return x in S and x in {'p', 'q'}\n"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import points_of_a_user as p; "
        "from ntkng.fingerprint import fingerprint; print(fingerprint(p.f))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    monkeypatch.syspath_prepend(tmp_path)
    import points_of_a_user  # type: ignore[import-not-found]

    assert run.stdout.strip() == fingerprint(points_of_a_user.f)
