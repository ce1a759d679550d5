"""Activations without a closed form: their kernels are right at every input, or refused with the accuracy that is reached."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax
from ntkng.kernels.streaming import factorise
from ntkng.quadrature import layer
from ntkng.quadrature.activation import Activation
from ntkng.quadrature.moments import covariances, variances
from ntkng.quadrature.trust import trust

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def tanh():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ntkng.mlp(2, width=4, depth=2, activation="tanh", sigma_w=1.0)


def test_large_opposite_equal_and_zero_inputs(tanh):
    """The diagonal of the NTK `E[tanh^2] + q E[tanh'^2]` by a fine sum; `-x` is an odd image, `0` has the kernel 0."""
    x = np.array([[-20.0, 10.0], [20.0, -10.0], [30.0, 15.0], [0.0, 0.0], [1e-3, 0.0], [0.5, 1.0]])
    kernels = ntkng.analytic(tanh, x)
    z = np.linspace(-10, 10, 200001)
    weight = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    variance = (x**2).mean(axis=1)
    u = np.sqrt(variance)[:, None] * z
    slope = (weight / np.cosh(np.clip(u, -99, 99)) ** 4).sum(1)
    truth = (weight * np.tanh(u) ** 2).sum(1) + variance * slope
    assert np.allclose(np.diag(kernels.theta.train), truth, rtol=1e-11, atol=0)
    assert np.allclose(kernels.theta.train[1], -kernels.theta.train[0], rtol=1e-11, atol=1e-15)
    assert np.linalg.eigvalsh(kernels.theta.train)[0] > -1e-13 * truth.max()
    single = ntkng.analytic(tanh, x, dtype=jnp.float32).theta.train
    assert single.dtype == jnp.float32
    assert np.abs(single - kernels.theta.train).max() < 3e-5 * truth.max()


@pytest.fixture
def formulas(monkeypatch):
    """In place of the integrals those of `u^2`: what is tested is what happens around them."""

    def squares(activation, grids, orders, left, right, covariance):
        product = left[..., :, None] * (left if right is None else right)[..., None, :]
        return jnp.stack([product + 2 * covariance**2 if order == (0, 0) else 4 * covariance for order in orders])

    monkeypatch.setattr(layer, "covariances", squares)
    monkeypatch.setattr(layer, "variances", lambda activation, grids, orders, variance: 3 * variance**2)


@pytest.mark.usefixtures("formulas")
def test_inputs_beyond_the_range_are_refused_everywhere():
    """By name, size and accuracy: in compiled programs too, among test inputs, in streamed kernels."""
    network = ntkng.mlp(3, width=4, depth=2, activation="tanh", sigma_w=1.0)
    x = np.array([[1.0, 2.0, 0.0], [1e6, 1e6, 1e6]])
    message = r"kernel of tanh .* 1e-09 .* up to 10000 and .* beyond; got 1e\+06"
    for call in (
        lambda: ntkng.analytic(network, x),
        lambda: ntkng.analytic(network, x, rows=1),
        lambda: ntkng.analytic(network, x[:1], x),
        lambda: ntkng.analytic(network, x, dtype=jnp.float32),
        lambda: network.layer.kernel_fn(jnp.asarray(x), None, "ntk"),
        lambda: factorise("Theta", network, x, _theta, None, 2, lambda items, _: items),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_kernels_that_overflow_are_refused():
    network = ntkng.mlp(2, width=4, depth=2, activation=stax.Exp())
    with pytest.raises(ValueError, match=r"kernel at input 1 is inf, expected a finite number.* overflows"):
        ntkng.analytic(network, np.array([[1.0, 2.0], [300.0, 1.0]]))


def _theta(layers, _):
    return sum(layer[0] for layer in layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (lambda u: jnp.maximum(u, 0),),
            r"accuracy is \de-0\d for input standard deviations up to 1, expected 1e-11.*stax\.Relu",
        ),
        ((jax.nn.softmax,), "softmax mixes entries"),
        ((jnp.sin, None, jnp.sin), "df is not the derivative of sin: got -0.9463 at -1.9, expected -0.32329"),
    ],
)
def test_functions_that_cannot_be_integrated_are_refused(arguments, message):
    network = ntkng.mlp(2, width=4, depth=2, activation=stax.ElementwiseNumerical(*arguments))
    with pytest.raises(ValueError, match=message):
        ntkng.analytic(network, np.ones((2, 2)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("tanh",), TypeError, "fn must be a function, got 'tanh'"),
        ((jnp.tanh, 25, 1.0), TypeError, "df must be a function, got 1.0"),
        ((np.exp,), TypeError, "fn must map JAX arrays entry by entry, got .*Error.*jax.numpy in place of numpy"),
        ((lambda u: u[None],), ValueError, r"got shape \(1, 2, 3\) for inputs of shape \(2, 3\)"),
        ((jnp.tanh, 0), ValueError, "deg must be >= 1, got 0"),
    ],
)
def test_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        stax.ElementwiseNumerical(*arguments)


@pytest.mark.usefixtures("formulas")
@pytest.mark.parametrize("options", [{}, {"diagonal_spatial": False}, {"diagonal_batch": False}])
def test_positions(options):
    """The same arrays as a closed form, for every layout of a kernel over samples and positions."""
    x = jnp.asarray(RNG.normal(size=(2, 3, 2, 1)), jnp.float32)
    last = stax.GlobalAvgPool() if options else stax.Flatten()

    def kernels(activation):
        network = stax.serial(stax.Conv(1, (2, 1), padding="SAME", b_std=0.3), activation, last)
        return jax.jit(lambda x: network.kernel_fn(x, x[:1] * 2, ("nngp", "ntk", "cov1", "cov2"), **options))(x)

    for found, expected in zip(kernels(stax.ElementwiseNumerical(jnp.tanh)), kernels(stax.Monomial(2)), strict=True):
        assert np.allclose(found, expected, rtol=1e-5)


def test_derivatives_by_covariances():
    """`E[u^2 v^2] = q11 q22 + 2 q12^2`, `E[u^4] = 3 q^2`, and the derivatives of these to second order."""
    square = Activation(lambda u: u**2, lambda u: 2 * u)
    with jax.enable_x64(True):
        tables = trust(Activation(jnp.tanh)).tables[jnp.dtype(jnp.float64)]

        def moment(q):
            single = variances(square, tables, (0, 0), q[0])
            return covariances(square, tables, ((0, 0),), q[:1], q[1:2], q[2:].reshape(1, 1))[0, 0, 0], single

        q = jnp.array([1.2, 0.7, 0.4])
        slopes, value = jax.jit(jax.jacfwd(lambda q: (moment(q), moment(q)), has_aux=True))(q)
        assert np.allclose(value, (1.2 * 0.7 + 2 * 0.4**2, 3 * 1.2**2), rtol=1e-12)
        assert np.allclose(slopes, ([0.7, 1.2, 4 * 0.4], [6 * 1.2, 0, 0]), rtol=1e-12)
