"""How many samples of each class go into the training and the test part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Balance = Literal["equal", "proportional"]


def quotas(
    name: str, sizes: Sequence[int], classes: Sequence[int | str], totals: tuple[int, int], balance: Balance
) -> tuple[list[int], list[int]]:
    """Numbers of training and of test samples of each group; one group without classes is a regression.

    Args:
        name: of the data.
        sizes: samples that there are of each group.
        classes: labels of the groups, or none.
        totals: N and N'.
        balance: `"equal"` or `"proportional"` (see `Dataset.split`).

    Raises:
        ValueError: an unknown balance, or fewer samples than are asked for; the message says what is possible.
    """
    data = name or "the data"
    train, test = totals
    if balance not in ("equal", "proportional"):
        raise ValueError(f"balance must be 'equal' or 'proportional', got {balance!r}")
    if train + test > sum(sizes) and (balance == "proportional" or not classes):
        raise ValueError(
            f"{data} has {sum(sizes)} samples, train = {train} and test = {test} need {train + test}; ask for fewer"
        )
    if balance == "proportional" and classes:
        return _proportional(data, sizes, classes, totals)
    first, second = _even(train, len(sizes)), _even(test, len(sizes))
    for label, size, total in zip(classes, sizes, np.add(first, second), strict=False):
        if size < total:
            raise ValueError(
                f"{data} has {size} samples of class {label}, {total} are needed for train = {train} and test = {test} with all "
                f"classes equally often; ask for at most {size * len(sizes)} in all, or pass balance='proportional'"
            )
    return first, second


def _even(total: int, parts: int) -> list[int]:
    """`total` as `parts` nearly equal numbers, the larger ones first."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def _proportional(
    data: str, sizes: Sequence[int], classes: Sequence[int | str], totals: tuple[int, int]
) -> tuple[list[int], list[int]]:
    train, test = totals
    if train < len(sizes):
        raise ValueError(
            f"train must be at least {len(sizes)}, one sample of each class {list(classes)}, got {train}; name fewer classes"
        )
    first = _shares(np.asarray(sizes), train, 1)
    left = np.asarray(sizes) - first
    second = _shares(left, test, 0) if test else np.zeros_like(left)
    return first.tolist(), second.tolist()


def _shares(sizes: np.ndarray, total: int, least: int) -> np.ndarray:
    """`total` in proportion to `sizes` by largest remainders, each at least `least` and at most its size."""
    exact = total * sizes / sizes.sum()
    counts = np.clip(np.floor(exact).astype(int), least, sizes)
    while counts.sum() != total:
        up = counts.sum() < total
        room = counts < sizes if up else counts > least
        remainder = np.where(room, (exact - counts) * (1 if up else -1), -np.inf)
        counts[int(remainder.argmax())] += 1 if up else -1
    return counts
