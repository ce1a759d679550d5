"""Simulated training: exact parameter steps, agreement with the linearisation, precision modes, resumable sweeps."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Dense, flatten, layer_jacobians

import ntkng
from ntkng.compare import worst_distance
from ntkng.statistics import log_log_slope

RNG = np.random.default_rng(2)
X, X_TEST, Y = RNG.normal(size=(5, 30)), RNG.normal(size=(3, 30)), RNG.normal(size=(5, 2))


def problem(width=32, **choices):
    return ntkng.Problem(ntkng.mlp(30, 2, width=width, **choices), X, Y, X_TEST, RNG.normal(size=(3, 2)))


def test_two_steps_against_dense_training():
    """Each step of `simulate` is `theta - eta (F + rho I)^{-1} J^T r / N` with the Jacobian of that moment."""
    with jax.enable_x64(True):
        task = problem(width=20, activation="erf", sigma_b=0.2)
        parameters = task.network.init(jax.random.key(4))
        run = ntkng.simulate(task, ntkng.BlockDiagonal(0.01), step_size=0.2, steps=2, parameters=parameters)
        vectors = [flatten(part) for part in task.network.split(parameters)]
        shapes = [(np.shape(w)[1], np.shape(w)[0]) for w, _ in task.network.split(parameters)]
        for step in range(3):
            parts = [
                (jnp.asarray(rows[:, :-1].T), jnp.asarray(rows[:, -1:].T))
                for vector, (units, inputs) in zip(vectors, shapes, strict=True)
                for rows in [vector.reshape(units, inputs + 1)]
            ]
            now = task.network.join(parts)
            outputs = np.asarray(task.network.apply(now, jnp.asarray(X)))
            assert np.abs(run.train[0, step] - outputs).max() < 1e-10
            assert np.abs(run.test[0, step] - np.asarray(task.network.apply(now, jnp.asarray(X_TEST)))).max() < 1e-10
            jacobians = layer_jacobians(task.network, now, X)
            dense = Dense(5, 2, (outputs - Y).ravel(), jacobians, jacobians, [])
            move = np.split(dense.solve(np.eye(3), 0.01)[2], np.cumsum([len(v) for v in vectors])[:-1])
            if step == 1:
                displacement = np.linalg.norm(np.concatenate(moved))
                assert run.displacement[0, 1] == pytest.approx(displacement, rel=1e-10)
            moved = [0.2 * m for m in move]
            vectors = [v - m for v, m in zip(vectors, moved, strict=True)]


def test_seeds_side_by_side_or_one_after_another(monkeypatch):
    together = ntkng.simulate(problem(), ntkng.Exact(), 3, step_size=0.5, steps=2, seeds=3)
    monkeypatch.setattr(sys.modules["ntkng.simulate"], "VMAP_BYTES", 0)  # the name is also that of the function
    apart = ntkng.simulate(problem(), ntkng.Exact(), 3, step_size=0.5, steps=2, seeds=3)
    assert np.abs(together.train - apart.train).max() < 1e-10
    assert np.abs(together.train[0] - together.train[1]).max() > 1e-2
    assert together.train.shape == (3, 3, 5, 2)


def test_precision_modes():
    """float32 networks follow the float64 one; Grams and solves in float64 lose less than all in float32."""
    runs = {
        name: ntkng.simulate(problem(256), ntkng.KFAC(), 0, step_size=0.04, steps=3, dtype=dtype, solve_dtype=solve)
        for name, dtype, solve in (
            ("double", jnp.float64, jnp.float64),
            ("mixed", jnp.float32, jnp.float64),
            ("single", jnp.float32, jnp.float32),
        )
    }
    assert runs["mixed"].train.dtype == np.float32
    errors = {name: np.abs(run.train - runs["double"].train).max() for name, run in runs.items()}
    assert 0 < errors["mixed"] < 0.02  # ReLU masks flip
    assert errors["single"] < 0.05


def test_step_size_and_damping_do_not_recompile():
    from ntkng.simulate import _train

    task = problem()
    ntkng.simulate(task, ntkng.BlockDiagonal(0.1), 0, step_size=0.1, steps=2)
    before = _train._cache_size()
    ntkng.simulate(task, ntkng.BlockDiagonal(0.2), 1, step_size=0.3, steps=2)
    assert _train._cache_size() == before


def test_observations():
    def norm_of_outputs(network, parameters, x):
        return {"norm": jnp.linalg.norm(network.apply(parameters, x))}

    run = ntkng.simulate(problem(), ntkng.Exact(), 0, step_size=0.5, steps=2, seeds=2, observe=norm_of_outputs)
    assert np.allclose(run.observed["norm"], np.linalg.norm(run.train, axis=(2, 3)))


@pytest.mark.parametrize(
    "fisher", [ntkng.Exact(), ntkng.BlockDiagonal(), ntkng.BlockTriDiagonal(), ntkng.KFAC()], ids=lambda f: f.name
)
def test_distance_to_the_closed_form_falls_with_width(fisher):
    """Error and slope over seeds: the 99 % interval of the slope in width reaches -1/2 or below, and stays below -0.1."""
    x, widths, seeds = np.random.default_rng(8).normal(size=(8, 100)), (64, 256, 1024), 12
    errors = []
    for width in widths:
        task = ntkng.Problem(ntkng.mlp(100, width=width), x, x[:, 0])
        kernels = ntkng.analytic(task.network, x)
        eta = 0.5 * fisher.optimal_step(kernels)
        run = ntkng.simulate(task, fisher, 0, step_size=eta, steps=4, seeds=seeds)
        errors.append(worst_distance(run, predict(task, fisher, kernels, eta, run)))
    slope = log_log_slope(np.array(widths), np.array(errors))
    low, high = slope.interval(0.99)
    assert low <= -0.5, slope
    assert high < -0.1, slope
    assert np.mean(errors[-1]) < 0.05
    wrong = predict(task, fisher, kernels, 1.05 * eta, run)
    assert worst_distance(run, wrong).mean() > 1.5 * np.mean(errors[-1])  # an alpha that is 5 % off is seen


def predict(task, fisher, kernels, eta, run):
    return ntkng.closed_form(task, fisher, kernels, step_size=eta, steps=4, initial=(run.train[:, 0],))


def test_sweep_resumes(tmp_path):
    from ntkng.sweep import sweep

    points = [{"value": i} for i in range(4)]
    assert [row["square"] for row in sweep(squared, points[:2], cache=tmp_path)] == [0, 1]
    CALLS.clear()
    rows = sweep(squared, points, cache=tmp_path)
    assert [row["square"] for row in rows] == [0, 1, 4, 9]
    assert CALLS == [2, 3]  # the finished points were kept
    with pytest.raises(TypeError):
        sweep(lambda value: {"x": object()}, points[:1])


CALLS: list[int] = []


def squared(value):
    CALLS.append(value)
    return {"square": value**2}
