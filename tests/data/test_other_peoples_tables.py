"""Data as people keep it: text labels, frames, masks, tables with one large column, images of any range and layout."""

import gzip
import struct

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import ntkng
from ntkng.data import Dataset, encode, from_frame, load, load_images, on_sphere, standardise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
NETWORK = ntkng.mlp(3, width=8)


def idx(array, code=8, dtype=">u1"):
    array = np.asarray(array, dtype)
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    "labels",
    [
        ["setosa", "virginica"] * 6,
        pd.Series(["setosa", "virginica"] * 6, dtype="category"),
        np.array([b"setosa", b"virginica"] * 6),
    ],
)
def test_text_labels_are_classes(labels):
    data = Dataset(X, labels)
    assert data.classes == ("setosa", "virginica")
    split = data.split(6, 4, classes=("virginica", "setosa"), radius=None)
    rows = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in split.x]
    np.testing.assert_array_equal(split.y[:, 0], np.where(np.array(rows) % 2 == 1, -1.0, 1.0))
    with pytest.raises(ValueError, match=r"\['versicolor'\] do not occur"):
        data.split(4, classes=("setosa", "versicolor"))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0.2, 0.7] * 6, ValueError, r"12 not whole entries, first at \(0,\); such as 0.2.*regression"),
        ([1e20, 2e20] * 6, ValueError, "not whole"),
        ([None, "a"] * 6, TypeError, "None at 0 among text"),
        ([1.0, float("nan")] * 6, ValueError, "NaN"),
        (np.ma.masked_equal([0, 1, 2] * 4, 2), ValueError, r"4 masked entries, first at \(2,\)"),
        (np.eye(3)[[0, 1, 2] * 4], ValueError, "argmax"),
        (np.array([2**63, 1] * 6, dtype=np.uint64), ValueError, "too large"),
        (np.array([1j, 0] * 6), TypeError, "complex"),
    ],
)
def test_labels_that_name_no_class_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        Dataset(X, labels)


def test_whole_floats_booleans_and_bytes_are_labels():
    assert Dataset(X, [1.0, 3.0] * 6).classes == (1, 3)
    assert Dataset(X, [True, False] * 6).classes == (0, 1)
    assert Dataset(X, np.array([7, 250] * 6, np.uint8)).classes == (7, 250)
    np.testing.assert_array_equal(encode(["b", "a", "c"]), np.eye(3)[[1, 0, 2]])
    with pytest.raises(ValueError, match="both as text or as numbers"):
        encode(["1", "2"], (1, 2))
    with pytest.raises(ValueError, match="two or more"):
        encode([1, 1], (1,))


def test_stratified_splits():
    data = Dataset(RNG.normal(size=(100, 3)), np.repeat([0, 1, 2], [80, 15, 5]))
    split = data.split(40, 40, balance="proportional")
    np.testing.assert_array_equal(split.y.sum(axis=0), [32, 6, 2])
    np.testing.assert_array_equal(split.y_test.sum(axis=0), [32, 6, 2])
    rows = {row.tobytes() for row in np.concatenate([split.x, split.x_test])}
    assert len(rows) == 80
    np.testing.assert_array_equal(data.split(3, balance="proportional").y.sum(axis=0), [1, 1, 1])
    with pytest.raises(ValueError, match="train must be at least 3"):
        data.split(2, balance="proportional")
    with pytest.raises(ValueError, match=r"5 samples of class 2, 10 are needed.*at most 15 in all.*proportional"):
        data.split(30)
    with pytest.raises(ValueError, match="balance must be"):
        data.split(30, balance="stratified")
    with pytest.raises(ValueError, match="one class leaves nothing"):
        Dataset(X, np.zeros(12, int)).split(6)


