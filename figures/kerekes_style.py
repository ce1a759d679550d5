"""Colours and line styles of the architectures in the figures on natural gradient flow."""

from __future__ import annotations

from figures.style import PALETTE

ARCHITECTURES = {
    "depth 1": {"color": PALETTE[0], "ls": "-"},
    "depth 2": {"color": PALETTE[1], "ls": "-"},
    "depth 3": {"color": PALETTE[2], "ls": "-"},
    "diagonal, depth 2": {"color": PALETTE[3], "ls": "--"},
    "diagonal, depth 3": {"color": PALETTE[4], "ls": "--"},
}
NATURAL = {"color": "black", "ls": "-"}
