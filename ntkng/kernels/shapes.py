"""Whether the Grams of `Kernels` belong together: checked by the constructor, on shapes and types only, so while tracing too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ntkng.validation import positive_integer


def check_grams(layers: Sequence[Any], nngp: Any, samples: int, outputs: int) -> tuple[int, int]:
    """N and C of layer kernels that fit together.

    Args:
        layers: of type `LayerKernels`.
        nngp: covariance of the outputs, or `None`.
        samples: N; 0 takes the side of the Grams where there is one output.
        outputs: C.

    Raises:
        TypeError: Grams that are no floating-point arrays, sizes that are no integers.
        ValueError: shapes that do not fit, with the layer's name.
    """
    if len(layers) == 0:
        raise ValueError("Kernels need at least one layer, got none")
    outputs = positive_integer("outputs", outputs)
    train = getattr(layers[0].theta, "train", None)
    if samples and len(getattr(train, "shape", ())) > 2:  # of several networks at once, as `vmap` gives them
        return positive_integer("samples", samples), outputs
    size, tests = _shape(_of("theta", layers, 0), layers[0].theta)
    if samples == 0:
        if outputs > 1:
            raise ValueError(
                f"Grams of side {size} for {outputs} outputs may be of {size} independent ones or not; pass samples=N too"
            )
        samples = size
    samples = positive_integer("samples", samples)
    if size not in (samples, samples * outputs):
        raise ValueError(
            f"theta has side {size}, expected N = {samples} or N C = {samples * outputs}; pass samples and outputs of it"
        )
    for index, layer in enumerate(layers):
        sides = {"theta": size, "inner": samples * layer.positions, "backward": size * layer.positions}
        for what, side in sides.items():
            gram = getattr(layer, what)
            if gram is not None:
                _require(_of(what, layers, index), gram, side, tests if what == "theta" else None)
    if nngp is not None:
        _require("nngp", nngp, size if jnp.shape(nngp.train)[:1] == (size,) else samples, None)
    return samples, outputs


def _require(name: str, gram: Any, side: int, tests: int | None) -> None:
    """Refuse a Gram of other sizes; `tests` rows of its cross part, -1 for no such part, `None` for any."""
    found, rows = _shape(name, gram)
    if found != side:
        raise ValueError(f"{name} has side {found}, expected {side}; compute all Grams on the same inputs")
    if tests is not None and rows != tests:
        raise ValueError(
            f"{name} has {_rows(rows)}, the first layer has {_rows(tests)}; pass them for all layers or none"
        )


def _shape(name: str, gram: Any) -> tuple[int, int]:
    """Side of the train part, and rows of the cross part, or -1."""
    if not hasattr(gram, "train") or not hasattr(gram, "cross"):
        raise TypeError(f"{name} must be a Gram, got {type(gram).__name__}; pass Gram(G(x, x), G(x', x))")
    for part, array in (("train", gram.train), ("cross", gram.cross)):
        if array is None and part == "cross":
            continue
        shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
        if shape is None or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{name}.{part} must be an array of floats, got {type(array).__name__} of dtype {dtype}; "
                "convert it with np.asarray(..., float)"
            )
        if len(shape) != 2 or shape[1] != gram.train.shape[0] or 0 in shape[1:]:
            kind = "[n, n]" if part == "train" else f"[n', {gram.train.shape[0]}]"
            raise ValueError(f"{name}.{part} must have shape {kind}, got {list(shape)}; pass G(x, x) and G(x', x)")
    return gram.train.shape[0], -1 if gram.cross is None else gram.cross.shape[0]


def _rows(number: int) -> str:
    return "no cross part" if number < 0 else f"{number} rows of its cross part"


def _of(what: str, layers: Sequence[Any], index: int) -> str:
    return f"{what} of layer {layers[index].name or index + 1}"
