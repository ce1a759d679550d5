"""Data sets from the files of a local folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntkng.data.batches import read_batch
from ntkng.data.idx import read_idx
from ntkng.data.npz import read_npz
from ntkng.data.pixels import channels_last, labelled
from ntkng.data.source import Part, Source

Images = tuple[np.ndarray, np.ndarray]
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
IDX = {"train": "train", "test": "t10k"}


def read(source: Source, folder: Path, part: Part) -> Images:
    """Pixels from 0 to 1, `[n, height, width, channels]`, and labels `[n]`.

    Raises:
        FileNotFoundError: naming every file that was looked for.
        ValueError: a damaged file, or images of another shape.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; pass the folder that holds the files of {source.name}")
    looked: list[str] = []
    parts = ("train", "test") if part == "all" else (part,)
    for reader in (_npz, _batches if source.name == "cifar10" else _idx):
        found = [reader(source, folder, one, looked) for one in parts]
        read_parts = [images for images in found if images is not None]
        if len(read_parts) == len(parts):
            return _joined(read_parts)
    raise FileNotFoundError(
        f"{folder} has no complete {source.name}; looked for {', '.join(looked)}. Download the files from {source.page} "
        "into that folder, or pass folder=None to fetch them from OpenML"
    )


def _checked(where: str, source: Source, images: np.ndarray, labels: np.ndarray) -> Images:
    return labelled(where, channels_last(where, images, source.shape), labels)


def _joined(parts: list[Images]) -> Images:
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _npz(source: Source, folder: Path, part: str, looked: list[str]) -> Images | None:
    path = folder / f"{source.name}.npz"
    if path.name not in looked:
        looked.append(path.name)
    if not path.exists():
        return None
    return _checked(str(path), source, *read_npz(path, (f"x_{part}", f"y_{part}")))


def _idx(source: Source, folder: Path, part: str, looked: list[str]) -> Images | None:
    names = f"{IDX[part]}-images-idx3-ubyte", f"{IDX[part]}-labels-idx1-ubyte"
    looked += [f"{name}[.gz]" for name in names]
    # some mirrors write a dot for the last hyphen but one
    paths = [_first(folder, [name, name.replace("-idx", ".idx")], ("", ".gz")) for name in names]
    if paths[0] is None or paths[1] is None:
        return None
    return _checked(str(paths[0]), source, read_idx(paths[0]), read_idx(paths[1]))


def _batches(source: Source, folder: Path, part: str, looked: list[str]) -> Images | None:
    names = BATCHES[part]
    looked += [f"cifar-10-batches-py/{name}" for name in names]
    paths = [_first(folder, [name, f"cifar-10-batches-py/{name}"], ("",)) for name in names]
    present = [path for path in paths if path is not None]
    if len(present) < len(paths):
        return None
    return _joined([_checked(str(path), source, *read_batch(path, source.shape)) for path in present])


def _first(folder: Path, names: list[str], endings: tuple[str, ...]) -> Path | None:
    candidates = (folder / (name + ending) for name in names for ending in endings)
    return next((path for path in candidates if path.exists()), None)
