"""Conjugate gradients for all units at once, against a dense solve of every unit, and what happens where they stop short."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkng.fisher import unit_blocks, unit_iterations


def systems(kappa, samples=30, units=7, outputs=2):
    rng = np.random.default_rng(0)
    hidden = np.maximum(rng.normal(size=(samples, 40)), 0)
    deltas = rng.normal(size=(samples, outputs, units)) * (rng.random((samples, 1, units)) < 0.5)
    deltas[:, :, 0] = 0  # a dead unit
    inner = hidden @ hidden.T / 40
    return inner, deltas, kappa * np.mean(deltas**2) * np.trace(inner) / samples, rng.normal(size=(samples, outputs))


def dense(inner, deltas, shift, residual):
    """`J_i^T (Theta_i + s I)^{-1} r` in the basis of `a`, with the `NC x NC` Gram of every unit."""
    samples, outputs, units = deltas.shape
    found = np.zeros((samples, units))
    for i in range(units):
        delta = deltas[:, :, i].reshape(-1)
        theta = np.outer(delta, delta) * np.kron(inner, np.ones((outputs, outputs)))
        dual = np.linalg.solve(theta + shift * np.eye(len(theta)), residual.reshape(-1))
        found[:, i] = (dual * delta).reshape(samples, outputs).sum(axis=1)
    return found


@pytest.mark.parametrize("kappa", [1.0, 1e-2, 1e-6])
@pytest.mark.parametrize("longest", [100, 1])  # 1: they stop short, and factorisations take over
def test_all_units_at_once(monkeypatch, kappa, longest):
    monkeypatch.setattr(unit_iterations, "LONGEST", longest)
    problem = systems(kappa)
    with jax.enable_x64(True):
        found = np.asarray(unit_blocks.cotangents(*(jnp.asarray(part) for part in problem)))
    expected = dense(*problem)
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())


def test_they_say_when_they_stop_short(monkeypatch):
    inner, deltas, shift, residual = systems(1e-2, outputs=1)
    with jax.enable_x64(True):
        arguments = [jnp.asarray(part) for part in (inner, np.abs(deltas[:, 0]), shift, residual * deltas[:, 0])]
        assert unit_iterations.solve_units(*arguments)[1]
        monkeypatch.setattr(unit_iterations, "LONGEST", 3)
        assert not unit_iterations.solve_units(*arguments)[1]


def test_single_precision_is_as_good_as_a_factorisation():
    inner, deltas, shift, residual = systems(1e-3)
    problem = [jnp.asarray(part, jnp.float32) for part in (inner, deltas, shift, residual)]
    found, expected = np.asarray(unit_blocks.cotangents(*problem)), dense(inner, deltas, shift, residual)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()
    assert found[:, 0].tolist() == [0.0] * len(found)
