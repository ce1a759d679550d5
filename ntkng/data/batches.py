"""CIFAR's Python batches: pickled dictionaries, read without running what a pickle may contain."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

# all that a pickled array of numbers needs, under its old and new module names
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_batch(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Images `[n, height, width, channels]` and labels `[n]` of one batch.

    Raises:
        ValueError: not a batch of arrays, or images of another shape.
    """
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
        pixels, labels = np.asarray(content[b"data"]), np.asarray(content[b"labels"])
    except (
        pickle.UnpicklingError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ImportError,
        OSError,
    ) as error:
        raise ValueError(f"{path} is not a CIFAR batch of arrays ({error!r}); download it again") from error
    height, width, channels = shape
    if pixels.ndim != 2 or pixels.shape[1] != height * width * channels:
        raise ValueError(f"{path} has images of shape {pixels.shape[1:]}, expected {height * width * channels} pixels")
    return pixels.reshape(-1, channels, height, width).transpose(0, 2, 3, 1), labels
