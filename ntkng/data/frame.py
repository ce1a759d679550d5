"""Tables with named columns: pandas frames as data sets."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ntkng.data.dataset import Dataset

Task = Literal["classes", "regression"]


def from_frame(frame: Any, target: str | list[str], *, task: Task | None = None, name: str = "") -> Dataset:
    """A `Dataset` of a pandas frame: one column, or several, to be predicted from all others.

    Numbers and booleans are used as they are; text and categories become one column of 0 and 1 for each value that occurs, in
    ascending order. `Dataset.columns` names the columns of the result. Select columns beforehand: `frame[["a", "b", "y"]]`.

    Args:
        frame: with one sample a row, nothing missing.
        target: name of the column to predict; a list of names for several outputs (regression).
        task: `"classes"` or `"regression"`; `None` takes text, categories and booleans as classes and floats as regression.
        name: of the data.

    Raises:
        TypeError: not a frame, or a column that is neither numbers, text, categories nor booleans.
        ValueError: an unknown column, no columns to predict from, missing entries (the first is named), or integers as target
            without a `task`, which can be either.

    Example:
        ```python
        data = from_frame(iris, "species")
        problem = ntkng.Problem(network, *data.split(100, 50, standardise=True))
        ```
    """
    if not (hasattr(frame, "columns") and hasattr(frame, "iloc")):
        raise TypeError(f"frame must be a pandas DataFrame, got {type(frame).__name__}; wrap it: pandas.DataFrame(...)")
    if task not in (None, "classes", "regression"):
        raise ValueError(f"task must be 'classes', 'regression' or None, got {task!r}")
    wanted = [target] if isinstance(target, str) or not isinstance(target, (list, tuple)) else list(target)
    _check_columns(frame, wanted)
    columns: list[str] = []
    parts: list[np.ndarray] = []
    for column in frame.columns:
        if column not in wanted:
            names, values = _numbers(str(column), frame[column])
            columns += names
            parts.append(values)
    inputs = np.concatenate(parts, axis=1)
    task = task or _task(frame, wanted)
    if task == "classes":
        if len(wanted) > 1:
            raise ValueError(f"classes come from one column, got {wanted}; name one, or use task='regression'")
        return Dataset(inputs, frame[wanted[0]].to_numpy(), name, columns=tuple(columns))
    targets = np.concatenate([_numbers(str(column), frame[column])[1] for column in wanted], axis=1)
    return Dataset(inputs, None, name, targets=targets, columns=tuple(columns))


def _check_columns(frame: Any, wanted: list[str]) -> None:
    known = list(frame.columns)
    if len(set(known)) < len(known):
        twice = sorted({str(column) for column in known if known.count(column) > 1})
        raise ValueError(f"frame has the columns {twice} more than once; give each column its own name")
    unknown = [column for column in wanted if column not in known]
    if unknown or not wanted:
        raise ValueError(f"frame has no column {unknown or 'to predict'}; choose from {known}")
    if len(wanted) == len(known):
        raise ValueError(f"frame has no columns beside the target {wanted}; add what it is predicted from")
    missing = frame.isna().to_numpy()
    if missing.any():
        row, column = (int(i) for i in np.argwhere(missing)[0])
        raise ValueError(
            f"frame has {int(missing.sum())} missing entries, first in row {row} of column {known[column]!r}; "
            "use frame.dropna(), or fill them"
        )


def _kind(column: Any) -> str:
    """`"b"`, `"i"`, `"f"` or `"text"`, whichever of pandas' types holds it."""
    from pandas.api import types

    if types.is_bool_dtype(column.dtype):
        return "b"
    if isinstance(column.dtype, _categorical()) or types.is_string_dtype(column.dtype):
        return "text"
    if types.is_integer_dtype(column.dtype):
        return "i"
    return "f" if types.is_float_dtype(column.dtype) else str(column.dtype)


def _categorical() -> type:
    from pandas import CategoricalDtype

    return CategoricalDtype


def _task(frame: Any, wanted: list[str]) -> Task:
    kinds = {_kind(frame[column]) for column in wanted}
    if kinds <= {"text", "b"}:
        return "classes"
    if kinds == {"f"}:
        return "regression"
    raise ValueError(
        f"the target {wanted} holds {sorted(kinds)}, which can be classes or numbers to fit; say task='classes' or task='regression'"
    )


def _numbers(name: str, column: Any) -> tuple[list[str], np.ndarray]:
    """A column as numbers `[N, k]` with the names of its `k` columns."""
    kind = _kind(column)
    if kind in ("b", "i", "f"):
        return [name], column.to_numpy(dtype=float)[:, None]
    if kind != "text":
        raise TypeError(
            f"column {name!r} must be numbers, text, categories or booleans, got {kind}; convert or drop it (dates: count days)"
        )
    values = column.astype(str).to_numpy(dtype=str)
    known = np.unique(values)
    return [f"{name}={value}" for value in known], (values[:, None] == known).astype(float)
