"""Forster's transform depends on directions only, keeps its tolerance, and names subspaces that exist."""

import re

import numpy as np
import pytest

from ntkng.forster import forster


def off(z):
    """`|Z^T Z / N - I/d| / |I/d|`."""
    return np.linalg.norm(z.T @ z / len(z) - np.eye(z.shape[1]) / z.shape[1]) * np.sqrt(z.shape[1])


@pytest.mark.parametrize("decades", [6, 12, 150])
@pytest.mark.parametrize("seed", range(3))
def test_lengths_do_not_matter(seed, decades):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 3))
    lengths = 10 ** rng.uniform(-decades, decades, size=(12, 1))
    transform = forster(lengths * x)
    z = transform(lengths * x)
    assert off(z) < 1.1e-12
    np.testing.assert_allclose(z, transform(x), atol=1e-13)
    np.testing.assert_allclose(z @ z.T, forster(x)(x) @ forster(x)(x).T, atol=1e-10)  # unique up to a rotation


def test_near_subspaces_are_none():
    """14 of 20 inputs within 1e-10 of a plane that may hold fewer than 10: a position exists."""
    rng = np.random.default_rng(0)
    for distance in (1e-3, 1e-6, 1e-10):
        x = np.r_[rng.normal(size=(14, 4)) * [1, 1, distance, distance], rng.normal(size=(6, 4))]
        assert off(forster(x)(x)) < 1.1e-12


def test_a_tolerance_that_rounding_does_not_allow_is_refused_with_the_number_reached():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 4)) * [1, 1, 1e-3, 1e-9] @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    with pytest.raises(ValueError, match=r"to 1e-12: reached \de-\d\d in|to 1e-12: reached \d.\de-\d\d in") as caught:
        forster(x)
    reached = float(re.search(r"reached (\S+) in", str(caught.value)).group(1))
    assert 1e-12 < reached < 1e-6
    assert off(forster(x, tolerance=1e-6)(x)) < 1e-6


@pytest.mark.parametrize(("inside", "outside"), [(18, 2), (11, 9), (16, 4)])
def test_the_advice_works(inside, outside):
    rng = np.random.default_rng(inside)
    x = rng.normal(size=(inside + outside, 4))
    x[:inside, 2:] = 0
    order = rng.permutation(len(x))
    x = x[order] @ rng.normal(size=(4, 4))
    with pytest.raises(
        ValueError, match=rf"{inside} of the 20 inputs lie in a subspace of dimension d' = 2 of"
    ) as caught:
        forster(x)
    named = list(map(int, re.search(r"such as \[([\d, ]+)\]", str(caught.value)).group(1).split(",")))
    number = int(re.search(r"remove (?:the )?(\d+) ", str(caught.value)).group(1))
    assert number == len(named)
    rest = np.delete(x, named, axis=0)
    assert off(forster(rest)(rest)) < 1.1e-12


def test_degenerate_inputs():
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(5, 1)), rng.normal(size=(5, 5)), rng.normal(size=(3, 7)), rng.normal(size=(1, 4))):
        assert off(forster(x)(x)) < 1e-12
    pairs = rng.normal(size=(6, 3))
    x = np.r_[pairs, -pairs, pairs]
    assert off(forster(x)(x)) < 1e-12
    with pytest.raises(ValueError, match="5 of the 11 inputs lie in a subspace of dimension d' = 1"):
        forster(np.r_[np.ones((5, 3)) * rng.normal(size=(5, 1)), rng.normal(size=(6, 3))])
    with pytest.raises(ValueError, match="input 1 is 0"):
        forster(pairs)(np.array([[1.0, 0, 0], [0, 0, 0]]))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    flat = forster(pairs @ np.diag([1.0, 1, 0]) @ turn)
    assert flat.dimension == 2
    with pytest.raises(ValueError, match="no direction"):
        flat(turn[2:])  # inside the span is only rounding
