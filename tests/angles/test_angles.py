"""Kernels between equal, nearly equal, collinear and opposite inputs, against recursions in fifty digits."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from angles import recursions

import ntkng
from ntkng import stax
from ntkng.angles.chord import Chord
from ntkng.angles.rectifiers import angle, gap_of_magnitudes

RNG = np.random.default_rng(0)


def awkward(shape, dtype=np.float64):
    """Inputs whose images are nearly parallel: a base, itself, scaled, opposite, and moved by 1e-2 to 1e-15; another, and 0."""
    base, other = RNG.normal(size=(2, *shape))
    moved = [base + distance * RNG.normal(size=shape) for distance in (1e-2, 1e-4, 1e-6, 1e-9, 1e-12, 1e-15)]
    scaled = [base, base, 3 * base, 1e-3 * base, -base, -0.7 * base, other, 0 * base]
    return np.array([*scaled, *moved]).astype(dtype)


def error(found, expected, x1, x2, sigma_b):
    """In units of the rounding error at the scale of both inputs."""
    norms = [np.square(x.astype(float)).reshape(len(x), -1).mean(1) + sigma_b**2 for x in (x1, x2)]
    scale = np.sqrt(np.outer(*norms)) * np.finfo(x1.dtype).eps
    difference = np.abs(np.asarray(found, np.float64) - expected)
    return np.max(np.where(difference == 0, 0, difference / np.where(scale > 0, scale, 1e-300)))


@pytest.mark.parametrize(
    ("inputs", "slopes", "sigma_b", "depth", "dtype"),
    [
        (1, (0, 1), 0.0, 3, np.float64),
        (3, (0.1, 1), 0.3, 4, np.float64),
        (40, (-1, 1), 0.0, 3, np.float32),
        pytest.param(3, (0, 1), 0.3, 3, np.float32, marks=pytest.mark.slow),
        pytest.param(40, (0, 1), 0.3, 10, np.float64, marks=pytest.mark.slow),
        pytest.param(3, (0.999, 1), 0.0, 3, np.float64, marks=pytest.mark.slow),
        pytest.param(3, (-2, 0.5), 0.1, 3, np.float64, marks=pytest.mark.slow),
    ],
)
def test_multilayer_perceptrons(inputs, slopes, sigma_b, depth, dtype):
    x = awkward((inputs,), dtype)
    network = ntkng.mlp(inputs, width=8, depth=depth, activation=stax.ABRelu(*slopes), sigma_b=sigma_b)
    kernels = ntkng.analytic(network, x[:6], x, dtype=dtype)
    nngp, ntk = recursions.mlp(x, x[:6], depth, slopes, 2**0.5, sigma_b)
    bound = (
        50 * depth * max(1, slopes[0] ** 2 + slopes[1] ** 2) ** (depth - 1)
    )  # layers, and what each one multiplies by
    assert error(kernels.nngp.cross, nngp, x, x[:6], sigma_b) < bound
    assert error(kernels.theta.cross, ntk, x, x[:6], sigma_b) < bound
    if dtype is np.float64 and not sigma_b and slopes == (0, 1):
        values = np.linalg.eigvalsh(ntkng.analytic(network, np.abs(x[:5])).theta.train)  # collinear: rank 1
        assert np.abs(values[:-1]).max() < 10 * np.finfo(float).eps * values[-1]


@pytest.mark.parametrize("sigma_b", [0.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_convolutions(sigma_b):
    """Filters see flat pieces of different brightness, which are collinear too."""
    x = awkward((4, 1))
    x[6] = [[2.0], [2.0], [-0.5], [-0.5]]
    conv = lambda: stax.Conv(4, (3,), padding="SAME", W_std=1.3, b_std=sigma_b or None)  # noqa: E731
    dense = lambda units: stax.Dense(units, W_std=1.3, b_std=sigma_b or None)  # noqa: E731
    layers = conv(), stax.Relu(), conv(), stax.Relu(), stax.Flatten(), dense(4), stax.Relu(), dense(1)
    kernels = ntkng.analytic(ntkng.Network(stax.serial(*layers), x.shape[1:]), x[:7], x)
    nngp, ntk = recursions.sequence_network(x, x[:7], 1.3, sigma_b)
    assert error(kernels.nngp.cross, nngp, x, x[:7], sigma_b) < 100
    assert error(kernels.theta.cross, ntk, x, x[:7], sigma_b) < 100


def test_residual_networks():
    """A skip around a block adds the kernels: of the block's recursion and of the linear map before it."""
    x = awkward((3,))
    dense = lambda: stax.Dense(8, W_std=2**0.5)  # noqa: E731
    block = stax.serial(
        stax.FanOut(2), stax.parallel(stax.Identity(), stax.serial(stax.Relu(), dense())), stax.FanInSum()
    )
    network = ntkng.Network(stax.serial(dense(), block, stax.Relu(), stax.Dense(1, W_std=2**0.5)), 3)
    kernels = ntkng.analytic(network, x[:6], x)

    def pair(u, v):
        weight = recursions.number(2**0.5) ** 2
        u, v = ([recursions.number(part) for part in w] for w in (u, v))
        q1, q2, k = (weight * mp.fdot(s, t) / 3 for s, t in ((u, u), (v, v), (u, v)))
        inner, slope = recursions.rectified(q1, q2, k, (0, 1))
        ntk = k + weight * (inner + slope * k)
        q1, q2, k = q1 + weight * q1 / 2, q2 + weight * q2 / 2, k + weight * inner
        inner, slope = recursions.rectified(q1, q2, k, (0, 1))
        return weight * inner, weight * (inner + slope * ntk)

    nngp, ntk = recursions.arrays(pair, x, x[:6])
    assert error(kernels.nngp.cross, nngp, x, x[:6], 0) < 100
    assert error(kernels.theta.cross, ntk, x, x[:6], 0) < 100


