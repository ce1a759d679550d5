r"""One tape, two limits: what a parametrised layer records while a network is evaluated.

Every parametrised layer of `ntkng.stax` asks whether a tape is running. If so, it records its input and adds a zero
perturbation `e_l` to its output:

- finite width (`FiniteTape`): the perturbation is of the layer's output `u_l`, so that one reverse pass by all `e_l`
  gives every backward signal `delta_l = df / du_l`, for any graph of layers;
- infinite width (`KernelTape`): every kernel map of neural-tangents is affine in the incoming NTK, and the
  perturbation is of the outgoing NTK, so that one reverse pass of `sum Theta` by all `e_l` gives every backward Gram
  `B_l`, for any graph of layers.

A third tape, `StructureTape`, finds each layer's parameters in the pytree that `init` returns.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

_TAPE: contextvars.ContextVar[Any] = contextvars.ContextVar("ntkng_tape", default=None)


@dataclasses.dataclass(frozen=True, eq=False)
class Tag:
    """A parametrised layer as it was constructed.

    Attributes:
        kind: name of the constructor, such as `"Dense"`.
        arguments: its bound arguments.
        apply_fn: the untagged finite-width map `(parameters, inputs) -> outputs`.
    """

    kind: str
    arguments: Mapping[str, Any]
    apply_fn: Callable[..., Any]


@dataclasses.dataclass
class FiniteTape:
    """Records `(tag, parameters, input)` of every layer in order of execution."""

    perturbations: Sequence[Any] | None = None
    records: list[tuple[Tag, Any, Any]] = dataclasses.field(default_factory=list)
    output_shapes: list[Any] = dataclasses.field(default_factory=list)
    output_layer: int | None = None
    _last: Any = None

    def visit(self, tag: Tag, parameters: Any, inputs: Any, outputs: Any) -> Any:
        """Record a layer; returns its perturbed output."""
        index = len(self.records)
        self.records.append((tag, parameters, inputs))
        self.output_shapes.append(outputs.shape)
        self._last = outputs if self.perturbations is None else outputs + self.perturbations[index]
        return self._last

    def finish(self, outputs: Any) -> None:
        """Note whether the network's outputs are those of the last layer, untouched."""
        self.output_layer = len(self.records) - 1 if outputs is self._last else None


@dataclasses.dataclass
class KernelTape:
    """Records `(tag, own NTK term, outgoing spatial order)` of every layer in order of execution.

    `diagonal` is the column of the first row's own sample when rows and columns are the same inputs, else `None`.
    `same` says which inputs are equal. Beside the kernels the tape keeps how far the images are from parallel (see
    `ntkng.angles`); a kernel is known again by its array, which every layer that changes it replaces.
    """

    perturbations: Sequence[Any] | None = None
    diagonal: Any = None
    tags: list[Tag] = dataclasses.field(default_factory=list)
    own: list[Any] = dataclasses.field(default_factory=list)
    incoming: list[Any] = dataclasses.field(default_factory=list)
    reversed_: list[bool] = dataclasses.field(default_factory=list)
    same: Any = None
    _chords: dict[int, tuple[Any, Any]] = dataclasses.field(default_factory=dict)

    def note(self, nngp: Any, chord: Any) -> None:
        """Keep what belongs to this kernel."""
        self._chords[id(nngp)] = nngp, chord  # with the array, so that no later one has its number

    def noted(self, nngp: Any) -> Any:
        """What was kept, or `None`."""
        return self._chords.get(id(nngp), (None, None))[1]

    def visit(self, tag: Tag, incoming: Any, own: Any, outgoing: Any) -> Any:
        """Record a layer; returns its outgoing kernel with the NTK perturbed."""
        index = len(self.own)
        self.tags.append(tag)
        self.own.append(own)
        self.incoming.append(incoming.nngp)
        self.reversed_.append(outgoing.is_reversed)
        if self.perturbations is None:
            return outgoing
        return outgoing.replace(ntk=outgoing.ntk + self.perturbations[index])


@dataclasses.dataclass
class Marker:
    """Stands for one layer's parameters (their shapes) in the pytree that `init` returns."""

    index: int
    tag: Tag
    parameters: Any


@dataclasses.dataclass
class StructureTape:
    """Replaces every layer's parameters by a `Marker`, in order of execution."""

    markers: list[Marker] = dataclasses.field(default_factory=list)

    def mark(self, tag: Tag, parameters: Any) -> Marker:
        """A marker with the next index; it keeps shapes only, as no tracer may outlive the evaluation."""
        marker = Marker(len(self.markers), tag, shapes(parameters))
        self.markers.append(marker)
        return marker


def shapes(parameters: Any) -> Any:
    """Shapes in place of arrays; markers stay."""

    def shape(leaf: Any) -> Any:
        return leaf if isinstance(leaf, Marker) else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)

    return jax.tree.map(shape, parameters, is_leaf=lambda leaf: isinstance(leaf, Marker))


def current(kind: type) -> Any:
    """The running tape if it is of this kind, else `None`."""
    tape = _TAPE.get()
    return tape if isinstance(tape, kind) else None


@contextlib.contextmanager
def running(tape: Any) -> Iterator[Any]:
    """Run `tape` for the time of a `with` block; tapes do not leak between threads or nested evaluations."""
    token = _TAPE.set(tape)
    try:
        yield tape
    finally:
        _TAPE.reset(token)
