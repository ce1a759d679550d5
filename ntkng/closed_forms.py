r"""Closed forms of activations where those of neural-tangents lose digits or assume inputs of variance 1.

Polynomials: `phi(u) = sum_k c_k u^k` is a sum of Hermite polynomials, and these are orthogonal (Mehler's formula), so that no
division is needed and zero inputs have a kernel:

    E[phi(u) phi(v)] = sum_l l! b_l(q11) b_l(q22) q12^l,    b_l(q) = sum_i c_{l + 2 i} (l + 2 i)! / (2^i i! l!) q^i.

Sine and Gabor function: differences of exponentials that are nearly equal at small inputs are hyperbolic functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkng._neural_tangents import stax as _stax

Triple = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]  # of neural-tangents


def polynomial(coefficients: Sequence[float] | np.ndarray) -> Triple:
    """`c_0 + c_1 u + ...`.

    Raises:
        ValueError: coefficients that are not a list of finite numbers.
    """
    c = np.asarray(coefficients, float)
    if c.ndim != 1 or c.size == 0 or not np.isfinite(c).all():
        raise ValueError(
            f"coefficients of a polynomial must be a list of finite numbers, got {coefficients!r}; constant first"
        )

    def function(u: Array) -> Array:
        return jnp.polyval(jnp.asarray(c[::-1], u.dtype), u)

    slope = c[1:] * np.arange(1, len(c))
    return _stax.Elementwise(function, _moment(c), _moment(slope if len(slope) else np.zeros(1)))


def hermite(degree: int) -> np.ndarray:
    """Coefficients of the Hermite polynomial of unit norm under a standard Gaussian."""
    return np.polynomial.hermite_e.herme2poly([0.0] * degree + [1.0]) / math.factorial(degree) ** 0.5


def sine(a: float, b: float, c: float) -> Triple:
    """`a sin(b u + c)`: `E[phi phi] = a^2 e^(-t) (sin(c)^2 cosh(x) + cos(c)^2 sinh(x))`, `x = b^2 q12`, `t = b^2 (q11 + q22) / 2`."""
    constant, odd = np.sin(c) ** 2, np.cos(c) ** 2

    def function(u: Array) -> Array:
        return a * jnp.sin(b * u + c)

    def damped(covariance: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """`e^(-t) cosh(x)` and `e^(-t) sinh(x)` without overflow."""
        x = b**2 * covariance
        size = jnp.abs(x)
        decay = jnp.exp(size - b**2 * (first + second) / 2)
        return decay * (1 + jnp.exp(-2 * size)) / 2, -decay * jnp.expm1(-2 * size) * jnp.sign(x) / 2

    def value(*arguments: Array) -> Array:
        cosh, sinh = damped(*arguments)
        return a**2 * (constant * cosh + odd * sinh)

    def slope(*arguments: Array) -> Array:
        cosh, sinh = damped(*arguments)
        return (a * b) ** 2 * (odd * cosh + constant * sinh)

    return _stax.Elementwise(function, value, slope)


def gabor() -> Triple:
    """`exp(-u^2) sin(u)`: the formulas of neural-tangents with `e^x - 1` in one piece."""

    def function(u: Array) -> Array:
        return jnp.exp(-(u**2)) * jnp.sin(u)

    def parts(covariance: Array, first: Array, second: Array) -> tuple[Array, ...]:
        spread, total = 4 * (first * second - covariance**2), first + second
        scale = 2 * total + spread + 1
        return spread, total, scale, jnp.exp(-(total + spread + 2 * covariance) / (2 * scale)), 2 * covariance / scale

    def value(*arguments: Array) -> Array:
        _, _, scale, left, x = parts(*arguments)
        return left * jnp.expm1(x) / (2 * jnp.sqrt(scale))

    def slope(covariance: Array, first: Array, second: Array) -> Array:
        spread, total, scale, left, x = parts(covariance, first, second)
        shared = 1 + 2 * total + 4 * (covariance**2 + first * second)
        difference = 4 * covariance * (spread + 3 * total + 2)
        return left * (shared - difference + jnp.exp(x) * (shared + difference)) / (2 * scale**2.5)

    return _stax.Elementwise(function, value, slope)


def _moment(c: np.ndarray) -> Callable[[Array, Array, Array], Array]:
    # with factors of 1 / sqrt(l!), which keeps b_l of high degrees in range
    factors = [
        [
            c[k] * math.factorial(k) / (2 ** ((k - l) // 2) * math.factorial((k - l) // 2) * math.factorial(l) ** 0.5)
            for k in range(l, len(c), 2)
        ][::-1]
        for l in range(len(c))
    ]

    def moment(covariance: Array, first: Array, second: Array) -> Array:
        total = jnp.zeros_like(covariance)
        for row in reversed(factors):  # Horner's rule in the covariance
            b = [jnp.polyval(jnp.asarray(row, variance.dtype), variance) for variance in (first, second)]
            total = total * covariance + b[0] * b[1]
        return total

    return moment
