"""Images in MNIST's layout under any name: Fashion-MNIST, EMNIST, KMNIST, one's own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ntkng.data.dataset import Dataset
from ntkng.data.idx import read_idx
from ntkng.data.npz import read_npz
from ntkng.data.pixels import labelled
from ntkng.data.source import Part

IDX = re.compile(r"(?P<prefix>.*?)(?P<part>train|t10k|test)-images[-.]idx\d-ubyte(\.gz)?$")


def load_images(
    path: str | Path, labels: str | Path | None = None, *, part: Part = "all", flatten: bool = True, name: str = ""
) -> Dataset:
    """Images with labels from files in MNIST's layout, pixels between 0 and 1.

    `path` is one of

    - a folder with `<prefix>train-images-idx3-ubyte`, `..-labels-idx1-ubyte` and the same for `t10k` or `test`, plain or `.gz`, as
      MNIST, Fashion-MNIST, KMNIST and EMNIST publish them (several data sets in one folder: pass a file instead);
    - one such file of images; that of the labels is found beside it, or given;
    - an `.npz` file with `x_train`, `y_train`, `x_test`, `y_test`, or, with `labels`, one that holds a single array.

    (EMNIST stores its images transposed: for convolutions pass them through `transpose(0, 2, 1, 3)`.)

    Args:
        path: see above.
        labels: file of the labels, where it cannot be found by its name.
        part: `"train"`, `"test"` or `"all"`, of a folder or an `.npz` file that holds both.
        flatten: vectors `[N, d]`; otherwise images `[N, height, width, channels]`.
        name: of the data; by default the name of the file or folder.

    Raises:
        FileNotFoundError: no such file, or none in the folder; what was looked for is named.
        ValueError: damaged files, pixels of an unknown range, numbers of images and labels that differ.
    """
    if part not in ("train", "test", "all"):
        raise ValueError(f"part must be 'train', 'test' or 'all', got {part!r}")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}; pass the images, or the folder that holds them")
    wanted = ("train", "test") if part == "all" else (part,)
    if path.is_dir():
        pairs = [_read_idx(file, None) for file in _files(path, wanted)]
    elif path.suffix == ".npz" and labels is None:
        pairs = [read_npz(path, (f"x_{one}", f"y_{one}")) for one in wanted]
    else:
        pairs = [_read_idx(path, None if labels is None else Path(labels))]
    checked = [_checked(str(path), *pair) for pair in pairs]
    images, classes = (np.concatenate(arrays) for arrays in zip(*checked, strict=True))
    return Dataset(images.reshape(len(images), -1) if flatten else images, classes, name or path.name)


def _checked(where: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(
            f"{where} must hold images [n, height, width] or [n, d], got shape {list(images.shape)}; check the file"
        )
    return labelled(where, images[..., None] if images.ndim == 3 else images, labels)


def _read_idx(path: Path, labels: Path | None) -> tuple[np.ndarray, np.ndarray]:
    if labels is None:
        labels = _beside(path)
    if not labels.exists():
        raise FileNotFoundError(f"there is no file {labels}; pass labels=, the file of the labels")
    return _array(path), _array(labels)


def _array(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        return read_npz(path, None)[0]
    return read_idx(path)


def _beside(path: Path) -> Path:
    """The labels that belong to a file of images, by its name."""
    found = re.sub(r"images([-.])idx\d", r"labels\1idx1", path.name)
    if found == path.name:
        raise FileNotFoundError(f"no labels are known for {path.name}; pass labels=, the file of the labels")
    candidates = [path.with_name(name) for name in (found, found.removesuffix(".gz"), found + ".gz")]
    return next((file for file in candidates if file.exists()), candidates[0])


def _files(folder: Path, wanted: tuple[str, ...]) -> list[Path]:
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.iterdir()):
        match = IDX.fullmatch(file.name)
        if match:
            found.setdefault((match["prefix"], "train" if match["part"] == "train" else "test"), file)
    prefixes = sorted({prefix for prefix, _ in found})
    if len(prefixes) > 1:
        raise ValueError(f"{folder} holds several data sets, {prefixes}; pass the file of images of one of them")
    missing = [one for one in wanted if not prefixes or (prefixes[0], one) not in found]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no images of {' and '.join(missing)}; looked for <prefix>train-images-idx3-ubyte[.gz] and "
            "<prefix>t10k-images-idx3-ubyte[.gz] (or test)"
        )
    return [found[prefixes[0], one] for one in wanted]
