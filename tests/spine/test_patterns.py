"""The mathematics of layer patterns, and the limit of vanishing damping where the pattern is singular."""

import numpy as np
import pytest

import ntkng
from ntkng.fisher.patterns import pattern_alpha

RNG = np.random.default_rng(5)
X, X_TEST = RNG.normal(size=(6, 20)), RNG.normal(size=(3, 20))


@pytest.mark.parametrize("depth", range(2, 13))
def test_alpha_of_the_tri_diagonal_pattern(depth):
    """`s` at depth `3s`, `s + 1` at `3s + 1` and `3s + 2`."""
    pattern = ntkng.BlockTriDiagonal().pattern(depth)
    assert pattern_alpha(pattern) == depth // 3 + (depth % 3 > 0)
    assert pattern_alpha(np.eye(depth)) == depth
    assert pattern_alpha(np.ones((depth, depth))) == 1


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("cls", [ntkng.Exact, ntkng.BlockDiagonal, ntkng.BlockTriDiagonal, ntkng.KFAC])
def test_undamped_kernels_are_isotropic(cls, depth):
    kernels = ntkng.analytic(ntkng.mlp(20, 2, depth=depth), X, X_TEST)
    found = cls().kernel(kernels)
    assert found.alpha == pytest.approx(cls().predicted_alpha(kernels), rel=1e-9)
    assert found.off_isotropy < 1e-8
    assert ntkng.GradientDescent().kernel(kernels).off_isotropy > 0.1


@pytest.mark.parametrize("depth", [5, 8])
def test_singular_pattern_is_the_limit_of_damped_ones(depth):
    kernels = ntkng.analytic(ntkng.mlp(20, depth=depth, activation="erf"), X, X_TEST)
    limit = ntkng.BlockTriDiagonal().kernel(kernels)
    distances = []
    for damping in (1e-7, 1e-8):
        near = ntkng.BlockTriDiagonal(damping).kernel(kernels)
        distances.append(
            [np.abs(near.train - limit.train).max(), np.abs(near.cross - limit.cross).max() / np.abs(limit.cross).max()]
        )
    first, second = np.array(distances)
    assert (second < 1e-3).all()
    assert (second < 0.2 * first).all()  # linear in the damping


def test_groups_of_layers_are_exact_within_and_diagonal_between():
    kernels = ntkng.analytic(ntkng.mlp(20, depth=4), X)
    blocks = np.kron(np.eye(2), np.ones((2, 2)))
    found = ntkng.CustomPattern(0.0, tuple(map(tuple, blocks)))
    assert found.predicted_alpha(kernels) == 2
    thetas = [layer.theta.train for layer in kernels.layers]
    pairs = [thetas[0] + thetas[1], thetas[2] + thetas[3]]
    shift = 6 * 0.1 * np.eye(6)
    damped = ntkng.CustomPattern(0.1, tuple(map(tuple, blocks))).kernel(kernels).train
    expected = sum(t @ np.linalg.inv(t + shift) for t in pairs)
    assert np.abs(damped - expected).max() < 1e-12


def test_custom_pattern_is_validated():
    with pytest.raises(ValueError, match="symmetric"):
        ntkng.CustomPattern(0.0, ((1, 1), (0, 1)))
    with pytest.raises(ValueError, match="0 or 1"):
        ntkng.CustomPattern(0.0, ((1, 2), (2, 1)))
    kernels = ntkng.analytic(ntkng.mlp(20, depth=3), X)
    with pytest.raises(ValueError, match="pattern is for 2 layers, got a network with 3"):
        ntkng.CustomPattern(0.0, ((1, 0), (0, 1))).kernel(kernels)


def test_pattern_without_undamped_limit():
    """`T = [[1,1,0],[1,1,1],[0,1,1]]` has a limit-free relative: two layers equal in T but not in `T c = 1`."""
    blocks = ((1, 1, 1, 0), (1, 1, 1, 0), (1, 1, 1, 1), (0, 0, 1, 1))
    kernels = ntkng.analytic(ntkng.mlp(20, depth=4), X)
    fisher = ntkng.CustomPattern(0.0, blocks)
    if pattern_alpha(np.array(blocks, float)) is None:
        with pytest.raises(ValueError, match="no undamped limit"):
            fisher.kernel(kernels)
    else:
        assert fisher.kernel(kernels).off_isotropy < 1e-6
