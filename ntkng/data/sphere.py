"""Inputs on a sphere: all of one norm, as the isotropic theory likes them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from ntkng.validation import positive, real_array

Radius = float | Literal["sqrt"]


def on_sphere(inputs: Float[np.ndarray, "N *input"], radius: Radius = "sqrt") -> Float[np.ndarray, "N *input"]:
    """`radius * x / |x|`, with the norm over all entries of an input.

    Args:
        inputs: none of them 0.
        radius: `"sqrt"` is `sqrt(d)`, `d` entries an input, so that a pre-activation `sigma_w w.x / sqrt(d)` of the NTK
            parametrisation has variance `sigma_w^2`; `1.0` is the unit sphere.

    Raises:
        ValueError: an input that is 0, or a radius that is not positive.
    """
    array = real_array("inputs", inputs).astype(float)
    flat = array.reshape(len(array), -1)
    norms = np.linalg.norm(flat, axis=1)
    if (norms == 0).any():
        raise ValueError(f"input {int(norms.argmin())} is 0 and has no direction; remove it, or pass radius=None")
    if radius != "sqrt":
        positive("radius", radius)
    length = np.sqrt(flat.shape[1]) if radius == "sqrt" else float(radius)
    return (flat * (length / norms)[:, None]).reshape(array.shape)
