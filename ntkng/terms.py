"""What is known of one tensor in the infinite-width limit: which layers' outputs it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import jax

from ntkng._neural_tangents import Kernel


class Root:
    """Outputs of one parametrised layer; told apart by identity."""


class Inputs(Root):
    """The network's inputs, whose number of channels is fixed."""


@dataclasses.dataclass(frozen=True)
class Term:
    """`coefficient` times a tensor.

    Attributes:
        key: equal for equal tensors.
        roots: what the tensor is a function of; terms without a common root are independent.
        is_centred: whether its mean over the weights is zero.
        coefficient: its amplitude in the sum.
        kernel: of the tensor without the coefficient; `None` where the term is the whole tensor at hand.
    """

    key: Hashable
    roots: frozenset[Root]
    is_centred: bool
    coefficient: float = 1.0
    kernel: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class Sources:
    """What is known of one tensor.

    Attributes:
        terms: their sum is the tensor.
        is_iid: whether channels are identically distributed (those of inputs and concatenations are not).
        obstacle: the first layer that leaves channels which are not independent Gaussians of one kernel, also at a finite
            number of channels, as that of outputs is; `None` where there is none.
    """

    terms: tuple[Term, ...]
    is_iid: bool
    obstacle: str | None

    @property
    def roots(self) -> frozenset[Root]:
        """Those of all terms."""
        return frozenset().union(*(term.roots for term in self.terms))

    @property
    def is_centred(self) -> bool:
        """Whether the mean is zero."""
        return all(term.is_centred for term in self.terms)


# a kernel that knows its sources; a subclass, so that neural-tangents' own `replace` keeps it
Traced = dataclasses.make_dataclass("Traced", [("sources", Any, None)], bases=(Kernel,), frozen=True)
_FIELDS = [field.name for field in dataclasses.fields(Kernel)]
_META = {field.name for field in dataclasses.fields(Kernel) if not field.metadata.get("pytree_node", True)} | {
    "sources"
}
jax.tree_util.register_dataclass(Traced, [name for name in _FIELDS if name not in _META], sorted(_META))


def trace(kernel: Any, sources: Sources) -> Any:
    """`kernel` with these sources."""
    return Traced(**{name: getattr(kernel, name) for name in _FIELDS}, sources=sources)


def of_inputs() -> Sources:
    """Those of the network's inputs."""
    return Sources((Term(object(), frozenset([Inputs()]), False),), False, "a path without parametrised layers")
