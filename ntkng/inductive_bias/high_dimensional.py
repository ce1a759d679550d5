"""Test error of natural gradient flow on Gaussian inputs with fewer samples than dimensions.

For `N < d` the flow from zero tends to the direction of `X^+ y`, the least-norm interpolation of the labels. With
`x ~ N(0, I_d)`, `y = sign(w*.x)` and `|w*| = 1`, write `y = a w*.x + noise`, `a = E[y w*.x] = sqrt(2/pi)`, the noise
uncorrelated with `x` and of variance `1 - a^2`. In the limit `N, d -> infinity` at `gamma = N/d < 1`, `X^+ X` keeps the
fraction `gamma` of `w*`, so `w*.X^+ y = a gamma` and `|X^+ y|^2 = a^2 gamma + (1 - a^2) gamma / (1 - gamma)`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.direction import angle
from ntkng.validation import real_array

__all__ = ["SIGN_ALIGNMENT", "direction_error", "interpolation_cosine", "interpolation_error"]

SIGN_ALIGNMENT = float(np.sqrt(2 / np.pi))


def interpolation_cosine(
    gamma: Float[np.ndarray, "*T"] | float, alignment: float = SIGN_ALIGNMENT
) -> Float[np.ndarray, "*T"]:
    """`cos = a sqrt(gamma) / sqrt(a^2 + (1 - a^2)/(1 - gamma))` between `X^+ y` and `w*`.

    Args:
        gamma: `N/d`, in (0, 1).
        alignment: `a = E[y w*.x]`; the default is that of noiseless labels `sign(w*.x)`.

    Raises:
        ValueError: `gamma` is not in (0, 1), or `alignment` not in (0, 1].
    """
    gamma = real_array("gamma", gamma).astype(np.float64)
    if gamma.min() <= 0 or gamma.max() >= 1:
        raise ValueError(f"gamma = N/d must lie in (0, 1), got [{gamma.min():.4g}, {gamma.max():.4g}]")
    if not 0 < alignment <= 1:
        raise ValueError(f"alignment must lie in (0, 1], got {alignment}")
    a2 = alignment**2
    return alignment * np.sqrt(gamma) / np.sqrt(a2 + (1 - a2) / (1 - gamma))


def interpolation_error(
    gamma: Float[np.ndarray, "*T"] | float, alignment: float = SIGN_ALIGNMENT
) -> Float[np.ndarray, "*T"]:
    """Probability `arccos(cos)/pi` that `sign(w.x)` differs from `sign(w*.x)`; it rises to 1/2 as `gamma -> 1`."""
    return np.arccos(interpolation_cosine(gamma, alignment)) / np.pi


def direction_error(w: Float[np.ndarray, " d"], w_star: Float[np.ndarray, " d"]) -> float:
    """Test error of `sign(w.x)` against `sign(w*.x)` for isotropic Gaussian inputs: their angle over pi.

    Raises:
        ValueError: a vector is 0 or not finite.
    """
    return float(np.radians(angle(w, w_star)) / np.pi)
