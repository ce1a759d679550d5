import numpy as np
import pytest

from ntkng.reversible import (
    arc_cosine_kernel,
    layer_kernels,
    neural_tangent_kernel,
    zero_weight_ntk,
    zero_weight_ntk_infinite_width,
)


@pytest.mark.parametrize(("logits", "linear_first"), [(True, True), (False, False)])
def test_layer_kernels(draw, dense, logits, linear_first):
    model, weights, x = draw(linear_first=linear_first)
    jacobian = dense.jacobian(model, weights, x, logits=logits)
    kernels = layer_kernels(model, weights, x, logits=logits)
    for b, halves in enumerate(dense.block_slices(weights)):
        for h, part in enumerate(halves):
            np.testing.assert_allclose(kernels[b, h], jacobian[:, part] @ jacobian[:, part].T, rtol=0, atol=1e-11)


def test_rectangular_kernel(draw, dense):
    model, weights, x = draw()
    other = np.random.default_rng(9).standard_normal((4, x.shape[1]))
    j, j_2 = (dense.jacobian(model, weights, inputs, logits=True) for inputs in (x, other))
    np.testing.assert_allclose(neural_tangent_kernel(model, weights, x, other), j @ j_2.T, rtol=0, atol=1e-11)


@pytest.mark.parametrize("width", [14, None])
@pytest.mark.parametrize("linear_first", [True, False])
def test_zero_weights(draw, dense, width, linear_first):
    model, _, x = draw(width=width, linear_first=linear_first)
    jacobian = dense.jacobian(model, model.zero_weights(), x, logits=True)
    np.testing.assert_allclose(zero_weight_ntk(model, x), jacobian @ jacobian.T, rtol=0, atol=1e-12)


def test_arc_cosine_kernel():
    """Against the integral over the direction of `u`, with `E |u|^2 = 2` in the plane of the two inputs."""
    x = np.array([[1.0, 0.0], [0.6, 1.1], [-0.5, 2.0]])
    angle = np.linspace(0, 2 * np.pi, 20001)[:-1]
    u = np.maximum(np.stack([np.cos(angle), np.sin(angle)], axis=1) @ x.T, 0)
    np.testing.assert_allclose(arc_cosine_kernel(x), 2 * u.T @ u / len(angle), rtol=1e-7)
    np.testing.assert_allclose(np.diag(arc_cosine_kernel(x)), (x**2).sum(1) / 2, rtol=1e-12)
    assert (arc_cosine_kernel(np.zeros((2, 3))) == 0).all()


def test_infinite_width(draw):
    """The deviation falls like `m^{-1/2}`, and is not there on average."""
    deviations, difference = {}, []
    for width in (200, 3200):
        found = []
        for seed in range(12):
            model, _, _ = draw(width=width, linear_first=True, seed=seed)
            x = np.random.default_rng(3).standard_normal((5, 8))
            limit = zero_weight_ntk_infinite_width(model, x)
            finite = np.asarray(zero_weight_ntk(model, x))
            found.append(np.linalg.norm(finite - limit) / np.linalg.norm(limit))
            difference.append((np.trace(finite) - np.trace(limit)) / np.trace(limit) * np.sqrt(width))
        deviations[width] = np.mean(found)
    assert np.log(deviations[3200] / deviations[200]) / np.log(16) == pytest.approx(-0.5, abs=0.12)
    assert abs(np.mean(difference)) < 3.5 * np.std(difference) / np.sqrt(len(difference))


def test_infinite_width_needs_a_width(draw):
    model, _, x = draw(width=None)
    with pytest.raises(ValueError, match="no width"):
        zero_weight_ntk_infinite_width(model, x)
