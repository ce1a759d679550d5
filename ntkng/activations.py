"""Activations of `ntkng.stax` whose kernels are not those of neural-tangents, under its names (`N802`) and with its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ntkng import closed_forms
from ntkng._neural_tangents import stax as _stax
from ntkng.closed_forms import Triple
from ntkng.quadrature.activation import Activation
from ntkng.quadrature.layer import numerical
from ntkng.validation import positive_integer


def ElementwiseNumerical(
    fn: Callable[[Any], Any], deg: int | None = None, df: Callable[[Any], Any] | None = None
) -> Triple:
    """An activation without a closed form: its kernels `E[fn(u) fn(v)]`, `E[fn'(u) fn'(v)]` are integrated to stated accuracy.

    The relative accuracy is 1e-11 at standard deviations of `u` and `v` from 0 to 10 and at least 1e-9 up to 10^4, at every
    correlation, for smooth functions that change around 0, such as `jnp.tanh` and `jax.nn.softplus`. For each function
    it is measured before the first use. Where it is not reached, the kernel is refused with the accuracy that is:
    functions with kinks or jumps (use a layer with a closed form, or `Elementwise`), or larger inputs than the function allows.

    Args:
        fn: `phi`, a function of JAX arrays that acts entry by entry.
        deg: of neural-tangents' quadrature of fixed degree; accepted so that its calls work, and not used: the rule has as
            many points as it needs.
        df: `phi'`; by automatic differentiation if not given.

    Raises:
        TypeError: `fn` or `df` is not a function of JAX arrays.
        ValueError: `deg` is not positive, or `fn` does not act entry by entry; and, when a kernel is computed, an accuracy that
            is not reached, or a `df` that is not the derivative of `fn`.
    """
    if deg is not None:
        positive_integer("deg", deg)
    return numerical(Activation(fn, df))


def Polynomial(coef: Sequence[float] | np.ndarray) -> Triple:
    """`phi(u) = coef[0] + coef[1] u + coef[2] u^2 + ...`; its kernels are exact for every variance, that of a zero input too."""
    return closed_forms.polynomial(coef)


def Hermite(degree: int) -> Triple:
    """Hermite polynomial, of unit norm under a standard Gaussian; its kernels are those of the polynomial at every variance."""
    if isinstance(degree, bool) or not isinstance(degree, (int, np.integer)) or degree < 0:
        raise ValueError(f"degree of a Hermite polynomial must be an integer >= 0, got {degree!r}")
    return closed_forms.polynomial(closed_forms.hermite(int(degree)))


def Sin(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Triple:
    """`phi(u) = a sin(b u + c)`; its kernels keep their digits at small inputs."""
    return closed_forms.sine(a, b, c)


def Cos(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Triple:
    """`phi(u) = a cos(b u + c)`."""
    return Sin(a, b, c + math.pi / 2)


def Gabor() -> Triple:
    """`phi(u) = exp(-u^2) sin(u)`; its kernels keep their digits at small inputs."""
    return closed_forms.gabor()


def Gelu(approximate: bool = False) -> Triple:
    """`phi(u) = u P(Z < u)` for a standard Gaussian `Z`; `approximate` for the one with tanh, whose kernels are integrated."""
    return numerical(Activation(_gelu_with_tanh)) if approximate else _stax.Gelu()


def _gelu_with_tanh(u: Any) -> Any:
    return jax.nn.gelu(u, approximate=True)
