"""Class labels as people keep them: whole numbers, booleans, or text."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkng.validation import real_array, refuse_entries

LARGEST = 2**53  # beyond it a float no longer tells neighbouring integers apart


def class_labels(name: str, values: Any) -> np.ndarray:
    """Labels `[N]` as integers, or as text where they are text.

    Columns of pandas frames (text, categories, booleans) are taken as they are; floats must be whole numbers.

    Raises:
        TypeError: labels of mixed types.
        ValueError: more than one column, a label that is missing or not whole; the first one is named.
    """
    labels = np.asarray(values)
    if labels.ndim != 1:
        one_hot = f"; of one-hot rows take the column: {name}.argmax(axis=1)" if labels.ndim == 2 else ""
        raise ValueError(f"{name} must have shape [N], one label an input, got {list(labels.shape)}{one_hot}")
    if labels.dtype.kind in "OSUT" and not np.ma.isMaskedArray(values):
        text = _text(name, labels)
        if text is not None:
            return text
        labels = np.array([label for label in labels])  # objects that are numbers after all
    numbers = real_array(name, values if np.ma.isMaskedArray(values) else labels, 1)
    if numbers.dtype.kind == "f":
        refuse_entries(name, (numbers % 1 != 0) | (np.abs(numbers) > LARGEST), "not whole", _whole(numbers))
    elif numbers.dtype.kind == "u":
        refuse_entries(name, numbers > np.iinfo(np.int64).max, "too large", "number the classes from 0")
    return numbers.astype(np.int64)


def _whole(numbers: np.ndarray) -> str:
    bad = numbers[(numbers % 1 != 0) | (np.abs(numbers) > LARGEST)]
    shown = f"{bad[0]:g}" if bad.size else ""
    return f"such as {shown}: labels name classes; for regression pass targets= instead, else number the classes"


def _text(name: str, labels: np.ndarray) -> np.ndarray | None:
    """Text labels as one array of text; `None` where none of them is text."""
    is_text = np.array([isinstance(label, (str, bytes)) for label in labels], dtype=bool)
    if not is_text.any():
        missing = np.array([label is None or label != label for label in labels], dtype=object)
        refuse_entries(name, np.array([value is not False for value in missing]), "missing", "remove their inputs")
        return None
    if not is_text.all():
        where = int(np.flatnonzero(~is_text)[0])
        raise TypeError(
            f"{name} must be all text or all numbers, got {labels[where]!r} at {where} among text; remove what is missing, "
            "write the rest as text"
        )
    return np.array([label.decode() if isinstance(label, bytes) else str(label) for label in labels])
