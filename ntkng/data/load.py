"""`load`: data by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntkng.data import folder as local
from ntkng.data.dataset import Dataset
from ntkng.data.openml import fetch
from ntkng.data.pixels import channels_last, unit_pixels
from ntkng.data.source import SOURCES, Part, Source

NAMES = ("digits", *SOURCES)


def load(name: str, folder: str | Path | None = None, *, part: Part = "all", flatten: bool = True) -> Dataset:
    """Images with labels, pixels between 0 and 1.

    - `"digits"`: 1797 images of 8 x 8 pixels that come with scikit-learn; nothing is read from `folder`. Their 64 pixels
      have numerical rank of about 50, so undamped K-FAC without bias needs N <= 40 or so.
    - `"mnist"` (28 x 28), `"cifar10"` (32 x 32 x 3): from `folder`, or, without one, through
      `sklearn.datasets.fetch_openml`, which downloads once and then keeps its own copy.

    Files that are understood in `folder`: MNIST's four IDX files (`train-images-idx3-ubyte`, ..., plain or `.gz`), the
    `cifar-10-batches-py` batches, and `<name>.npz` with `x_train`, `y_train`, `x_test`, `y_test`. Pixels may be bytes from 0 to
    255 or numbers from 0 to 1, channels first or last. For other data in these layouts see `load_images`.

    Args:
        name: one of the above.
        folder: with the files, for MNIST and CIFAR-10.
        part: `"train"`, `"test"` as published, or `"all"`; digits have no published parts.
        flatten: vectors `[N, d]`; otherwise images `[N, height, width, channels]`.

    Raises:
        ValueError: an unknown name or part, or a file that is damaged.
        FileNotFoundError: files are missing from `folder`; the message lists the ones that were looked for.
        ConnectionError: no folder, and OpenML cannot be reached.
    """
    if name not in NAMES:
        raise ValueError(f"unknown data {name!r}; choose from {NAMES}")
    if part not in ("train", "test", "all"):
        raise ValueError(f"part must be 'train', 'test' or 'all', got {part!r}")
    if name == "digits":
        images, labels = _digits(part)
    else:
        images, labels = _images(SOURCES[name], folder, part)
    inputs = images.reshape(len(images), -1) if flatten else images
    return Dataset(inputs, labels, name)


def _digits(part: Part) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # slow to import: only where needed

    if part != "all":
        raise ValueError(f"digits have no published {part} part; use part='all' and Dataset.split")
    images, labels = load_digits(return_X_y=True)
    return np.asarray(images).reshape(-1, 8, 8, 1) / 16.0, np.asarray(labels)


def _images(source: Source, folder: str | Path | None, part: Part) -> tuple[np.ndarray, np.ndarray]:
    if folder is not None:
        return local.read(source, Path(folder), part)
    where = f"OpenML's {source.openml}"
    images, labels = fetch(source, part)
    return unit_pixels(where, channels_last(where, images, source.shape)), labels
