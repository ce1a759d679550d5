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

import jax.numpy as jnp

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

    `diagonal` is the column of the first row's own sample when rows and columns are the same inputs, else `None`:
    there the NNGP kernel is set to the variance that neural-tangents carries along, raised by a few units in the last
    place. Otherwise rounding makes `sqrt(1 - cos^2)` of the ReLU kernels 1e-8 instead of 0 on the diagonal (raised,
    because a fused multiply-add leaves a positive remainder even of equal factors; below 0 it is clipped to 0).
    """

    perturbations: Sequence[Any] | None = None
    diagonal: Any = None
    tags: list[Tag] = dataclasses.field(default_factory=list)
    own: list[Any] = dataclasses.field(default_factory=list)
    incoming: list[Any] = dataclasses.field(default_factory=list)
    reversed_: list[bool] = dataclasses.field(default_factory=list)

    def visit(self, tag: Tag, incoming: Any, own: Any, outgoing: Any) -> Any:
        """Record a layer; returns its outgoing kernel with the NTK perturbed."""
        index = len(self.own)
        self.tags.append(tag)
        self.own.append(own)
        self.incoming.append(incoming.nngp)
        self.reversed_.append(outgoing.is_reversed)
        if self.diagonal is not None and outgoing.diagonal_batch:
            outgoing = outgoing.replace(nngp=self._with_own_variance(outgoing))
        if self.perturbations is None:
            return outgoing
        return outgoing.replace(ntk=outgoing.ntk + self.perturbations[index])

    def _with_own_variance(self, kernel: Any) -> Any:
        n1, n2 = kernel.nngp.shape[:2]
        is_own = (
            jnp.arange(n1)[:, None] + self.diagonal == jnp.arange(n2)[None]
        )  # a mask, which fuses, rather than a scatter
        variance = kernel.cov1 * (1 + 8 * jnp.finfo(kernel.cov1.dtype).eps)
        spatial = (1,) * (kernel.nngp.ndim - 2)
        return jnp.where(is_own.reshape(n1, n2, *spatial), variance[:, None], kernel.nngp)


@dataclasses.dataclass
class Marker:
    """Stands for one layer's parameters in the pytree that `init` returns."""

    index: int
    tag: Tag
    parameters: Any


@dataclasses.dataclass
class StructureTape:
    """Replaces every layer's parameters by a `Marker`, in order of execution."""

    markers: list[Marker] = dataclasses.field(default_factory=list)

    def mark(self, tag: Tag, parameters: Any) -> Marker:
        """A marker with the next index."""
        marker = Marker(len(self.markers), tag, parameters)
        self.markers.append(marker)
        return marker


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
