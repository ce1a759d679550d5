r"""Kernels of activations that are linear on both sides of 0, and of the sign, from the chord of the directions.

With `alpha = (a + b) / 2` and `beta = (b - a) / 2` the activation `a min(u, 0) + b max(u, 0)` is `alpha u + beta |u|`, whose
two parts are uncorrelated. With the angle `t` in `[0, pi/2]` between the images up to sign, the chord `w` and `m = 1 - cos t = w^2 / 2`,

    1 - c_abs = m - (2/pi) (sin t - t cos t) = m (1 - (2/pi) w H(m)),
    V' = (alpha^2 V + beta^2 (1 - c_abs)) / (alpha^2 + beta^2),          U' = (alpha^2 U + beta^2 (1 + c_abs)) / (...),
    k' = alpha^2 k + beta^2 r1 r2 c_abs,
    E[phi' phi'] = alpha^2 +- beta^2 (1 - (2/pi) t),                     t = w A(m),

with the sign of `k` (Cho and Saul 2009; Tsuchida et al. 2018). `A` and `H` are analytic, and polynomials to rounding: one
square root and no inverse trigonometric function for each pair of inputs, with full relative accuracy down to equal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.angles.chord import Chord, chord_of, once, outer, radii, root
from ntkng.tape import KernelTape

# nearly best approximations on [0, 1], lowest power first, errors 4e-18 and 5e-18 (mpmath.chebyfit in 60 digits)
ANGLE = (
    1.0, 0.08333333333333481, 0.018749999999804007, 0.005580357153149729, 0.0018988712426045871, 0.0006991347866401814,
    0.0002710829738618468, 0.00010952478156304421, 4.2692769784813946e-05, 2.9476162165201884e-05, -2.5699535695643385e-05,
    8.83581357866731e-05, -0.00016213955816771024, 0.0002443364393224066, -0.00027684276140276827, 0.00023706559370590235,
    -0.00014754729306870457, 6.351458381230858e-05, -1.693274189783836e-05, 2.14847428871298e-06,
)  # fmt: skip
EXCESS = (
    0.6666666666666666, 0.03333333333333518, 0.005357142856945132, 0.0012400793734617026, 0.00034524918186605683,
    0.00010756098189085667, 3.612909384711097e-05, 1.29747920180504e-05, 4.127190406410808e-06, 3.864895807483328e-06,
    -4.322445194999168e-06, 9.570360687931413e-06, -1.2691799683750602e-05, 1.309501572332394e-05, -9.53047077747511e-06,
    4.783614960760998e-06, -1.4682471875212583e-06, 2.1679177460567544e-07,
)  # fmt: skip


def angle(chord: Chord) -> Float[Array, "..."]:
    """`arccos(|c|)`."""
    return chord.length * _polynomial(ANGLE, chord.gap)


def gap_of_magnitudes(chord: Chord) -> Float[Array, "..."]:
    """`1 - c` of `|u|` and `|v|`, uncentred, for Gaussian `u` and `v`."""
    return chord.gap * (1 - 2 / np.pi * chord.length * _polynomial(EXCESS, chord.gap))


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


def rectified(slopes: tuple[float, float], tape: KernelTape, kernel: Any, plain: Callable[..., Any]) -> Any:
    """Kernels after `a min(u, 0) + b max(u, 0)`, where `slopes = (a, b)`."""
    even, odd = ((slopes[0] + slopes[1]) / 2) ** 2, ((slopes[1] - slopes[0]) / 2) ** 2
    if even + odd == 0:
        return plain(kernel)
    outgoing = plain(kernel.replace(ntk=None))  # its variances, and its refusals
    chord, norms = chord_of(tape, kernel), radii(kernel)

    def compute() -> tuple[Array, Chord, Array]:
        near, far = chord.sides(kernel.nngp)
        magnitudes = gap_of_magnitudes(chord)
        nngp = even * kernel.nngp + odd * (outer(norms, kernel.diagonal_spatial) * (1 - magnitudes))
        near, far = (
            (even * near + odd * magnitudes) / (even + odd),
            (even * far + odd * (2 - magnitudes)) / (even + odd),
        )
        # a zero input is orthogonal to all others, so that the derivative at the kink is the mean of both slopes
        slope = even + odd * jnp.sign(kernel.nngp) * (1 - 2 / np.pi * angle(chord))
        return nngp, Chord.of(near, None if chord.is_positive or odd >= even else far), slope

    nngp, chord, slope = once(compute, norms[0])
    tape.note(nngp, chord)
    return outgoing.replace(nngp=nngp, ntk=None if kernel.ntk is None else kernel.ntk * slope)


def sign(_: Any, tape: KernelTape, kernel: Any, plain: Callable[..., Any]) -> Any:
    """Kernels after the sign: `c' = +- (1 - 2 t / pi)`, and no derivative."""
    outgoing = plain(kernel)
    chord = chord_of(tape, kernel)
    gap = 2 / np.pi * angle(chord)
    nngp = jnp.sign(kernel.nngp) * (1 - gap)
    tape.note(nngp, Chord(root(2 * gap), chord.is_positive))
    return outgoing.replace(nngp=nngp)