def test_regression():
    data = Dataset(X, targets=X[:, 0] ** 2, name="table")
    split = data.split(8, 4, radius=None)
    np.testing.assert_array_equal(split.y[:, 0], split.x[:, 0] ** 2)
    np.testing.assert_array_equal(split.y_test[:, 0], split.x_test[:, 0] ** 2)
    ntkng.Problem(NETWORK, *split)
    assert "1 targets" in repr(data)
    with pytest.raises(ValueError, match="no classes"):
        data.split(8, classes=(0, 1))
    with pytest.raises(ValueError, match="12 samples, train = 9 and test = 4 need 13"):
        data.split(9, 4)
    for arguments in ({}, {"labels": np.zeros(12), "targets": X}):
        with pytest.raises(ValueError, match="either labels"):
            Dataset(X, **arguments)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_standardised_columns(scale):
    train, test = X[:8] * scale * [1, 1e6, 0] + [0, 1e9 * scale, 5], X[8:] * scale * [1, 1e6, 0] + [0, 1e9 * scale, 6]
    a, b, none = standardise(train, test, None)
    assert none is None
    np.testing.assert_allclose(a.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(a.std(axis=0)[:2], 1)
    reference = (X - X[:8].mean(axis=0)) / X[:8].std(axis=0)
    np.testing.assert_allclose(b[:, :2], reference[8:, :2], rtol=1e-9)
    np.testing.assert_array_equal(b[:, 2], 1)  # shifted, not scaled
    data = Dataset(np.concatenate([train, test]), targets=X[:, 0])
    split = data.split(8, 4, standardise=True, radius=None)
    np.testing.assert_allclose(split.x.std(axis=0)[:2], 1)
    with pytest.raises(ValueError, match="must have the columns"):
        standardise(train, test[:, :2])


def test_frames():
    frame = pd.DataFrame(
        {
            "length": [1.5, 2.5, 3.5, 4.5],
            "count": [1, 2, 3, 4],
            "island": ["Biscoe", "Dream", "Biscoe", "Torgersen"],
            "sex": pd.Categorical(["f", "m", "m", "f"]),
            "species": ["Adelie", "Gentoo", "Adelie", "Gentoo"],
        }
    )
    data = from_frame(frame, "species")
    assert data.classes == ("Adelie", "Gentoo")
    assert data.columns == ("length", "count", "island=Biscoe", "island=Dream", "island=Torgersen", "sex=f", "sex=m")
    np.testing.assert_array_equal(data.inputs[2], [3.5, 3, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(from_frame(frame[["count", "length"]], "length").targets[:, 0], frame["length"])
    assert from_frame(frame[["length", "count"]], "count", task="classes").classes == (1, 2, 3, 4)
    assert from_frame(frame[["sex", "length", "count"]], ["length", "count"], task="regression").targets.shape == (4, 2)


@pytest.mark.parametrize(
    ("frame", "target", "message"),
    [
        (pd.DataFrame({"a": [1.0, 2.0], "b": [1, 2]}), "b", "say task='classes' or task='regression'"),
        (pd.DataFrame({"a": [1.0, None], "b": ["x", "y"]}), "b", "1 missing entries, first in row 1 of column 'a'"),
        (pd.DataFrame({"a": [1.0, 2.0]}), "c", r"no column \['c'\]; choose from \['a'\]"),
        (pd.DataFrame({"a": ["x", "y"]}), "a", "no columns beside the target"),
        (
            pd.DataFrame({"a": pd.to_datetime(["2020-01-01", "2020-01-02"]), "b": ["x", "y"]}),
            "b",
            "column 'a' must be numbers.*days",
        ),
        (np.ones((2, 2)), "b", "frame must be a pandas DataFrame"),
    ],
)
def test_bad_frames(frame, target, message):
    with pytest.raises((ValueError, TypeError), match=message):
        from_frame(frame, target)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (scipy.sparse.csr_matrix(X), TypeError, r"toarray\(\)"),
        (np.rec.fromarrays(X.T, names="a,b,c"), TypeError, "structured_to_unstructured"),
        (np.ma.masked_greater(X, 1.0), ValueError, "masked entries"),
        (np.array([["a", "b", "c"]] * 12), TypeError, r"text, such as .*'a'.* at \(0, 0\).*encode"),
        ([[1.0, 2.0, 3.0], [1.0, 2.0]], ValueError, "all rows one length"),
        (X.astype(object), TypeError, "objects"),
        (X.astype("datetime64[s]"), TypeError, "timedelta64"),
        (X + 1j, TypeError, "complex"),
        (X.T, ValueError, r"transpose it: x\.T"),
        (X[0], ValueError, r"one input: x\[None\]"),
        (X[:, :2], ValueError, "build the network for these inputs"),
    ],
)
def test_conversions_that_are_named_work(value, error, message):
    if message == "objects":
        value = value.copy()
        value[3, 1] = None
        message = r"None at \(3, 1\)"
    with pytest.raises(error, match=message):
        ntkng.Problem(NETWORK, value, np.ones(12))


def test_images_of_other_shapes_are_never_scrambled_by_the_advice():
    layers = ntkng.stax.serial(ntkng.stax.Conv(2, (3, 3)), ntkng.stax.Flatten(), ntkng.stax.Dense(1))
    network, x = ntkng.Network(layers, (8, 6, 3)), RNG.normal(size=(4, 8, 6, 3))
    good = ntkng.Problem(network, x, np.ones(4)).x
    for other in (x.transpose(0, 3, 1, 2), x.transpose(0, 2, 1, 3)):
        with pytest.raises(ValueError, match="transpose it") as caught:
            ntkng.Problem(network, other, np.ones(4))
        axes = [int(axis) for axis in str(caught.value).split("transpose(")[1].split(")")[0].split(",")]
        np.testing.assert_array_equal(other.transpose(axes), good)
    with pytest.raises(ValueError, match="cannot be seen from the shape"):
        ntkng.Problem(network, x.reshape(4, -1), np.ones(4))
    grey = ntkng.Network(layers, (8, 6, 1))
    with pytest.raises(ValueError, match=r"x\.reshape\(-1, 8, 6, 1\)"):
        ntkng.Problem(grey, x[..., 0], np.ones(4))
    with pytest.raises(ValueError, match=r"transpose it: y\.T"):
        ntkng.Problem(grey, x[..., :1], np.ones((1, 4)))


def pairs(change):
    x = RNG.normal(size=(50, 5))
    change(x)
    return x


def offset(x):
    x += 1e8
    x[30] = x[7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.__setitem__((slice(None), 0), 1.7e9), "kernels in float64 cannot tell them apart.*standardise"),
        (offset, "inputs 7 and 30 are equal"),
        (lambda x: x.__setitem__(30, x[7] * (1 + 1e-9)), "inputs 7 and 30 differ by"),
        (lambda x: x.__setitem__(slice(30, 32), np.array([[0.0] * 5, [-0.0] * 5])), "inputs 30 and 31 are equal"),
        (lambda x: x.__setitem__(slice(30, 32), 1e-250 * x[[7, 7]] * [[1], [1 + 1e-9]]), "inputs 30 and 31 differ by"),
    ],
)
def test_two_inputs_that_kernels_cannot_tell_apart(change, message):
    network, x = ntkng.mlp(5, width=8), pairs(change)
    with pytest.raises(ValueError, match=message):
        ntkng.Problem(network, x, np.ones(50))
    assert ntkng.Problem(network, x, np.ones(50), allow_duplicates=True).samples == 50


