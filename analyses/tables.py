"""Rows of a long-form table."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd


def select(table: pd.DataFrame, minimum: dict[str, float] | None = None, **equal: Any) -> pd.DataFrame:
    """The rows in which every column of `equal` has its value, and every column of `minimum` at least its value.

    Raises:
        ValueError: when no row is left, so that a claim cannot be made about nothing.
    """
    keep = np.ones(len(table), dtype=bool)
    for column, value in equal.items():
        keep &= (table[column] == value).to_numpy()
    for column, value in (minimum or {}).items():
        keep &= (table[column] >= value).to_numpy()
    if not keep.any():
        raise ValueError(f"no row has {equal} and at least {minimum or {}}; columns are {list(table.columns)}")
    return cast(pd.DataFrame, table.loc[keep])
