"""Data sets through scikit-learn's OpenML client."""

from __future__ import annotations

import numpy as np

from ntkng.data.source import Part, Source


def fetch(source: Source, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Pixels `[n, d]` from 0 to 255 and labels `[n]`.

    Raises:
        ConnectionError: OpenML cannot be reached.
        ValueError: a published part is asked for that OpenML does not mark.
    """
    from sklearn.datasets import fetch_openml  # slow to import: only where needed

    if part != "all" and source.train_rows is None:
        raise ValueError(
            f"OpenML does not mark the {part} part of {source.name}; use part='all' and Dataset.split, or a folder with "
            f"the files of {source.page}"
        )
    try:
        pixels, labels = fetch_openml(source.openml, version=1, return_X_y=True, as_frame=False, n_retries=1)
    except OSError as error:  # every failure of a connection is one
        raise ConnectionError(
            f"cannot fetch {source.name} from OpenML ({error}); download its files from {source.page} on a machine that "
            f"is online and pass their folder: load({source.name!r}, folder). Offline there is load('digits')"
        ) from error
    pixels, labels = np.asarray(pixels), np.asarray(labels).astype(int)
    rows = source.train_rows
    if len(source.shape) == 3 and source.shape[-1] > 1:  # channel by channel, as in the published files
        height, width, channels = source.shape
        pixels = pixels.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    chosen = {"train": slice(0, rows), "test": slice(rows, None), "all": slice(None)}[part]
    return pixels[chosen], labels[chosen]