@pytest.mark.parametrize(
    "change", [lambda x: x.__setitem__(3, 1e9 * x[3]), lambda x: x.__setitem__(3, 0), lambda x: x.__imul__(1e-200)]
)
def test_an_outlier_a_zero_or_a_small_scale_makes_no_duplicates(change):
    x = pairs(change)
    np.testing.assert_array_equal(ntkng.Problem(ntkng.mlp(5, width=8), x, np.ones(50)).x, x)


def test_many_inputs_take_no_matrix_of_distances():
    import tracemalloc

    x = np.random.default_rng(1).normal(size=(4000, 4))
    tracemalloc.start()
    ntkng.Problem(ntkng.mlp(4, width=8), x, np.ones(4000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * x.nbytes  # a matrix would be 1000 times x


IMAGES, LABELS = RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8), np.arange(20) % 10
IMAGES[0, 0, :2] = 0, 255


@pytest.mark.parametrize(
    "kept", [IMAGES, IMAGES / np.float32(255), IMAGES.astype(float), (IMAGES / 255).reshape(20, -1), IMAGES[:, None]]
)
def test_pixels_are_between_0_and_1_whatever_the_file_holds(tmp_path, kept):
    np.savez(tmp_path / "mnist.npz", x_train=kept, y_train=LABELS[:, None], x_test=kept, y_test=LABELS)
    pixels = load("mnist", tmp_path, part="train").inputs
    np.testing.assert_allclose(pixels, IMAGES.reshape(20, -1) / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (IMAGES.astype(int) - 128, "pixels from -128 to 127, expected 0 to 255, or 0 to 1"),
        (IMAGES / 255 * 2 - 1, "pixels from -1 to 1"),
        (IMAGES / 10, "fractional pixels"),
        (np.where(IMAGES == 255, np.nan, IMAGES), "pixels from nan"),
        (IMAGES[:0], "no images"),
        (IMAGES[:, :14], r"images of shape \[14, 28\]"),
        (IMAGES.astype(str), "pixels of dtype"),
    ],
)
def test_pixels_of_an_unknown_range_are_refused(tmp_path, kept, message):
    np.savez(tmp_path / "mnist.npz", x_train=kept, y_train=LABELS[: len(kept)], x_test=kept, y_test=LABELS[: len(kept)])
    with pytest.raises(ValueError, match=message):
        load("mnist", tmp_path)


