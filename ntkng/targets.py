"""Outputs and targets that belong together: one rule for shapes and dtypes, and where the border of two classes is."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.precision import AnyArray
from ntkng.validation import real_array


def paired(
    outputs: Float[AnyArray, "... N C"], targets: AnyArray, name: str = "targets"
) -> tuple[Float[np.ndarray, "... N C"], Float[np.ndarray, "... N C"]]:
    """Both as float64, the targets `[N C]` (or with the leading axes of the outputs); `[N]` is `[N 1]`.

    Labels keep no dtype of their own: of unsigned integers and booleans there are no negatives, and squares of integers overflow.
    Outputs may be NaN or infinite, as those of a training that diverged are.

    Raises:
        TypeError: not numeric.
        ValueError: targets of another shape, or not finite.
    """
    f, y = np.asarray(outputs), real_array(name, targets).astype(np.float64)
    if f.dtype.kind not in "fiub":
        raise TypeError(f"outputs must be a real array, got dtype {f.dtype}; give logits or predictions")
    f = f.astype(np.float64)
    if f.ndim < 2:
        raise ValueError(f"outputs must have shape [.. N C], got {list(f.shape)}; write one output as f[:, None]")
    y = columns(y, f.shape[-1])
    if y.shape[-2:] != f.shape[-2:] or (y.ndim > 2 and f.ndim > 2 and y.shape != f.shape):
        raise ValueError(
            f"{name} must have shape {list(f.shape[-2:])} like the outputs, got {list(np.shape(targets))}; one-hot encode class "
            "numbers, write one output as [N, 1]"
        )
    return f, y


def columns(targets: np.ndarray, outputs: int) -> np.ndarray:
    """`[N]` as `[N 1]` where there is one output."""
    return targets[:, None] if targets.ndim == 1 and outputs == 1 else targets


def border(*targets: Float[AnyArray, "N 1"] | None) -> float:
    """The number between the two classes of a single output: the midpoint of the smallest and the largest target.

    Labels -1 and 1 have 0, labels 0 and 1 have 1/2; NaN where all targets are equal, as then nothing tells the classes apart.
    """
    known = np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in targets if part is not None])
    least, most = float(known.min()), float(known.max())
    return (least + most) / 2 if least < most else float("nan")
