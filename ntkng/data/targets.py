"""Regression targets from class labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

from ntkng.data.labels import class_labels

Encoding = Literal["auto", "sign", "one-hot"]


def encode(
    labels: Shaped[np.ndarray, "N"], classes: Sequence[int | str] | None = None, encoding: Encoding = "auto"
) -> Float[np.ndarray, "N C"]:
    """Targets `[N, C]` of the given classes.

    Args:
        labels: each one of `classes`; whole numbers, booleans or text.
        classes: in the order of the outputs; `None` takes the labels that occur, ascending.
        encoding: `"sign"`: -1 for the first and +1 for the second of two classes, C = 1; `"one-hot"`: C columns of 0 and
            1; `"auto"`: `"sign"` for two classes, else `"one-hot"`.

    Raises:
        ValueError: an unknown encoding, `"sign"` for other than two classes, or a label that is not among them.
    """
    if encoding not in ("auto", "sign", "one-hot"):
        raise ValueError(f"targets must be 'auto', 'sign' or 'one-hot', got {encoding!r}")
    labels = class_labels("labels", labels)
    known = np.unique(labels) if classes is None else class_labels("classes", list(classes))
    classes = tuple(known.tolist())
    if (labels.dtype.kind == "U") != (known.dtype.kind == "U"):
        raise ValueError(
            f"labels such as {labels[0]!r} are never one of the classes {list(classes)}; write both as text or as numbers"
        )
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise ValueError(
            f"classes must be two or more different labels, got {classes}; one class leaves nothing to tell apart"
        )
    matches = labels[:, None] == known
    if not matches.any(axis=1).all():
        strangers = sorted(set(labels.tolist()) - set(classes))
        raise ValueError(f"labels {strangers} are not among the classes {list(classes)}; select the classes first")
    if encoding == "one-hot" or (encoding == "auto" and len(classes) != 2):
        return matches.astype(float)
    if len(classes) != 2:
        raise ValueError(f"targets 'sign' are for two classes, got {len(classes)}; use 'one-hot'")
    return np.where(matches[:, 1:], 1.0, -1.0)
