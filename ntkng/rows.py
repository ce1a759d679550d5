"""Rows of a table of inputs: norms to the ends of the float range, and two rows that kernels cannot tell apart."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Float

NEAR = 1e-7  # distance over norm below which float64 kernels of smooth activations (an error of its square) lose two inputs


def row_norms(x: Float[np.ndarray, "N *input"]) -> Float[np.ndarray, "N"]:
    """Euclidean norm over all entries of each input; squares neither overflow nor underflow."""
    flat = np.abs(x.reshape(len(x), -1))
    largest = flat.max(axis=1, initial=0)
    return largest * np.linalg.norm(flat / np.where(largest > 0, largest, 1)[:, None], axis=1)


def refuse_duplicates(x: Float[np.ndarray, "N *input"]) -> None:
    """Refuse two inputs that make every kernel singular: equal, or closer than `NEAR` times their own norm.

    Equal rows are found by sorting. Near ones are neighbours along a random direction, since a distance is at least as long as
    its projection; so memory stays that of the inputs.

    Raises:
        ValueError: naming a pair, with its distance, and the fix.
    """
    flat = x.reshape(len(x), -1) + 0.0  # -0 and 0 are one number
    equal = _equal_rows(flat)
    if equal is not None:
        raise ValueError(
            f"inputs {equal[0]} and {equal[1]} are equal, so every kernel is singular: "
            "remove one, or pass allow_duplicates=True and use damping > 0"
        )
    near = _near_rows(flat)
    if near is not None:
        first, second, gap, relative = near
        raise ValueError(
            f"inputs {first} and {second} differ by {gap:.1e}, which is {relative:.1e} of their norm (expected more than {NEAR:.0e}): "
            "kernels in float64 cannot tell them apart. If a column is much larger than the others, or far from 0, "
            "standardise the columns (ntkng.data.standardise); else remove one of the two, or pass allow_duplicates=True and use "
            "damping > 0"
        )


def _equal_rows(flat: Float[np.ndarray, "N d"]) -> tuple[int, int] | None:
    """The first row that stands again, and where."""
    seen: dict[bytes, int] = {}
    for index, row in enumerate(flat):
        first = seen.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), index)
        if first != index:
            return first, index
    return None


def _near_rows(flat: Float[np.ndarray, "N d"]) -> tuple[int, int, float, float] | None:
    """A pair closer than `NEAR` times the larger of its norms: indices, distance, distance over norm."""
    largest = np.abs(flat).max(initial=0)
    if largest == 0:
        return None
    scaled, norms = flat / largest, row_norms(flat) / largest
    direction = np.random.default_rng(0).normal(size=flat.shape[1])
    along = scaled @ (direction / np.linalg.norm(direction))
    order = np.argsort(along)
    along, norms = along[order], norms[order]
    # near rows have nearly equal norms; the second term is the rounding of the projections
    reach = (1.001 * NEAR + 4 * np.finfo(float).eps * flat.shape[1] ** 0.5) * norms
    start = np.arange(len(flat))
    for offset in range(1, len(flat)):
        start = start[start < len(flat) - offset]
        start = start[along[start + offset] - along[start] <= reach[start]]  # sorted: none beyond it either
        if len(start) == 0:
            return None
        gaps = row_norms(flat[order[start]] - flat[order[start + offset]])
        lengths = np.maximum(norms[start], norms[start + offset]) * largest
        relative = np.divide(gaps, lengths, out=np.full(len(gaps), np.inf), where=lengths > 0)
        closest = int(relative.argmin())
        if relative[closest] <= NEAR:
            first, second = sorted(int(order[start[closest] + shift]) for shift in (0, offset))
            return first, second, float(gaps[closest]), float(relative[closest])
    return None
