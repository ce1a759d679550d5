"""Kernels of joined branches: sums, products and concatenations of what is independent, or refused by name."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from ntkng.tape import KernelTape, current
from ntkng.terms import Inputs, Root, Sources, Term, trace

SEPARATE = "put stax.Dense or stax.Conv at the end of all branches but one"


def _sum(kernels: Sequence[Any], run: Callable[..., Any], _: dict[str, Any]) -> Any:
    """Kernels of independent terms are added, each with the square of its whole amplitude."""
    terms: dict[Hashable, Term] = {}
    for kernel in kernels:
        for term in kernel.sources.terms:
            own = kernel if term.kernel is None else term.kernel
            before = terms.get(term.key)
            amplitude = term.coefficient + (0.0 if before is None else before.coefficient)
            terms[term.key] = dataclasses.replace(term, coefficient=amplitude, kernel=own)
    found = tuple(terms.values())
    _require_width("FanInSum", kernels)
    _require_disjoint("FanInSum", [term.roots for term in found])
    if sum(not term.is_centred for term in found) > 1:
        raise ValueError(
            "stax.FanInSum got two branches that end in activations, whose means need not be zero, so that kernels do not add; "
            f"{SEPARATE}"
        )
    is_gaussian = all(kernel.is_gaussian for kernel in kernels)
    if len(found) < sum(len(kernel.sources.terms) for kernel in kernels):
        parts = [_scale(term.kernel, term.coefficient) for term in found]
    else:
        parts = kernels
    joined = run([part.replace(is_gaussian=True) for part in parts]).replace(is_gaussian=is_gaussian)
    obstacle = _first(kernel.sources.obstacle for kernel in kernels)
    return trace(joined, Sources(found, all(kernel.sources.is_iid for kernel in kernels), obstacle))


def _product(kernels: Sequence[Any], run: Callable[..., Any], _: dict[str, Any]) -> Any:
    """Kernels of independent factors are multiplied, where at most one has different channels."""
    sources = [kernel.sources for kernel in kernels]
    _require_width("FanInProd", kernels)
    _require_disjoint("FanInProd", [own.roots for own in sources])
    if sum(not own.is_iid for own in sources) > 1:
        raise ValueError(
            "stax.FanInProd got two branches whose channels differ in distribution (concatenations), so that the mean of the "
            f"products is not the product of the means; {SEPARATE}"
        )
    is_centred = any(own.is_centred for own in sources)
    term = Term(object(), frozenset().union(*(own.roots for own in sources)), is_centred)
    is_iid = all(own.is_iid for own in sources)
    return trace(run(list(kernels)), Sources((term,), is_iid, "stax.FanInProd"))


def _concatenation(kernels: Sequence[Any], run: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Along channels the kernel is the mean of the branches' kernels, whatever they share; positions must be independent."""
    sources = [kernel.sources for kernel in kernels]
    along_channels = arguments["axis"] % len(kernels[0].shape1) == kernels[0].channel_axis
    if not along_channels:
        _require_disjoint("FanInConcat", [own.roots for own in sources])
    term = Term(object(), frozenset().union(*(o.roots for o in sources)), all(o.is_centred for o in sources))
    obstacle = "stax.FanInConcat" if along_channels else _first(own.obstacle for own in sources)
    is_iid = not along_channels and all(own.is_iid for own in sources)
    return trace(run(list(kernels)), Sources((term,), is_iid, obstacle))


def _require_disjoint(name: str, roots: Sequence[frozenset[Root]]) -> None:
    if any(one & other for one, other in itertools.combinations(roots, 2)):
        raise ValueError(
            f"stax.{name} joins branches that are different functions of the same layer's outputs (or of the inputs), with no "
            f"parametrised layer in between: they are not independent, at any width; {SEPARATE}"
        )


def _require_width(name: str, kernels: Sequence[Any]) -> None:
    is_input = [any(isinstance(root, Inputs) for root in kernel.sources.roots) for kernel in kernels]
    if any(is_input) and not all(is_input):
        raise ValueError(
            f"stax.{name} joins the inputs, whose channels are few, with a layer: as wide as the inputs, it has no infinite "
            "width; put stax.Dense or stax.Conv into that branch"
        )


def _scale(kernel: Any, coefficient: float) -> Any:
    def times(part: Any) -> Any:
        return None if part is None else coefficient**2 * part

    scaled = kernel.replace(**{name: times(getattr(kernel, name)) for name in ("nngp", "ntk", "cov1", "cov2")})
    tape = current(KernelTape)
    if tape is not None and tape.noted(kernel.nngp) is not None:  # angles do not depend on the scale
        tape.note(scaled.nngp, tape.noted(kernel.nngp))
    return scaled


def _first(obstacles: Iterable[str | None]) -> str | None:
    return next((obstacle for obstacle in obstacles if obstacle is not None), None)


JOINS = {"FanInSum": _sum, "FanInProd": _product, "FanInConcat": _concatenation}
