"""One line for objects that hold arrays: an array is its dtype and shape, `None` and empty fields are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from ntkng.precision import is_concrete

FEW = 4  # parts of a tuple or mapping that are still listed


def short_repr(self: Any) -> str:
    """To be a dataclass's `__repr__`: `Name(field=value, ..)`."""
    fields = [(f.name, getattr(self, f.name, None)) for f in dataclasses.fields(self) if f.repr]
    shown = [f"{name}={short(value)}" for name, value in fields if not _is_empty(value)]
    return f"{type(self).__name__}({', '.join(shown)})"


def short(value: Any) -> str:
    """`value` in a few words."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return repr(value) if shape == () and is_concrete(value) else f"{dtype}{list(shape)}"
    if isinstance(value, Mapping):
        if len(value) > FEW:
            return f"{len(value)} entries"
        return "{" + ", ".join(f"{key!r}: {short(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields") and not hasattr(value, "recipe"):
        leaves = jax.tree.leaves(value)
        if leaves and all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves):
            return f"{len(leaves)} arrays"
        if len(value) > FEW and any(not isinstance(part, (int, float, str)) for part in value):
            return f"{len(value)} x {type(value[0]).__name__}"
        inner = ", ".join(short(part) for part in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    return repr(value)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (Mapping, list, tuple)) and len(value) == 0)
