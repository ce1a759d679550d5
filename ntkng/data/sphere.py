"""Inputs on a sphere: all of one norm, as the isotropic theory likes them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ntkng.validation import positive, real_array

Radius = float | Literal["sqrt"]


def on_sphere(
    inputs: Float[np.ndarray, "N *input"], radius: Radius = "sqrt", *, names: Int[np.ndarray, "N"] | None = None
) -> Float[np.ndarray, "N *input"]:
    """`radius * x / |x|`, with the norm over all entries of an input.

    Args:
        inputs: none of them 0.
        radius: `"sqrt"` is `sqrt(d)`, `d` entries an input, so that a pre-activation `sigma_w w.x / sqrt(d)` of the NTK
            parametrisation has variance `sigma_w^2`; `1.0` is the unit sphere.
        names: the inputs' row numbers in the user's own data, for errors; `None` counts from 0.

    Raises:
        ValueError: an input that is 0, or a radius that is not positive.
    """
    array = real_array("inputs", inputs).astype(float)
    flat = array.reshape(len(array), -1)
    largest = np.abs(flat).max(axis=1)
    if (largest == 0).any():
        zero = int(largest.argmin())
        row = zero if names is None else int(names[zero])
        raise ValueError(f"input {row} is 0 and has no direction; remove it, or pass radius=None")
    if isinstance(radius, str) and radius != "sqrt":
        raise ValueError(f"radius must be 'sqrt' or a number > 0, got {radius!r}")
    if radius != "sqrt":
        positive("radius", radius)
    length = np.sqrt(flat.shape[1]) if radius == "sqrt" else float(radius)
    flat = flat / largest[:, None]  # squares neither overflow nor underflow
    return (flat * (length / np.linalg.norm(flat, axis=1))[:, None]).reshape(array.shape)
