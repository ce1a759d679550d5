"""Dense oracles for the reversible networks: plain NumPy loops, full Jacobians, no shared code with the library."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from analyses.threads import one_blas_thread
from ntkng.reversible import RevMLP


def features(model, block, half, x):
    c = model.expansions[block][half]
    h = x if c is None else x @ c
    if block > 0 or not model.linear_first:
        h = np.maximum(h, 0)
    return np.hstack([h, np.ones((len(x), 1))])


def forward(model, weights, z):
    """Outputs of all blocks and the feature matrices `(A_f, A_g)` of each."""
    outputs, matrices, half = [], [], model.dim // 2
    for b, w in enumerate(weights):
        x1, x2 = z[:, :half], z[:, half:]
        a_f = features(model, b, 0, x2)
        y1 = x1 + a_f @ w["f"]
        a_g = features(model, b, 1, y1)
        z = np.hstack([y1, x2 + a_g @ w["g"]])
        outputs.append(z)
        matrices.append((a_f, a_g))
    return outputs, matrices


def block_jacobian(model, weights, block, z, derivative):
    """`d block(z) / d z`, one dense `[ND, ND]` matrix from the hand-written derivative of ReLU."""
    n, half = len(z), model.dim // 2

    def half_jacobian(x, h, w):
        c = np.eye(half) if model.expansions[block][h] is None else model.expansions[block][h]
        gate = derivative(x @ c) if block > 0 or not model.linear_first else np.ones((n, c.shape[1]))
        return np.stack([w[:-1].T @ np.diag(gate[i]) @ c.T for i in range(n)])  # [N D/2 D/2], out x in

    w = weights[block]
    x1, x2 = z[:, :half], z[:, half:]
    y1 = x1 + features(model, block, 0, x2) @ w["f"]
    df, dg = half_jacobian(x2, 0, w["f"]), half_jacobian(y1, 1, w["g"])
    result = np.zeros((n, 2 * half, n, 2 * half))
    eye = np.eye(half)
    for i in range(n):
        result[i, :, i, :] = np.block([[eye, df[i]], [dg[i], eye + dg[i] @ df[i]]])
    return result.reshape(n * 2 * half, -1), dg


def right_inverse(model, weights, x, error, rcond=1e-11, corrected=True):
    """The update by dense linear algebra."""
    outputs, matrices = forward(model, weights, x)
    inputs, half, result = [x, *outputs[:-1]], model.dim // 2, [None] * model.blocks
    for b in reversed(range(model.blocks)):
        jacobian, dg = block_jacobian(model, weights, b, inputs[b], lambda h: (h > 0).astype(float))
        a_f, a_g = matrices[b]
        v_f = np.linalg.pinv(a_f, rcond=rcond) @ error[:, :half]
        moved = np.einsum("nij,nj->ni", dg, a_f @ v_f) if corrected else 0
        v_g = np.linalg.pinv(a_g, rcond=rcond) @ (error[:, half:] - moved)
        result[b] = {"f": v_f, "g": v_g}
        error = np.linalg.solve(jacobian, error.ravel()).reshape(error.shape)
    return tuple(result)


def jacobian(model, weights, x, logits=False):
    """`[ND, P]` (or `[NC, P]`) by automatic differentiation, weights flattened by `ravel_pytree`."""
    with jax.enable_x64(True):
        flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, weights))

        def output(w):
            z = model.representation(unravel(w), jnp.asarray(x))
            return (z @ model.readout if logits else z).ravel()

        return np.asarray(jax.jacobian(output)(flat))


def block_slices(weights):
    """Columns of the Jacobian that belong to each half-layer, `[block][half]`, in the order of `ravel_pytree`."""
    start, slices = 0, []
    for block in weights:
        row = []
        for half in "fg":
            row.append(slice(start, start + block[half].size))
            start += block[half].size
        slices.append(row)
    return slices


def flatten(weights):
    return np.concatenate([np.asarray(block[half]).ravel() for block in weights for half in "fg"])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small matrices only; see `one_blas_thread`."""
    with one_blas_thread():
        yield


@pytest.fixture(scope="session")
def dense():
    """The oracles as attributes."""
    functions = (features, forward, block_jacobian, right_inverse, jacobian, block_slices, flatten)
    return types.SimpleNamespace(**{f.__name__: f for f in functions})


@pytest.fixture(scope="session")
def draw():
    """`draw(samples, dim, width, ...)` -> model, weights, inputs."""

    def make(samples=6, dim=8, width=14, *, blocks=3, classes=3, linear_first=False, std=0.4, seed=0):
        fixed, start = jax.random.split(jax.random.key(seed))
        model = RevMLP.create(fixed, dim, classes, blocks, width, linear_first=linear_first)
        inputs = np.random.default_rng(seed).standard_normal((samples, dim))
        return model, model.initial_weights(start, std), inputs

    return make
