"""Columns of mean 0 and variance 1, as measured on the training part."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ntkng.validation import real_array


def standardise(
    train: Float[np.ndarray, "N *input"], *others: Float[np.ndarray, "M *input"] | None
) -> tuple[Any, ...]:  # arrays, and None where None was given
    """`(x - mean) / deviation` of every column, with the mean and standard deviation (divided by N) of the training part.

    Test inputs take the same shift and scale, so nothing of them leaks into training. A column that is constant in the training
    part is shifted and not scaled. Targets of a regression can be standardised likewise.

    Args:
        train: `[N, ..]`, every entry of an input is a column.
        *others: further arrays of the same columns; `None` stays `None`, as a `Split` without test part has it.

    Returns:
        As many arrays as were given.

    Raises:
        ValueError: arrays whose columns are not those of the first.

    Example:
        ```python
        x, x_test = standardise(x, x_test)
        ```
    """
    first = real_array("train", train).astype(float)
    scale = np.abs(first).max(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # squares and sums of scaled columns neither overflow nor underflow
    mean = scale * (first / scale).mean(axis=0)
    deviation = scale * (first / scale).std(axis=0)
    is_constant = (first == first[:1]).all(axis=0) | (deviation == 0)
    mean, deviation = np.where(is_constant, first[0], mean), np.where(is_constant, 1.0, deviation)
    results: list[np.ndarray | None] = []
    for index, other in enumerate((first, *others)):
        if other is None:
            results.append(None)
            continue
        array = first if index == 0 else real_array(f"others[{index - 1}]", other).astype(float)
        if array.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"others[{index - 1}] must have the columns {list(first.shape[1:])} of the training part, "
                f"got {list(array.shape[1:])}; pass parts of one table"
            )
        results.append((array - mean) / deviation)
    return tuple(results)
