"""Regression targets from class labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Encoding = Literal["auto", "sign", "one-hot"]


def encode(
    labels: Int[np.ndarray, "N"], classes: Sequence[int], encoding: Encoding = "auto"
) -> Float[np.ndarray, "N C"]:
    """Targets `[N, C]` of the given classes.

    Args:
        labels: each one of `classes`.
        classes: in the order of the outputs.
        encoding: `"sign"`: -1 for the first and +1 for the second of two classes, C = 1; `"one-hot"`: C columns of 0 and
            1; `"auto"`: `"sign"` for two classes, else `"one-hot"`.

    Raises:
        ValueError: an unknown encoding, `"sign"` for other than two classes, or a label that is not among them.
    """
    if encoding not in ("auto", "sign", "one-hot"):
        raise ValueError(f"targets must be 'auto', 'sign' or 'one-hot', got {encoding!r}")
    matches = np.asarray(labels)[:, None] == np.asarray(classes)
    if not matches.any(axis=1).all():
        strangers = sorted(set(np.asarray(labels).tolist()) - set(classes))
        raise ValueError(f"labels {strangers} are not among the classes {list(classes)}; select the classes first")
    if encoding == "one-hot" or (encoding == "auto" and len(classes) != 2):
        return matches.astype(float)
    if len(classes) != 2:
        raise ValueError(f"targets 'sign' are for two classes, got {len(classes)}; use 'one-hot'")
    return np.where(matches[:, 1:], 1.0, -1.0)
