"""Where kernels come from: which inputs, in which order, and which network; so that those of something else are refused.

Kernels are pytrees. Their origin rides along as static metadata that compares equal to every other origin, so that compiled programs are
shared by all data sets; and kernels made of traced arrays forget it, so that a program compiled for one data set can not hand
that origin to the kernels of another. Mapping a function over the arrays of concrete kernels keeps the origin.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt64

from ntkng.precision import is_concrete

if TYPE_CHECKING:
    from ntkng.network import Network


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """Digests of inputs, row by row.

    Attributes:
        exact: of each row in float64.
        rounded: of each row rounded to float32, which many inputs are somewhere on their way.
    """

    exact: UInt64[np.ndarray, "N"]
    rounded: UInt64[np.ndarray, "N"]

    def differ_from(self, other: Rows) -> np.ndarray:
        """Which rows are neither equal nor the float32 form of each other, `[N]`; the numbers of rows must agree."""
        same = (self.exact == other.exact) | (self.exact == other.rounded) | (self.rounded == other.exact)
        return ~same

    def has_rows_of(self, other: Rows) -> bool:
        """Whether the same rows are there in another order."""
        pairs = ((self.exact, other.exact), (self.exact, other.rounded), (self.rounded, other.exact))
        return any(np.array_equal(np.sort(one), np.sort(two)) for one, two in pairs)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Origin:
    """What kernels were computed from; `None` stands for unknown, and fits everything.

    Attributes:
        network: the architecture.
        x: training inputs.
        x_test: test inputs.
    """

    network: Network | None = None
    x: Rows | None = None
    x_test: Rows | None = None

    @classmethod
    def of(cls, network: Network, x: Any, x_test: Any = None) -> Origin:
        """The origin of kernels on these inputs, as the caller has them; traced inputs are unknown."""
        return cls(network, digest(x), digest(x_test))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return hash(Origin)

    def __repr__(self) -> str:
        known = [name for name in ("network", "x", "x_test") if getattr(self, name) is not None]
        return f"Origin({', '.join(known) or 'unknown'})"

    def __getstate__(self) -> dict[str, Any]:
        try:
            pickle.dumps(self.network)
        except Exception:  # a network with a lambda; the kernels are worth more than the check
            return {"network": None, "x": self.x, "x_test": self.x_test}
        return dict(self.__dict__)


def digest(x: Any) -> Rows | None:
    """Of every row of `x`, alike for lists, NumPy and JAX arrays of any dtype that hold the same numbers; `None` if traced."""
    if x is None or not is_concrete(x):
        return None
    array = np.asarray(x).astype(np.float64)
    flat = np.ascontiguousarray(array.reshape(len(array), -1)) + 0.0  # -0 is 0
    with np.errstate(over="ignore"):
        rounded = flat.astype(np.float32).astype(np.float64)
    exact = _row_digests(flat)
    return Rows(exact, exact if np.array_equal(flat, rounded) else _row_digests(rounded))


def _row_digests(rows: np.ndarray) -> UInt64[np.ndarray, "N"]:
    raw = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in rows)
    return np.frombuffer(raw, np.uint64)


def refuse_other_inputs(what: str, name: str, got: Rows | None, expected: Rows | None, of: str) -> None:
    """Refuse `what` (kernels, say) of other inputs than `of` holds under `name`.

    Raises:
        ValueError: naming how the inputs differ.
    """
    if got is None or expected is None:
        return
    kind = "test" if name == "x_test" else "training"
    if len(got.exact) != len(expected.exact):
        how = f"{len(got.exact)} rows against {len(expected.exact)}"
    else:
        other = got.differ_from(expected)
        if not other.any():
            return
        if got.has_rows_of(expected):
            how = "the same rows in another order"
        else:
            how = f"{int(other.sum())} of {len(other)} rows differ, the first is row {int(other.argmax())}"
    raise ValueError(f"{what} are of other {kind} inputs than {of}: {how}; compute them from {of}, in this order")
