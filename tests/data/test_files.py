import gzip
import pickle
import struct

import numpy as np
import pytest

from ntkng.data import load
from ntkng.data.batches import read_batch
from ntkng.data.idx import read_idx


def idx_bytes(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_arrays(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 28, 28)), np.arange(count) % 10


def write_mnist(folder, ending="", hyphen="-"):
    parts = {"train": mnist_arrays(12), "t10k": mnist_arrays(5, seed=1)}
    for part, arrays in parts.items():
        for name, array in zip((f"images{hyphen}idx3", f"labels{hyphen}idx1"), arrays, strict=True):
            content = idx_bytes(array)
            path = folder / f"{part}-{name}-ubyte{ending}"
            path.write_bytes(gzip.compress(content) if ending else content)
    return parts


@pytest.mark.parametrize(("ending", "hyphen"), [("", "-"), (".gz", "-"), ("", ".")])
def test_mnist_from_idx(tmp_path, ending, hyphen):
    parts = write_mnist(tmp_path, ending, hyphen)
    data = load("mnist", tmp_path, part="train")
    np.testing.assert_allclose(data.inputs * 255, parts["train"][0].reshape(12, 784))
    np.testing.assert_array_equal(data.labels, parts["train"][1])
    assert load("mnist", tmp_path, part="test", flatten=False).inputs.shape == (5, 28, 28, 1)
    assert len(load("mnist", tmp_path).inputs) == 17


def test_mnist_from_npz(tmp_path):
    images, labels = mnist_arrays(6)
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    data = load("mnist", tmp_path)
    np.testing.assert_allclose(data.inputs[6] * 255, images[0].ravel())
    np.savez(tmp_path / "mnist.npz", images=images, labels=labels)
    with pytest.raises(ValueError, match=r"no arrays \['x_train', 'y_train'\]"):
        load("mnist", tmp_path)


def cifar_batches(seed=0):
    rng = np.random.default_rng(seed)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    return {name: (rng.integers(0, 256, (3, 3072), dtype=np.uint8), list(range(3))) for name in names}


@pytest.mark.parametrize("inner", [".", "cifar-10-batches-py"])
def test_cifar_from_batches(tmp_path, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    batches = cifar_batches()
    for name, (pixels, labels) in batches.items():
        content = {b"data": pixels, b"labels": labels, b"batch_label": b"one"}
        (tmp_path / inner / name).write_bytes(pickle.dumps(content, protocol=2))
    data = load("cifar10", tmp_path, flatten=False)
    assert data.inputs.shape == (18, 32, 32, 3)
    first = batches["data_batch_1"][0][0].reshape(3, 32, 32)
    np.testing.assert_allclose(data.inputs[0, :, :, 2] * 255, first[2])
    assert load("cifar10", tmp_path, part="test").inputs.shape == (3, 3072)
    (tmp_path / inner / "data_batch_4").unlink()
    with pytest.raises(FileNotFoundError, match=r"looked for .*data_batch_4"):
        load("cifar10", tmp_path)


def test_cifar_from_npz(tmp_path):
    images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.arange(4)[:, None]  # some packages keep labels as a column
    np.savez(tmp_path / "cifar10.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert load("cifar10", tmp_path).classes == (0, 1, 2, 3)


def test_a_batch_runs_no_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (print, ("ran",))

    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Harmful(), b"labels": []}))
    with pytest.raises(ValueError, match=r"not a CIFAR batch.*builtins.print"):
        read_batch(path, (32, 32, 3))
    path.write_bytes(pickle.dumps({b"data": np.zeros((2, 10), np.uint8), b"labels": [0, 1]}))
    with pytest.raises(ValueError, match="expected 3072 pixels"):
        read_batch(path, (32, 32, 3))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mnist.npz, train-images-idx3-ubyte\[.gz\].*Download"):
        load("mnist", tmp_path)
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert len(load("mnist", tmp_path, part="train").inputs) == 12
    with pytest.raises(FileNotFoundError, match="t10k-labels"):
        load("mnist", tmp_path, part="test")
    with pytest.raises(FileNotFoundError, match="no folder"):
        load("mnist", tmp_path / "absent")


def test_damaged_files(tmp_path):
    path = tmp_path / "array"
    path.write_bytes(b"\x89PNG1234")
    with pytest.raises(ValueError, match="not an IDX file"):
        read_idx(path)
    path.write_bytes(idx_bytes(np.ones((3, 4)))[:-2])
    with pytest.raises(ValueError, match="holds 10 bytes"):
        read_idx(path)
    path = tmp_path / "array.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.ones((3, 4))))[:-9])
    with pytest.raises(ValueError, match="not a complete gzip"):
        read_idx(path)
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(7)))
    with pytest.raises(ValueError, match=r"12 images .* with 7 labels"):
        load("mnist", tmp_path, part="train")


def test_idx_of_other_types(tmp_path):
    path = tmp_path / "array"
    path.write_bytes(bytes([0, 0, 0x0D, 1]) + struct.pack(">I", 2) + struct.pack(">2f", 1.5, -2.0))
    np.testing.assert_array_equal(read_idx(path), [1.5, -2.0])


def test_online(monkeypatch):
    import sklearn.datasets

    def fetched(name, **_):
        size = {"mnist_784": 784, "CIFAR_10": 3072}[name]
        pixels = np.zeros((3, size))
        pixels[0, 1] = 255
        return pixels, np.array(["0", "1", "2"])

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetched)
    assert load("mnist").inputs[0, 1] == 1
    image = load("cifar10", flatten=False).inputs[0]
    assert image[0, 1, 0] == 1
    assert image.sum() == 1
    with pytest.raises(ValueError, match="does not mark the train part"):
        load("cifar10", part="train")


def test_offline(monkeypatch):
    import urllib.error

    import sklearn.datasets

    def fails(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fails)
    with pytest.raises(ConnectionError, match=r"no route.*pass their folder: load\('mnist', folder\)"):
        load("mnist")


def test_bad_names():
    with pytest.raises(ValueError, match="unknown data 'minst'; choose from"):
        load("minst")
    with pytest.raises(ValueError, match="part must be"):
        load("digits", part="validation")  # pyright: ignore
    with pytest.raises(ValueError, match="no published train part"):
        load("digits", part="train")
