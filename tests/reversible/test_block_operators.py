import numpy as np
import pytest

from ntkng.reversible import RightInverse, block_operators, fisher_spectrum, generic_operator_trace, operator_ranks

EXACT = RightInverse(rtol=1e-11)
CASES = {
    "full": {"samples": 6},
    "many samples": {"samples": 14, "width": 5},
    "linear first": {"samples": 8, "linear_first": True},
    "no bottleneck": {"samples": 8, "width": None},
}


@pytest.mark.parametrize("name", CASES)
def test_projectors(draw, dense, name):
    model, weights, x = draw(**CASES[name], std=0.1)
    parts = np.asarray(block_operators(model, weights, x, EXACT))
    jacobian, slices = dense.jacobian(model, weights, x), dense.block_slices(weights)
    inverse = np.stack(
        [dense.flatten(dense.right_inverse(model, weights, x, e.reshape(x.shape))) for e in np.eye(x.size)], axis=1
    )
    for part, (f, g) in zip(parts, slices, strict=True):
        columns = slice(f.start, g.stop)
        np.testing.assert_allclose(part, jacobian[:, columns] @ inverse[columns], rtol=0, atol=1e-10)
        np.testing.assert_allclose(part @ part, part, rtol=0, atol=1e-12)
    ranks = [np.linalg.matrix_rank(part, tol=1e-9) for part in parts]
    np.testing.assert_array_equal(ranks, operator_ranks(model, weights, x, EXACT))
    assert np.trace(parts.sum(0)) == pytest.approx(sum(ranks), abs=1e-9)
    assert generic_operator_trace(model, len(x)) == sum(ranks)
    isotropic = np.abs(parts.sum(0) - model.blocks * np.eye(x.size)).max()
    assert isotropic < 1e-12 if name == "full" else isotropic > 0.3
    assert (np.abs(parts[0] - parts[0].T).max() > 0.05) == (name != "full")  # oblique


def test_projectors_although_the_jacobian_has_full_rank(draw, dense):
    """`J` has full row rank, but the layer-wise inverse does not see it."""
    model, weights, x = draw(14, width=11, blocks=3)
    assert np.linalg.matrix_rank(dense.jacobian(model, weights, x)) == x.size
    parts = np.asarray(block_operators(model, weights, x, EXACT))
    assert [np.linalg.matrix_rank(part, tol=1e-9) for part in parts] != [x.size] * 3


def test_generic_trace_of_lifted_inputs(draw):
    model, _, _ = draw(linear_first=True, dim=20, width=30)
    assert generic_operator_trace(model, 25, input_rank=4) == 20 * (5 + 2 * 25)
    assert generic_operator_trace(model, 25) == 20 * (11 + 2 * 25)


@pytest.mark.parametrize("groups", ["block", "half-layer"])
def test_fisher_spectrum(draw, dense, groups):
    model, weights, x = draw()
    jacobian, total = dense.jacobian(model, weights, x), np.zeros((x.size, x.size))
    for f, g in dense.block_slices(weights):
        for part in [slice(f.start, g.stop)] if groups == "block" else [f, g]:
            total += jacobian[:, part] @ np.linalg.pinv(jacobian[:, part], rcond=1e-8)
    spectrum = fisher_spectrum(model, weights, x, groups)
    np.testing.assert_allclose(spectrum, np.linalg.eigvalsh(total), rtol=0, atol=1e-10)
    assert spectrum.sum() == pytest.approx(model.blocks * x.size)
    spread = np.abs(spectrum - model.blocks).max()
    assert spread < 1e-12 if groups == "block" else spread > 0.5


def test_half_layers_become_isotropic_as_the_weights_vanish(draw):
    spread = []
    for std in (0.01, 0.001):
        model, weights, x = draw(std=std)
        spread.append(np.abs(fisher_spectrum(model, weights, x, "half-layer") - model.blocks).max())
    assert spread[0] / spread[1] == pytest.approx(10, rel=0.05)


def test_unknown_groups(draw):
    with pytest.raises(ValueError, match="'layer'"):
        fisher_spectrum(*draw(), "layer")  # type: ignore[arg-type]
