"""The problems and approximations that the figures of Karakida and Osawa (2020) share."""

from __future__ import annotations

import dataclasses
import functools

import jax

import ntkng
from ntkng.data import Split, gaussian_teacher, load
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, Fisher
from ntkng.kernels import Kernels, analytic
from ntkng.network import Network, Parameters
from ntkng.precision import in_float64
from ntkng.problem import Problem

SOURCE = "Karakida and Osawa 2020"
APPROXIMATIONS: tuple[Fisher, ...] = (Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC())
TEST_SAMPLES = 200
DIGITS = (3, 8)
PIXEL = 16  # largest value of a pixel, which `load` brings to 1
PROBLEMS = ("synthetic", "digits", "raw digits")


@functools.cache
def split(name: str, samples: int, seed: int) -> Split:
    """Training and test data by name.

    Args:
        name: `"synthetic"`: Gaussian inputs of 784 dimensions with a half linear, half quadratic teacher; `"digits"`: 3
            against 8, the mean image of all digits subtracted; `"raw digits"`: the pixels from 0 to 16 as they are, so
            that the input Gram `A_0` has a condition number of about 1e5 at N = 40 (K-FAC inverts it). The inputs of the
            others have norm `sqrt(M_0)`.
        samples: N; undamped K-FAC without bias needs N <= 40 or so on the digits.
        seed: of the draw.
    """
    if name == "synthetic":
        return gaussian_teacher(samples, TEST_SAMPLES, seed=seed)
    if name not in PROBLEMS:
        raise ValueError(f"unknown problem {name!r}; choose from {PROBLEMS}")
    data = load("digits")
    if name == "raw digits":
        data = dataclasses.replace(data, inputs=PIXEL * data.inputs)
        return data.split(samples, TEST_SAMPLES, classes=DIGITS, seed=seed, radius=None)
    return data.centred().split(samples, TEST_SAMPLES, classes=DIGITS, seed=seed)


@functools.cache
def network(inputs: int, width: int, depth: int) -> Network:
    """A relu network without biases; cached, because each new `Network` is compiled anew."""
    return ntkng.mlp(inputs, width=width, depth=depth)


@functools.cache
def problem(name: str, width: int, *, depth: int = 3, samples: int = 40, seed: int = 0) -> Problem:
    """The network on the data."""
    data = split(name, samples, seed)
    return Problem(network(data.x.shape[1], width, depth), *data)


@functools.cache
def kernels(name: str, *, depth: int = 3, samples: int = 40, seed: int = 0) -> Kernels:
    """Infinite-width kernels of `problem(...)`, which do not depend on its width."""
    limit = problem(name, 1, depth=depth, samples=samples, seed=seed)
    return analytic(limit.network, limit.x, limit.x_test)


@in_float64
def draw(network: Network, seed: int) -> Parameters:
    """Random parameters, in float64."""
    return network.init(jax.random.key(seed))
