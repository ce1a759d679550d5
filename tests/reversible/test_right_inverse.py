from functools import partial

import jax
import numpy as np
import pytest

from ntkng.function_space_flow import check_isotropy
from ntkng.precision import in_float64
from ntkng.reversible import RightInverse, gauss_newton_direction

EXACT = RightInverse(rtol=1e-11)


@in_float64
def direction(model, weights, x, error, inverse=EXACT):
    return _direction(model, weights, x, error, inverse)


@partial(jax.jit, static_argnames="inverse")
def _direction(model, weights, x, error, inverse):
    return inverse(model, weights, model.representation(weights, x), error)


def columns(model, weights, x, dense, inverse=EXACT):
    size = x.size
    return np.stack([dense.flatten(direction(model, weights, x, e.reshape(x.shape), inverse).weights)
                     for e in np.eye(size)], axis=1)  # fmt: skip


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize(
    ("samples", "width", "linear_first"), [(6, 14, False), (12, 5, False), (8, 14, True), (7, None, False)]
)
def test_against_dense_algebra(draw, dense, samples, width, linear_first, corrected):
    """Every rank situation, both triangular corrections, against dense Jacobians and pseudo-inverses."""
    model, weights, x = draw(samples, width=width, linear_first=linear_first)
    error = np.random.default_rng(5).standard_normal(x.shape)
    ours = direction(model, weights, x, error, RightInverse(rtol=1e-11, corrected=corrected))
    expected = dense.right_inverse(model, weights, x, error, corrected=corrected)
    scale = np.abs(dense.flatten(expected)).max()
    np.testing.assert_allclose(dense.flatten(ours.weights), dense.flatten(expected), rtol=0, atol=1e-10 * scale)
    _, matrices = dense.forward(model, weights, x)
    ranks = [[np.linalg.matrix_rank(a, tol=1e-9) for a in pair] for pair in matrices]
    np.testing.assert_array_equal(ours.ranks, ranks)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_right_inverse_with_the_number_of_blocks(draw, dense, blocks):
    """`J R = L_b I`, and not `2 L_b I`."""
    model, weights, x = draw(blocks=blocks)
    jacobian, inverse = dense.jacobian(model, weights, x), columns(model, weights, x, dense)
    np.testing.assert_allclose(jacobian @ inverse, blocks * np.eye(x.size), rtol=0, atol=1e-12)
    assert check_isotropy(lambda e: inverse @ e, jacobian, blocks).deviation < 1e-12
    assert check_isotropy(lambda e: inverse @ e, jacobian, 2 * blocks).deviation > 0.49
    assert check_isotropy(lambda e: inverse @ e, jacobian, 1.05 * blocks).deviation > 0.04


def test_logits_move_by_the_number_of_blocks_times_the_error(draw, dense):
    model, weights, x = draw()
    error = np.random.default_rng(1).standard_normal((len(x), model.classes))
    found = in_float64(gauss_newton_direction)(model, weights, x, error, EXACT)
    moved = dense.jacobian(model, weights, x, logits=True) @ dense.flatten(found.weights)
    np.testing.assert_allclose(moved, model.blocks * error.ravel(), rtol=0, atol=1e-12)


def test_half_coupled_variant_is_isotropic_only_without_weights(draw, dense):
    deviations = []
    for std in (0.4, 0.01, 0.001):
        model, weights, x = draw(std=std)
        inverse = columns(model, weights, x, dense, RightInverse(rtol=1e-11, corrected=False))
        product = dense.jacobian(model, weights, x) @ inverse
        deviations.append(np.abs(product - model.blocks * np.eye(x.size)).max())
    assert deviations[0] > 0.3
    assert deviations[1] / deviations[2] == pytest.approx(10, rel=0.05)


def test_not_the_minimum_norm_solution(draw, dense):
    model, weights, x = draw()
    jacobian, error = dense.jacobian(model, weights, x), np.random.default_rng(2).standard_normal(x.size)
    ours = dense.flatten(direction(model, weights, x, error.reshape(x.shape)).weights) / model.blocks
    minimum = np.linalg.pinv(jacobian) @ error
    np.testing.assert_allclose(jacobian @ ours, jacobian @ minimum, atol=1e-11)
    assert np.linalg.norm(ours) > 1.1 * np.linalg.norm(minimum)


def test_bad_cut():
    with pytest.raises(ValueError, match="rtol=2"):
        RightInverse(rtol=2)