def test_channels_first_are_transposed(tmp_path):
    x = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    y = np.arange(5) % 2
    np.savez(tmp_path / "cifar10.npz", x_train=x.transpose(0, 3, 1, 2), y_train=y, x_test=x, y_test=y)
    images = load("cifar10", tmp_path, flatten=False).inputs
    np.testing.assert_allclose(images * 255, np.concatenate([x, x]))
    np.savez(tmp_path / "cifar10.npz", x_train=x.reshape(5, -1), y_train=y, x_test=x, y_test=y)
    with pytest.raises(ValueError, match="order of channels is not known"):
        load("cifar10", tmp_path)


def test_damaged_files_are_named(tmp_path):
    def refused(name, content, match):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=match):
            load("mnist", tmp_path)
        (tmp_path / name).unlink()

    np.savez(tmp_path / "good.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS)
    good = (tmp_path / "good.npz").read_bytes()
    refused("mnist.npz", good[:5000], r"mnist\.npz is not a complete NPZ file")
    refused("mnist.npz", b"", r"mnist\.npz is not a")
    np.save(tmp_path / "array.npy", IMAGES)
    refused("mnist.npz", (tmp_path / "array.npy").read_bytes(), r"one array of shape \[20, 28, 28\]")
    np.savez(tmp_path / "objects.npz", x_train=IMAGES.astype(object), y_train=LABELS, x_test=IMAGES, y_test=LABELS)
    refused("mnist.npz", (tmp_path / "objects.npz").read_bytes(), "not an NPZ file of numbers")
    stream = gzip.compress(idx(IMAGES))
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(LABELS))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(stream)
    refused("train-images-idx3-ubyte", b"\0\0\x08\x03" + bytes(12), "no images")
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(stream[:12] + b"\xff\xff\xff\xff" + stream[16:])
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte.gz is not a complete gzip file"):
        load("mnist", tmp_path)


@pytest.mark.parametrize(("prefix", "test"), [("", "t10k"), ("emnist-letters-", "test")])
def test_other_data_in_the_same_layout(tmp_path, prefix, test):
    for part in ("train", test):
        (tmp_path / f"{prefix}{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
        (tmp_path / f"{prefix}{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    data = load_images(tmp_path)
    assert data.inputs.shape == (40, 784)
    assert load_images(tmp_path, part="test", flatten=False).inputs.shape == (20, 28, 28, 1)
    one = load_images(tmp_path / f"{prefix}train-images-idx3-ubyte.gz", name="letters")
    np.testing.assert_allclose(one.inputs[0] * 255, IMAGES[0].ravel())
    assert one.name == "letters"
    (tmp_path / "other-train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(ValueError, match="several data sets"):
        load_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="other-train-labels-idx1-ubyte; pass labels="):
        load_images(tmp_path / "other-train-images-idx3-ubyte")


def test_archives_of_single_arrays(tmp_path):
    np.savez(tmp_path / "kmnist-train-imgs.npz", IMAGES)
    np.savez(tmp_path / "kmnist-train-labels.npz", LABELS)
    data = load_images(tmp_path / "kmnist-train-imgs.npz", tmp_path / "kmnist-train-labels.npz")
    np.testing.assert_array_equal(data.labels, LABELS)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        load_images(tmp_path / "absent")


def test_rows_are_named_as_the_user_counts_them():
    x = X.copy()
    x[7] = 0
    with pytest.raises(ValueError, match="input 7 is 0"):
        Dataset(x, np.arange(12) % 2).split(12)
    np.testing.assert_allclose(on_sphere(1e-200 * X), on_sphere(X))
    np.testing.assert_allclose(on_sphere(1e200 * X, 1.0), on_sphere(X, 1.0))


def test_rooms_are_there_after_the_import_alone():
    for name in ("data", "testing", "inductive_bias", "perspectives", "reversible"):
        assert hasattr(ntkng, name)
    assert "ntkng" in ntkng.citation()
