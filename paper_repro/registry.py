"""Finds the papers: every module of this package that defines `PAPER`."""

from __future__ import annotations

import importlib
import pkgutil

import paper_repro
from paper_repro.paper import Paper


def papers() -> dict[str, Paper]:
    """All papers by key, in alphabetical order of their modules."""
    found: dict[str, Paper] = {}
    for info in sorted(pkgutil.iter_modules(paper_repro.__path__), key=lambda info: info.name):
        if info.name.startswith("_"):
            continue
        paper = getattr(importlib.import_module(f"paper_repro.{info.name}"), "PAPER", None)
        if not isinstance(paper, Paper):
            continue
        if paper.key in found:
            raise ValueError(f"two papers have the key {paper.key!r}; give paper_repro/{info.name}.py another one")
        found[paper.key] = paper
    return found


def paper(key: str) -> Paper:
    """The paper with this key; `ValueError` with the known keys otherwise."""
    found = papers()
    if key not in found:
        raise ValueError(f"unknown paper {key!r}; choose from {sorted(found)}")
    return found[key]
