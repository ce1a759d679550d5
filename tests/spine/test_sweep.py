"""Kept points are those of the same function, settings and arguments; damaged ones are computed again."""

import concurrent.futures
import json
import warnings

import jax
import numpy as np
import pytest

from ntkng.sweep import sweep

POINTS = [{"x": 1}, {"x": 2}]


def scaled(k, calls):
    def run(x):
        calls.append(x)
        return {"r": k * x}

    return run


def random(x):
    return {"r": float(jax.random.normal(jax.random.key(x)))}


def test_closures_do_not_share_results(tmp_path):
    calls = []
    assert [row["r"] for row in sweep(scaled(1, calls), POINTS, cache=tmp_path)] == [1, 2]
    assert [row["r"] for row in sweep(scaled(50, calls), POINTS, cache=tmp_path)] == [50, 100]
    assert [row["r"] for row in sweep(scaled(1, calls), POINTS, cache=tmp_path)] == [1, 2]
    assert calls == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "settings",
    [
        {"jax_default_prng_impl": "rbg"},
        {"jax_enable_x64": True},
        {"jax_threefry_partitionable": False},
        {"jax_default_matmul_precision": "highest"},
        {"jax_numpy_dtype_promotion": "strict"},
    ],
)
def test_settings_of_jax_count(tmp_path, settings):
    def run(x):
        calls.append(x)
        return {"r": float(jax.random.normal(jax.random.key(x)))}

    calls: list[int] = []
    sweep(run, POINTS, cache=tmp_path)
    (name, value), before = *settings.items(), getattr(jax.config, next(iter(settings)))
    jax.config.update(name, value)
    try:
        kept, fresh = sweep(run, POINTS, cache=tmp_path), sweep(run, POINTS)
    finally:
        jax.config.update(name, before)
    assert kept == fresh
    assert len(calls) == 6
    sweep(run, POINTS, cache=tmp_path)
    assert len(calls) == 6


def test_settings_go_with_the_points():
    with (
        jax.default_prng_impl("rbg"),
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):  # a thread has its own settings
        assert sweep(random, POINTS, executor=pool) == sweep(random, POINTS)


def test_rows_are_the_same_whether_they_were_kept(tmp_path):
    def run(x):
        return {"by_width": {64: 0.5}, "pair": (1, 2), "nan": float("nan"), "number": np.float64(0.1)}

    rows = [sweep(run, [{"x": (1, 2)}], cache=cache) for cache in (None, tmp_path, tmp_path)]
    assert repr(rows[0]) == repr(rows[1]) == repr(rows[2])
    assert rows[0][0]["x"] == [1, 2]


@pytest.mark.parametrize("damage", ["", "[{", "null", "3", '["a"]', '[{"r": 1}]', '{"x": 1, "r": 1}', "\x00\xff"])
def test_damaged_points_are_computed_again(tmp_path, damage):
    calls = []
    run = scaled(3, calls)
    sweep(run, POINTS[:1], cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage.encode("latin-1"))
    with pytest.warns(UserWarning, match="damaged"):
        assert sweep(run, POINTS[:1], cache=tmp_path) == [{"x": 1, "r": 3}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sweep(run, POINTS[:1], cache=tmp_path) == [{"x": 1, "r": 3}]
    assert len(calls) == 2
    assert json.loads(file.read_text()) == [{"x": 1, "r": 3}]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("result", [{"a": object()}, {"a": np.float32(1)}, [1], [{"a": np.ones(2)}]])
def test_results_that_json_cannot_hold_are_named(result):
    with pytest.raises(TypeError, match="result of a sweep"):
        sweep(lambda x: result, POINTS)
    with pytest.raises(TypeError, match="point of a sweep"):
        sweep(lambda x: {}, [{"x": np.ones(2)}])


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path):
    (tmp_path / "file").write_text("")
    calls = []
    with pytest.raises(ValueError, match="is a file; choose another"):
        sweep(scaled(1, calls), POINTS, cache=tmp_path / "file" / "cache")
    assert not calls
