r"""Each `Theta_l` against the mean over random finite networks, for every architecture.

Measured per network and layer are relative errors of the Gram in the direction of the infinite-width one: of every row on
training inputs, of the whole Gram between test and training inputs, and of the block between different outputs, which must
vanish. Their expectations are `O(1/M)`; means at two widths are extrapolated to infinite width and tested against 0 by t tests.

The false-alarm rate of the whole registry is `FALSE_ALARM`: Bonferroni over architectures, layers and quantities. The number
of networks follows from it: a pilot gives the variances, and as many networks are drawn, from other keys, as an error of 5 %
(10 % in the fast tests) in any one layer needs to be seen with probability `POWER`.
"""

import functools
import math

import jax
import numpy as np
import pytest
from architectures.registry import ARCHITECTURES
from architectures.registry import network as build

from ntkng.kernels import analytic
from ntkng.testing import sample_kernels
from ntkng.testing.decision import detectable_effect, required_seeds
from ntkng.testing.fit import limit

FALSE_ALARM, POWER, EFFECT, FAST_EFFECT = 0.01, 0.95, 0.05, 0.1
SAMPLES, TESTS, OUTPUTS = 3, 2, 2
WIDTHS, BATCH = (32, 64), 256  # twice as many networks at half the width: the same variance
FAST = ("positionwise",)
CASES = [pytest.param(name, EFFECT, marks=pytest.mark.slow) for name in ARCHITECTURES]
CASES += [pytest.param(name, FAST_EFFECT) for name in FAST]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@functools.cache  # a new network is compiled anew
def network(name, width):
    return build(name, width, OUTPUTS)


def inputs(net):
    """Test inputs close to training inputs, so that no kernel between them is near 0."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(SAMPLES, *net.input_shape))
    return x, x[:TESTS] + 0.5 * rng.normal(size=(TESTS, *net.input_shape))


def errors(name, batches, key):
    """`{width: [networks, layers, quantities]}`; the kernels of the standard parametrisation depend on the width."""
    found = {}
    for width, count in zip(WIDTHS, (2 * batches, batches), strict=True):
        net = network(name, width)
        x, x_test = inputs(net)
        expected, parts = analytic(net, x, x_test), []
        for batch in range(count):
            measured = sample_kernels(net, x, x_test, seeds=BATCH, key=10_000 * key + batch)
            layers = zip(measured.layers, expected.layers, strict=True)
            parts.append(np.stack([layer_errors(*pair) for pair in layers], axis=1))
        found[width] = np.concatenate(parts)
    return found


def layer_errors(measured, expected):
    train, cross = (np.asarray(getattr(expected.theta, part)) for part in ("train", "cross"))
    parts = []
    for gram, rows, found in (
        (train, np.arange(SAMPLES), measured.theta.train),
        (cross, np.zeros(TESTS, int), measured.theta.cross),
    ):
        blocks = np.asarray(found).reshape(len(found), len(gram), OUTPUTS, SAMPLES, OUTPUTS)
        by_row = np.zeros((rows[-1] + 1, len(gram)))
        by_row[rows, np.arange(len(gram))] = 1
        squares = OUTPUTS * by_row @ (gram**2).sum(axis=1)
        equal = np.einsum("smcnc,mn->sm", blocks, gram) @ by_row.T / squares
        every = np.einsum("smcnd,mn->sm", blocks, gram) @ by_row.T / squares
        parts += [equal - 1, every - equal]
    return np.concatenate(parts, axis=1)


def flat(samples):
    return {width: part.reshape(len(part), -1) for width, part in samples.items()}


def coefficients(samples):
    return limit(flat(samples), (1.0,))


def rejected(samples, scale=None):
    """Layers whose error is significant; `scale` multiplies the theory's `Theta_l` of one layer."""
    layers, quantities = samples[WIDTHS[0]].shape[1:]
    if scale is not None:
        factor, layer = scale
        samples = {width: part.copy() for width, part in samples.items()}
        equal = np.r_[0:SAMPLES, 2 * SAMPLES]  # the blocks between different outputs vanish whatever the scale
        for part in samples.values():
            part[:, layer, equal] = (1 + part[:, layer, equal]) / factor - 1
    family = len(ARCHITECTURES) * layers * quantities
    p_values = coefficients(samples).p_values().reshape(layers, quantities)
    return set(np.flatnonzero((p_values < FALSE_ALARM / family).any(axis=1)))


def needed(name, effect):
    """Batches of networks at the largest width, from a pilot, and the rates of the test."""
    pilot = errors(name, 1, key=0)
    layers, quantities = pilot[WIDTHS[0]].shape[1:]
    rates = {"family": len(ARCHITECTURES) * layers * quantities, "false_alarm": FALSE_ALARM, "power": POWER}
    # an error of +5 % in the theory makes a relative error of 5 / 1.05 %; a fifth more for what the pilot does not know
    return math.ceil(1.2 * required_seeds(BATCH, coefficients(pilot), effect / 1.05, **rates) / BATCH), rates


@pytest.mark.parametrize(("name", "effect"), CASES)
def test_layer_kernels_are_means_of_finite_networks(name, effect):
    batches, rates = needed(name, effect)
    samples = errors(name, batches, key=1)
    found = coefficients(samples)
    assert detectable_effect(found, **rates).max() < effect, "the pilot misjudged the variances"
    assert not rejected(samples), found
    for layer in range(samples[WIDTHS[0]].shape[1]):  # the test has power: any one layer off by 5 % is seen
        for factor in (1 + effect, 1 - effect):
            assert rejected(samples, (factor, layer)) == {layer}
