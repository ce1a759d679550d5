import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkng.reversible import Optimiser, RightInverse, Split, gauss_newton, train


@pytest.fixture
def problem(draw):
    model, weights, x = draw(12, width=20, std=0.01)
    y = np.eye(3)[np.random.default_rng(0).integers(3, size=12)]
    test = np.random.default_rng(1).standard_normal((5, 8))
    return model, weights, Split(x, y, test, np.eye(3)[[0, 1, 2, 0, 1]])


def test_gauss_newton_steps(problem, dense):
    """Two full-batch steps against the dense update."""
    model, weights, data = problem
    record = train(model, weights, data, "mse", gauss_newton(0.1, RightInverse(rtol=1e-11)), epochs=2, snapshots=(1, 2))
    w = weights
    for step in (0, 1):
        f = dense.forward(model, w, data.inputs)[0][-1] @ model.readout
        assert record.train_loss[step] == pytest.approx(0.5 * np.sum((f - data.targets) ** 2) / 12, rel=1e-12)
        v = dense.right_inverse(model, w, data.inputs, (f - data.targets) @ model.readout.T)
        w = jax.tree.map(lambda a, b: a - 0.1 * b, w, v)
        np.testing.assert_allclose(dense.flatten(record.snapshots[step + 1]), dense.flatten(w), rtol=0, atol=1e-9)
    assert record.percent_change[1, 0] == pytest.approx(100 * (record.train_loss[2] / record.train_loss[1] - 1))
    assert record.percent_change[1, 0] == pytest.approx(100 * (0.7**2 - 1), abs=2)  # eta L_b = 0.3
    assert (record.ranks == 12).all()


def test_optax(problem):
    """Two epochs of Adam against optax and automatic differentiation written out."""
    model, weights, data = problem
    record = train(model, weights, data, "cross-entropy", Optimiser(optax.adam(0.01)), epochs=2)
    with jax.enable_x64(True):

        def value(w):
            log_p = jax.nn.log_softmax(model.logits(w, jnp.asarray(data.inputs)))
            return -jnp.mean(jnp.sum(jnp.asarray(data.targets) * log_p, 1))

        w, adam = jax.tree.map(jnp.asarray, weights), optax.adam(0.01)
        state, losses = adam.init(w), []
        for _ in range(3):
            losses.append(float(value(w)))
            change, state = adam.update(jax.grad(value)(w), state, w)
            w = optax.apply_updates(w, change)
    np.testing.assert_allclose(record.train_loss, losses, rtol=1e-11)
    assert (record.ranks == 0).all()


def test_mini_batches(problem):
    model, weights, data = problem
    run = [
        train(model, weights, data, "mse", gauss_newton(0.1), epochs=3, batch=5, key=jax.random.key(s))
        for s in (0, 0, 1)
    ]
    assert run[0].batch_loss_before.shape == (3, 2)  # 12 samples, an incomplete batch is left out
    assert run[0].train_loss.shape == run[0].test_accuracy.shape == (4,)
    np.testing.assert_array_equal(run[0].batch_loss_before, run[1].batch_loss_before)
    assert (run[0].batch_loss_before != run[2].batch_loss_before).all()
    assert len(set(run[0].batch_loss_before.ravel())) == 6


def test_bad_arguments(problem):
    model, weights, data = problem
    with pytest.raises(ValueError, match="batch=13"):
        train(model, weights, data, "mse", gauss_newton(0.1), epochs=1, batch=13, key=jax.random.key(0))
    with pytest.raises(ValueError, match="without a key"):
        train(model, weights, data, "mse", gauss_newton(0.1), epochs=1, batch=4)
    with pytest.raises(ValueError, match="epochs=0"):
        train(model, weights, data, "mse", gauss_newton(0.1), epochs=0)
    with pytest.raises(ValueError, match="one-hot"):
        Split(data.inputs, np.zeros(12), data.test_inputs, data.test_targets)
