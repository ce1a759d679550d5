"""Kernels from own matrices: sizes are checked or inferred when they are made, and trees of anything pass through JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng.kernels import Gram, LayerKernels

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(6, 9))
GRAM, CROSS = ROOT @ ROOT.T, RNG.normal(size=(2, 9)) @ ROOT.T


def one(gram=GRAM, cross=CROSS, **about):
    return LayerKernels(theta=Gram(gram, cross), **about)


def test_samples_are_those_of_the_matrix():
    found = ntkng.Exact(0.5).kernel(ntkng.Kernels(layers=(one(),)))
    shifted = GRAM + 6 * 0.5 * np.eye(6)
    assert np.abs(np.asarray(found.train) - GRAM @ np.linalg.inv(shifted)).max() < 1e-13
    assert np.abs(np.asarray(found.cross) - CROSS @ np.linalg.inv(shifted)).max() < 1e-13


@pytest.mark.parametrize("samples", [3, 6])
def test_several_outputs(samples):
    """N C = 6 rows of three samples, or six rows of six samples with independent outputs: two dampings `N rho`."""
    found = ntkng.Exact(0.5).kernel(ntkng.Kernels((one(),), samples=samples, outputs=2))
    assert np.abs(np.asarray(found.train) - GRAM @ np.linalg.inv(GRAM + samples * 0.5 * np.eye(6))).max() < 1e-13


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": ()}, ValueError, "at least one layer"),
        ({"layers": one()}, TypeError, "tuple of LayerKernels"),
        ({"layers": (GRAM,)}, TypeError, "tuple of LayerKernels"),
        ({"layers": (LayerKernels(theta=GRAM),)}, TypeError, "theta of layer 1 must be a Gram"),
        ({"layers": (one(),), "outputs": 2}, ValueError, "independent ones or not; pass samples=N"),
        ({"layers": (one(),), "samples": 4}, ValueError, "theta has side 6, expected N = 4 or N C = 4"),
        ({"layers": (one(),), "samples": 2, "outputs": 2}, ValueError, "N C = 4"),
        ({"layers": (one(),), "samples": 6.0}, TypeError, "samples must be an integer"),
        ({"layers": (one(),), "samples": -6}, ValueError, "samples must be >= 1"),
        ({"layers": (one(GRAM[:5]),)}, ValueError, r"theta of layer 1.train must have shape \[n, n\]"),
        ({"layers": (one(GRAM, CROSS.T),)}, ValueError, r"cross must have shape \[n', 6\], got \[6, 2\]"),
        ({"layers": (one(GRAM[0], None),)}, ValueError, r"must have shape \[n, n\], got \[6\]"),
        ({"layers": (one(GRAM.astype(int), None),)}, TypeError, "array of floats, got ndarray of dtype int64"),
        ({"layers": (one(GRAM.tolist(), None),)}, TypeError, "array of floats, got list"),
        ({"layers": (one(), one(GRAM[:5, :5], CROSS[:, :5]))}, ValueError, "theta of layer 2 has side 5, expected 6"),
        ({"layers": (one(), one(GRAM, None, name="Dense"))}, ValueError, "layer Dense has no cross part, the first"),
        ({"layers": (one(), one(GRAM, CROSS[:1]))}, ValueError, "has 1 rows of its cross part, the first layer has 2"),
        ({"layers": (one(inner=Gram(GRAM[:5, :5])),)}, ValueError, "inner of layer 1 has side 5, expected 6"),
        ({"layers": (one(backward=Gram(GRAM), positions=2),)}, ValueError, "backward of layer 1 has side 6, expected 12"),
        ({"layers": (one(),), "nngp": Gram(GRAM[:3, :3])}, ValueError, "nngp has side 3, expected 6"),
    ],
)  # fmt: skip
def test_matrices_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        ntkng.Kernels(**arguments)


def test_trees_of_anything_pass():
    """Stacked kernels, specifications of axes and placeholders are no kernels of one set of inputs, but trees of that shape."""
    kernels = ntkng.Kernels((one(),))
    stacked = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf]), kernels)
    assert stacked.theta.train.shape == (2, 6, 6)
    traces = jax.vmap(lambda own: own.theta.train.trace())(stacked)
    assert np.allclose(np.asarray(traces), [GRAM.trace(), 2 * GRAM.trace()], rtol=1e-6)
    assert jax.tree.map(lambda _: object(), kernels).samples == 6
    assert jax.eval_shape(lambda own: own, kernels).samples == 6
    made = jax.jit(lambda gram: ntkng.Kernels((one(gram, None),)))(jnp.asarray(GRAM))
    assert made.samples == 6
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(kernels)] == [
        ".layers[0].theta.train", ".layers[0].theta.cross",
    ]  # fmt: skip
