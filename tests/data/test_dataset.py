import numpy as np
import pytest

import ntkng
from ntkng.data import Dataset, encode, gaussian_teacher, load, on_sphere


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_digits_are_images_between_0_and_1(digits):
    assert digits.inputs.shape == (1797, 64)
    assert digits.inputs.min() == 0
    assert digits.inputs.max() == 1
    assert digits.classes == tuple(range(10))
    assert load("digits", flatten=False).inputs.shape == (1797, 8, 8, 1)
    assert "64" in repr(digits)


def test_split_is_disjoint_balanced_and_fixed_by_the_seed(digits):
    x, y, x_test, y_test = digits.split(30, 61, classes=(3, 5, 8), seed=1)
    np.testing.assert_array_equal(y.sum(axis=0), [10, 10, 10])
    assert sorted(y_test.sum(axis=0)) == [20, 20, 21]
    rows = {row.tobytes() for row in np.concatenate([x, x_test])}
    assert len(rows) == 91
    again = digits.split(30, 0, classes=(3, 5, 8), seed=1)
    np.testing.assert_array_equal(again.x, x)  # whatever the test size
    assert again.x_test is None
    assert not np.array_equal(digits.split(30, classes=(3, 5, 8), seed=2).x, x)


def test_labels_follow_their_inputs(digits):
    split = digits.split(20, 20, classes=(7, 2), radius=None)
    by_input = {row.tobytes(): label for row, label in zip(digits.inputs, digits.labels, strict=True)}
    for x, y in ((split.x, split.y), (split.x_test, split.y_test)):
        np.testing.assert_array_equal([by_input[row.tobytes()] for row in x], np.where(y[:, 0] < 0, 7, 2))


def test_centring_keeps_the_rank_and_lowers_the_condition_number(digits):
    centred = digits.centred()
    np.testing.assert_allclose(centred.inputs.mean(axis=0), 0, atol=1e-14)
    gram, original = (x @ x.T for x in (data.split(40, classes=(3, 8)).x for data in (centred, digits)))
    assert np.linalg.matrix_rank(gram) == 40
    assert 3 * np.linalg.cond(gram) < np.linalg.cond(original)


def test_split_makes_a_problem(digits):
    split = digits.split(10, 5, classes=(0, 1, 2))
    problem = ntkng.Problem(ntkng.mlp(64, 3, width=8), *split)
    assert (problem.samples, problem.outputs) == (10, 3)


def test_encodings():
    labels = np.array([4, 9, 9])
    np.testing.assert_array_equal(encode(labels, (4, 9)), [[-1], [1], [1]])
    np.testing.assert_array_equal(encode(labels, (9, 4)), [[1], [-1], [-1]])
    np.testing.assert_array_equal(encode(labels, (4, 9), "one-hot"), [[1, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(encode(labels, (9, 1, 4)), [[0, 0, 1], [1, 0, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match="two classes, got 3"):
        encode(labels, (9, 1, 4), "sign")
    with pytest.raises(ValueError, match=r"\[9\] are not among"):
        encode(labels, (4, 5))
    with pytest.raises(ValueError, match="one-hot"):
        encode(labels, (4, 9), "hot")  # pyright: ignore


def test_sphere():
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    np.testing.assert_allclose(np.linalg.norm(on_sphere(x).reshape(5, -1), axis=1), np.sqrt(12))
    np.testing.assert_allclose(np.linalg.norm(on_sphere(x, 1.0).reshape(5, -1), axis=1), 1)
    np.testing.assert_allclose(on_sphere(3 * x), on_sphere(x))
    x[2] = 0
    with pytest.raises(ValueError, match="input 2 is 0"):
        on_sphere(x)
    with pytest.raises(ValueError, match="radius must be"):
        on_sphere(np.ones((1, 2)), -1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 10, "classes": (3, 11)}, r"classes \[11\] do not occur"),
        ({"train": 10, "classes": (3, 3)}, "different labels"),
        ({"train": 10, "classes": (3,)}, "two or more"),
        ({"train": 300, "test": 100, "classes": (0, 1)}, "178 samples of class 0, 200 are needed"),
        ({"train": 0}, "train must be >= 1"),
        ({"train": 10, "test": -1}, "test must be >= 1"),
        ({"train": 10, "targets": "sign"}, "two classes, got 10"),
    ],
)
def test_bad_splits(digits, arguments, message):
    with pytest.raises(ValueError, match=message):
        digits.split(**arguments)


def test_bad_datasets():
    with pytest.raises(ValueError, match="3 inputs and 2 labels"):
        Dataset(np.ones((3, 2)), np.zeros(2))  # pyright: ignore
    with pytest.raises(ValueError, match="NaN"):
        Dataset(np.full((3, 2), np.nan), np.zeros(3))  # pyright: ignore


def test_teacher():
    x, y, x_test, y_test = gaussian_teacher(50, 4000, dimension=100, outputs=3)
    assert x.shape == (50, 100)
    assert y.shape == (50, 3)
    np.testing.assert_allclose(np.linalg.norm(x_test, axis=1), 10)
    np.testing.assert_allclose(y_test.mean(axis=0), 0, atol=0.25)
    np.testing.assert_allclose(y_test.std(axis=0), 1, atol=0.25)
    assert np.abs(np.corrcoef(y_test.T) - np.eye(3)).max() < 0.25  # each output has its own directions
    np.testing.assert_array_equal(gaussian_teacher(50, dimension=100, outputs=3).x, x)
    unit = gaussian_teacher(50, dimension=100, outputs=3, radius=1.0)
    np.testing.assert_allclose(unit.x * 10, x)
    np.testing.assert_array_equal(unit.y, y)  # one teacher for all scales


def test_teacher_is_a_function_of_the_input():
    """Half of the variance is linear: a linear fit on many samples explains it, and no more."""
    x, y, _, _ = gaussian_teacher(6000, dimension=20)
    fit, *_ = np.linalg.lstsq(x, y, rcond=None)
    assert 0.4 < np.var(y - x @ fit) / np.var(y) < 0.6
    noisy = gaussian_teacher(6000, dimension=20, noise=0.5).y
    assert 0.2 < np.var(noisy - y) < 0.3


@pytest.mark.parametrize("arguments", [{"samples": 0}, {"samples": 5, "dimension": -1}, {"samples": 5, "noise": -1.0}])
def test_bad_teachers(arguments):
    with pytest.raises(ValueError, match="must be"):
        gaussian_teacher(**arguments)


def test_kfac_without_bias_needs_at_most_about_40_digits(digits):
    """64 pixels have rank of about 50: the error names the layer, the rank and the fix; a bias or damping helps."""
    network = ntkng.mlp(64, width=128)
    small, large = digits.split(40, classes=(3, 8)).x, digits.split(60, classes=(3, 8)).x
    assert ntkng.KFAC().kernel(ntkng.analytic(network, small)).off_isotropy < 1e-8
    kernels = ntkng.analytic(network, large)
    with pytest.raises(
        ValueError, match=r"input Gram A of layer 1: Dense has numerical rank \d\d, .*60.*fewer samples"
    ):
        ntkng.KFAC().kernel(kernels)
    ntkng.KFAC(damping=1e-3).kernel(kernels)
    ntkng.BlockDiagonal().kernel(kernels)
