r"""Chords behind layers that add independent parts (see `ntkng.angles.chord`)."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ntkng.angles.chord import Both, Chord, chord_of, half_square, of_both, outer, radii, reciprocal, root
from ntkng.angles.filters import Filter
from ntkng.tape import KernelTape

Arguments = Mapping[str, Any]
Plain = Callable[..., Any]


def _mixed(
    outgoing: Any, parts: Both, sides: Any, is_positive: bool, add: Callable[[Any], Array], bias: float = 0.0
) -> Chord:
    """Chord between images that consist of parts.

    Args:
        outgoing: their kernel.
        parts: norms `[n1, *positions, F]` and `[n2, *positions, F]` of the parts, at one scale, the bias aside.
        sides: `V` and `U` of the parts, as `add` takes them.
        is_positive: of the incoming chords.
        add: `sum_j r1_j r2_j V_j` for the outgoing pairs, given `V` (or `U`), at the same scale.
        bias: a part of all images, `V = 0`.
    """
    diagonal, scales = outgoing.diagonal_spatial, of_both(reciprocal, radii(outgoing))
    if bias:
        parts = of_both(lambda p: jnp.concatenate([p, jnp.full((*p.shape[:-1], 1), bias, p.dtype)], axis=-1), parts)
    difference = half_square(parts[0] * scales[0][..., None], parts[1] * scales[1][..., None], diagonal)
    scale = outer(scales, diagonal)
    near = difference + scale * add(sides[0])
    far = None if is_positive else difference + scale * (add(sides[1]) + 2 * bias**2)
    return Chord.of(near, far)


def dense(arguments: Arguments, tape: KernelTape, kernel: Any, plain: Plain) -> Any:
    """Weights and a bias."""
    outgoing, chord = plain(kernel), chord_of(tape, kernel)
    bias = arguments["b_std"] or 0.0
    if bias:
        norms = of_both(lambda r: arguments["W_std"] * r, radii(kernel))
        product = outer(norms, kernel.diagonal_spatial)
        parts = of_both(lambda r: r[..., None], norms)
        chord = _mixed(outgoing, parts, chord.sides(kernel.nngp), chord.is_positive, lambda side: product * side, bias)
    tape.note(outgoing.nngp, chord)
    return outgoing


def unchanged(_: Arguments, tape: KernelTape, kernel: Any, plain: Plain) -> Any:
    """A layer that gives every image another length alone."""
    outgoing = plain(kernel)
    tape.note(outgoing.nngp, chord_of(tape, kernel))
    return outgoing


def selected(_: Arguments, tape: KernelTape, kernel: Any, plain: Plain) -> Any:
    """A layer that picks images."""
    outgoing, chord = plain(kernel), chord_of(tape, kernel)
    length = plain(kernel.replace(nngp=chord.length, ntk=None)).nngp
    tape.note(outgoing.nngp, Chord(length, chord.is_positive))
    return outgoing


def convolution(arguments: Arguments, tape: KernelTape, kernel: Any, plain: Plain) -> Any:
    """Positions under a filter, and a bias; the kernels too, by sums that are safe (see `ntkng.angles.filters`)."""
    weight, bias, window = arguments["W_std"] ** 2, arguments["b_std"] or 0.0, Filter(arguments, kernel)

    def affine(covariance: Any, batch: int) -> Any:
        return None if covariance is None else weight * window.average(covariance, batch) + bias**2

    nngp, ntk = affine(kernel.nngp, 2), None
    if kernel.ntk is not None:
        own = nngp
        if arguments["parameterization"].lower() == "standard":
            inputs = window.channels * window.size / arguments["s"][0]
            own = inputs * window.average(kernel.nngp, 2) + (arguments["b_std"] is not None)
        ntk = own + weight * window.average(kernel.ntk, 2)
    # neural-tangents' own maps add what is known besides; nothing of their arrays is computed
    outgoing = plain(kernel).replace(nngp=nngp, ntk=ntk, cov1=affine(kernel.cov1, 1), cov2=affine(kernel.cov2, 1))
    outgoing = outgoing.transpose(window.reorder)

    chord, norms = chord_of(tape, kernel), of_both(lambda r: arguments["W_std"] * r, radii(kernel))
    product = outer(norms, kernel.diagonal_spatial)

    def add(side: Array) -> Array:
        return outgoing.replace(nngp=window.average(product * side, 2), ntk=None).transpose(window.reorder).nngp

    parts = of_both(lambda r: window.patches(r) / window.size**0.5, norms)
    sides = chord.sides(kernel.nngp)
    tape.note(outgoing.nngp, _mixed(outgoing, parts, sides, chord.is_positive, add, bias))
    return outgoing


def flattened(_: Arguments, tape: KernelTape, kernel: Any, plain: Plain) -> Any:
    """All positions of an image as its parts."""
    outgoing, chord = plain(kernel), chord_of(tape, kernel)
    parts = of_both(lambda r: r.reshape(len(r), -1) / math.sqrt(math.prod(r.shape[1:])), radii(kernel))
    product = outer(radii(kernel), kernel.diagonal_spatial)

    def add(side: Array) -> Array:
        return plain(kernel.replace(nngp=product * side, ntk=None)).nngp

    sides = chord.sides(kernel.nngp)
    tape.note(outgoing.nngp, _mixed(outgoing, parts, sides, chord.is_positive, add))
    return outgoing


def summed(_: Arguments, tape: KernelTape, kernels: Sequence[Any], plain: Plain) -> Any:
    """Independent branches."""
    return _fan_in(tape, kernels, plain, [1.0] * len(kernels))


def concatenated(arguments: Arguments, tape: KernelTape, kernels: Sequence[Any], plain: Plain) -> Any:
    """Independent branches, each with its share of the channels."""
    axis, first = arguments["axis"], kernels[0]
    if axis % len(first.shape1) != first.channel_axis:
        return plain(kernels)
    widths = [kernel.shape1[axis] for kernel in kernels]
    if len(set(widths)) == 1:
        widths = [1] * len(widths)
    return _fan_in(tape, kernels, plain, [math.sqrt(width / sum(widths)) for width in widths])


def _fan_in(tape: KernelTape, kernels: Sequence[Any], plain: Plain, weights: Sequence[float]) -> Any:
    outgoing = plain(kernels)
    chords = [chord_of(tape, kernel) for kernel in kernels]
    turned = [k if k.is_reversed == outgoing.is_reversed else k.reverse() for k in kernels]
    lengths = [
        chord.length if new is old else old.replace(nngp=chord.length, ntk=None).reverse().nngp
        for chord, old, new in zip(chords, kernels, turned, strict=True)
    ]
    chords = [Chord(length, chord.is_positive) for length, chord in zip(lengths, chords, strict=True)]
    norms = [radii(kernel) for kernel in turned]
    norms = [(w * pair[0], w * pair[1]) for w, pair in zip(weights, norms, strict=True)]
    first, second = zip(*norms, strict=True)
    parts = jnp.stack(first, axis=-1), jnp.stack(second, axis=-1)
    sides = list(zip(*(chord.sides(kernel.nngp) for chord, kernel in zip(chords, turned, strict=True)), strict=True))

    def add(branches: Any) -> Array:
        terms = [outer(pair, outgoing.diagonal_spatial) * v for pair, v in zip(norms, branches, strict=True)]
        return functools.reduce(operator.add, terms)

    is_positive = all(chord.is_positive for chord in chords)
    tape.note(outgoing.nngp, _mixed(outgoing, parts, sides, is_positive, add))
    return outgoing


def multiplied(_: Arguments, tape: KernelTape, kernels: Sequence[Any], plain: Plain) -> Any:
    """Products of branches: `c' = c_1 c_2 ...`."""
    outgoing = plain(kernels)
    if len({kernel.is_reversed for kernel in kernels}) > 1:
        return outgoing
    chords = [chord_of(tape, kernel) for kernel in kernels]
    gap = chords[0].gap
    for chord in chords[1:]:
        gap = gap + chord.gap * (1 - gap)
    tape.note(outgoing.nngp, Chord(root(2 * gap), all(chord.is_positive for chord in chords)))
    return outgoing
