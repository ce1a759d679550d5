"""Blocked products, against the unblocked ones in NumPy and by automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng.layers import descend, descent, pullback
from ntkng.layers.symmetric import self_product


@pytest.mark.parametrize("parametrisation", ["ntk", "standard"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.3])
@pytest.mark.parametrize("block", [1, 100, 2**9, 2**30])  # single rows, blocks with a rest, whole weights
def test_descent_in_blocks_is_descent(monkeypatch, parametrisation, sigma_b, block):
    monkeypatch.setattr(descent, "BLOCK_BYTES", block)
    with jax.enable_x64(True):
        network = ntkng.mlp(7, 2, width=5, depth=3, sigma_b=sigma_b, parametrisation=parametrisation)
        parameters = network.init(jax.random.key(0))
        x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 7)))
        _, records = network.linearise(parameters, x)
        for own, record in zip(network.split(parameters), records, strict=True):
            cotangent = jnp.asarray(np.random.default_rng(1).normal(size=(4, record.deltas.shape[-1])))
            found = descend(own, record, cotangent, 0.3)
            expected = jax.tree.map(lambda p, g: p - 0.3 * g, own, pullback(record, cotangent))
            assert jax.tree.structure(found) == jax.tree.structure(expected)
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


@pytest.mark.parametrize("samples", [3, 399, 400, 401, 1000, 1801])
def test_symmetric_product_in_blocks(samples):
    rows = np.random.default_rng(0).normal(size=(samples, 9))
    with jax.enable_x64(True):
        found = np.asarray(self_product(jnp.asarray(rows)))
    np.testing.assert_allclose(found, rows @ rows.T, atol=1e-13)
    assert np.array_equal(found, found.T) or samples < 400


def test_simulated_steps_do_not_depend_on_blocks(monkeypatch):
    x = np.random.default_rng(0).normal(size=(6, 5))
    problem = ntkng.Problem(ntkng.mlp(5, width=40), x, x[:, 0])
    whole = ntkng.simulate(problem, ntkng.Exact(), 0, step_size=0.5, steps=3).train
    monkeypatch.setattr(descent, "BLOCK_BYTES", 1000)
    jax.clear_caches()
    blocked = ntkng.simulate(problem, ntkng.Exact(), 0, step_size=0.5, steps=3).train
    jax.clear_caches()
    np.testing.assert_allclose(blocked, whole, atol=1e-12)
