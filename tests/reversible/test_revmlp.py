import jax
import numpy as np
import pytest

from ntkng.precision import in_float64
from ntkng.reversible import RevMLP


@in_float64
def outputs(model, weights, x):
    z = model.representations(weights, x)
    return z, model.inverse(weights, z[-1]), model.logits(weights, x)


@pytest.mark.parametrize("width", [14, None])
@pytest.mark.parametrize("linear_first", [True, False])
@pytest.mark.parametrize("blocks", [1, 3])
def test_forward_and_inverse(draw, dense, width, linear_first, blocks):
    model, weights, x = draw(width=width, linear_first=linear_first, blocks=blocks)
    z, back, logits = outputs(model, weights, x)
    expected, _ = dense.forward(model, weights, x)
    assert len(z) == model.blocks == blocks
    for ours, theirs in zip(z, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(logits, expected[-1] @ model.readout, rtol=0, atol=1e-13)


def test_fixed_matrices(draw):
    model, weights, _ = draw(dim=40, width=900, classes=5)
    assert model.readout.dtype == np.float64
    np.testing.assert_allclose(model.readout.T @ model.readout, np.eye(5), atol=1e-14)
    c = np.stack([np.stack(pair) for pair in model.expansions])
    assert abs(c.std() * 30 - 1) < 0.01  # entries N(0, 1/m)
    assert model.feature_count == 901
    w = np.stack([np.stack([block["f"], block["g"]]) for block in weights])
    assert abs(w[:, :, :-1].std() / 0.4 - 1) < 0.02
    assert (w[:, :, -1] == 0).all()
    assert len({float(m.flat[0]) for pair in model.expansions for m in pair}) == 6  # no matrix is used twice


def test_zero_weights_are_the_identity(draw):
    model, _, x = draw(linear_first=True)
    z, _, _ = outputs(model, model.zero_weights(), x)
    np.testing.assert_array_equal(z[-1], x)


def test_precision_follows_the_context(draw):
    model, weights, x = draw()
    assert model.logits(weights, x).dtype == np.float32
    with jax.enable_x64(True):
        assert model.logits(weights, x).dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((7, 3, 2, 5), "even"), ((8, 9, 2, 5), "classes=9"), ((8, 3, 0, 5), "blocks=0"), ((8, 3, 2, 0), "width=0")],
)
def test_bad_sizes(arguments, message):
    with pytest.raises(ValueError, match=message):
        RevMLP.create(jax.random.key(0), *arguments)


def test_bad_inputs(draw):
    model, weights, x = draw()
    with pytest.raises(ValueError, match=r"expected \[N, 8\]"):
        model.logits(weights, x[:, :6])