def test_equal_inputs_have_equal_entries():
    """Bitwise, on both sides, in the narrow and the wide form of the distances."""
    for size in (4, 40):
        x = RNG.normal(size=(6, size))
        x[5] = x[0]
        kernels = ntkng.analytic(ntkng.mlp(size, width=8, sigma_b=0.1), x, x)
        for gram in (kernels.theta, kernels.nngp):
            assert gram.train[0, 0] == gram.train[0, 5] == gram.train[5, 5]
            assert np.abs(gram.cross - gram.train).max() < 1e-15 * np.abs(gram.train).max()


def test_stated_bounds_hold_for_near_duplicates():
    """Predictions after one step are as accurate as `Conditioning.relative_error` says, whatever the distance."""
    network = ntkng.mlp(6, width=64, depth=3)
    x, test, y = RNG.normal(size=(6, 6)), RNG.normal(size=(3, 6)), np.array([1.0, -1, 1, -1, 1, -1])
    for distance in (1e-3, 1e-5, 1e-7):
        x[5] = x[0] + distance * RNG.normal(size=6)
        kernels = ntkng.analytic(network, x, test)
        problem = ntkng.Problem(network, x, y, test, np.zeros(3), allow_duplicates=True)
        found = np.asarray(ntkng.closed_form(problem, ntkng.Exact(), kernels, steps=1).test)[-1, :, 0]
        train, cross = (recursions.mlp(a, x, 3, (0, 1), 2**0.5, 0)[1] for a in (x, test))
        with mp.workdps(recursions.DIGITS):
            exact = [mp.matrix(exact_ntk(a, x)) for a in (x, test)]
            expected = np.array([float(v) for v in exact[1] * mp.lu_solve(exact[0], mp.matrix(y.tolist()))])
        assert np.abs(kernels.theta.train - train).max() < 1e-14
        assert np.abs(kernels.theta.cross - cross).max() < 1e-14
        bound = max(part.relative_error for part in ntkng.Exact().inspect(kernels))
        assert np.abs(found - expected).max() < 100 * bound * np.abs(expected).max()


def exact_ntk(x1, x2):
    """The NTK of three ReLU layers without biases, not rounded."""

    def entry(u, v):
        u, v = ([recursions.number(part) for part in w] for w in (u, v))
        weight = recursions.number(2**0.5) ** 2
        q1, q2, k = (weight * mp.fdot(s, t) / len(s) for s, t in ((u, u), (v, v), (u, v)))
        ntk = k
        for _ in range(2):
            inner, slope = recursions.rectified(q1, q2, k, (0, 1))
            k, q1, q2 = weight * inner, weight * q1 / 2, weight * q2 / 2
            ntk = weight * slope * ntk + k
        return ntk

    return [[entry(u, v) for v in x2] for u in x1]


def test_functions_of_the_chord():
    """Both polynomials to two units in the last place, and relative to their size at the smallest chords."""
    lengths = np.concatenate([np.linspace(0, 2**0.5, 400), np.logspace(-300, 0, 60)])
    with jax.enable_x64(True):
        chord = Chord(jnp.asarray(lengths))
        found = np.asarray(angle(chord)), np.asarray(gap_of_magnitudes(chord))
    with mp.workdps(700):
        angles = [2 * mp.asin(mp.mpf(float(w)) / 2) for w in lengths]
        gaps = [1 - 2 / mp.pi * (mp.sin(t) + (mp.pi / 2 - t) * mp.cos(t)) for t in angles]
        expected = [np.array([float(v) for v in values]) for values in (angles, gaps)]
    for got, right in zip(found, expected, strict=True):
        normal = right > 1e-300
        assert np.abs(got[normal] / right[normal] - 1).max() < 1e-15
        assert got[0] == 0


def test_signs_of_collinear_inputs():
    """After the sign, kernels of collinear inputs are 1 and -1, and the angle between near ones is not lost."""
    x = np.array([[1.0, 2.0], [3.0, 6.0], [-1.0, -2.0], [1.0, 2.0 + 1e-10]])
    kernels = ntkng.analytic(ntkng.Network(stax.serial(stax.Dense(8), stax.Sign(), stax.Dense(1)), 2), x)
    angles = np.array([0, 0, np.pi, 1e-10 / 5])
    assert np.abs(kernels.nngp.train[0] - (1 - 2 * angles / np.pi)).max() < 1e-15
