"""Layer kernels at infinite width: their sum is neural-tangents' NTK, for every graph; tiles, memory, precision, factors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from architectures.registry import ARCHITECTURES, network

from ntkng import stax
from ntkng._neural_tangents import stax as plain
from ntkng.kernels import analytic
from ntkng.kernels.analytic import _tile, tile_side
from ntkng.layers.affine_gram import kronecker_gram
from ntkng.network import Network

SAMPLES, TESTS = 5, 2
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def inputs(net, samples=SAMPLES):
    return np.random.default_rng(samples).normal(size=(samples, *net.input_shape))


def theirs(layer, x1, x2=None):
    return np.asarray(
        jax.jit(lambda x1, x2: layer[2](x1, x2, "ntk"))(jnp.asarray(x1), None if x2 is None else jnp.asarray(x2))
    )


def agree_off_diagonal(found, expected, tolerance=1e-10, on_diagonal=1e-7):
    """Relative, above the diagonal, and symmetric to the last bit. neural-tangents' ReLU kernels carry 1e-8 on the diagonal
    (see `ntkng.angles`), and its kernels by quadrature are not symmetric."""
    difference, scale = np.abs(np.asarray(found) - expected), np.abs(expected).max()
    assert np.array_equal(found, found.T)
    assert np.diagonal(difference).max() < on_diagonal * scale
    assert np.triu(difference, 1).max() < tolerance * scale


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sum_over_layers_is_the_ntk(name):
    net = network(name)
    x = inputs(net)
    layer = ARCHITECTURES[name].build(plain, ARCHITECTURES[name].width, 2)
    found = analytic(net, x, rows=3)  # two rows of tiles: diagonal ones, one above, its mirror image below
    assert len(found.layers) == net.depth
    agree_off_diagonal(found.theta.train, theirs(layer, x))
    for part in found.layers:
        assert np.array_equal(part.theta.train, part.theta.train.T)
        assert np.linalg.eigvalsh(part.theta.train)[0] > -1e-10 * np.abs(part.theta.train).max()


@pytest.mark.parametrize("name", ["relu_mlp", "product", "pooled_cnn", "attention"])
def test_cross_kernels(name):
    net = network(name)
    x, x_test = inputs(net), inputs(net, TESTS)
    layer = ARCHITECTURES[name].build(plain, ARCHITECTURES[name].width, 2)
    expected = theirs(layer, x_test, x)
    for rows in (None, 2):
        found = analytic(net, x, x_test, rows=rows).theta.cross
        assert np.abs(found - expected).max() < 1e-10 * np.abs(expected).max()


ACTIVATIONS = {
    "ABRelu": lambda s: s.ABRelu(0.3, 1.2),
    "Abs": lambda s: s.Abs(),
    "Cos": lambda s: s.Cos(0.9, 1.1, 0.2),
    "Elementwise": lambda s: s.Elementwise(jnp.sin, _sine_nngp),
    "ElementwiseNumerical": lambda s: s.ElementwiseNumerical(jax.nn.softplus, deg=60),
    "Erf": lambda s: s.Erf(),
    "Exp": lambda s: s.Exp(0.7, 0.5),
    "Gabor": lambda s: s.Gabor(),
    "Gaussian": lambda s: s.Gaussian(),
    "Gelu": lambda s: s.Gelu(),
    # neural-tangents' own Hermite layer is right for inputs of variance 1 only
    "Hermite": lambda s: s.Hermite(3) if s is stax else s.Polynomial(np.array([0, -3, 0, 1]) / 6**0.5),
    "Identity": lambda s: s.Identity(),
    "LeakyRelu": lambda s: s.LeakyRelu(0.2),
    "Monomial": lambda s: s.Monomial(3),
    "Polynomial": lambda s: s.Polynomial([0.2, 1.0, 0.3]),
    "Rbf": lambda s: s.Rbf(0.8),
    "Relu": lambda s: s.Relu(),
    "Sigmoid_like": lambda s: s.Sigmoid_like(),
    "Sign": lambda s: s.Sign(),
    "Sin": lambda s: s.Sin(1.1, 0.8, 0.1),
}


def _sine_nngp(cov12, var1, var2):
    """`E[sin u sin v]` for centred Gaussians."""
    return jnp.exp(-(var1 + var2) / 2) * jnp.sinh(cov12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    def build(s):
        # a bounded scale in front: polynomial activations grow fast
        return s.serial(
            s.Dense(1, W_std=1.2, b_std=0.1),
            ACTIVATIONS[name](s),
            s.Dense(1, b_std=0.2),
            ACTIVATIONS[name](s),
            s.Dense(1),
        )

    net = Network(build(stax), 4)
    x = 0.7 * inputs(net)
    expected = theirs(build(plain), x)
    found = analytic(net, x)
    # the kernel of the sign is an arccosine: a rounding error in the cosine becomes its square root, twice
    agree_off_diagonal(found.theta.train, expected, on_diagonal=1e-3 if name == "Sign" else 1e-7)
    if name == "Sign":  # no gradient passes: only the last layer learns
        assert all(np.abs(layer.theta.train).max() == 0 for layer in found.layers[:-1])


@pytest.mark.parametrize(("name", "reason"), [("ExpNormalized", "no function"), ("RectifiedMonomial", "NaN")])
def test_activations_that_are_refused(name, reason):
    with pytest.raises(ValueError, match=rf"stax\.{name} is not supported.*{reason}"):
        getattr(stax, name)()


def test_exact_diagonal():
    """neural-tangents is off by 1e-8 where relu's cosine is 1; here the recursion in closed form is met."""
    net = Network(
        stax.serial(stax.Dense(1, W_std=2**0.5), stax.Relu(), stax.Dense(1, W_std=2**0.5), stax.Relu(), stax.Dense(1)),
        4,
    )
    x = inputs(net)
    variance = 2 * (x**2).mean(axis=1)  # of u_1 and u_2 with sigma_w^2 = 2; the output has sigma_w = 1
    expected = [variance / 2, variance / 2, variance / 2]  # A_l times B_l on the diagonal, B = (1/2, 1/2, 1)
    for rows in (None, 2):
        found = analytic(net, x, rows=rows)
        for layer, diagonal in zip(found.layers, expected, strict=True):
            assert np.abs(np.diagonal(layer.theta.train) - diagonal).max() < 1e-14


@pytest.mark.parametrize("name", ["relu_mlp", "pooled_cnn"])
def test_tiles_of_any_size(name):
    net = network(name)
    x, x_test = inputs(net), inputs(net, TESTS)
    whole = analytic(net, x, x_test, test_covariance=True)
    for rows in (1, 3, 4, 7):
        tiled = analytic(net, x, x_test, rows=rows, test_covariance=True)
        for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(tiled), strict=True):
            assert np.abs(one - other).max() < 1e-13 * np.abs(one).max()


@pytest.mark.parametrize("name", ["relu_mlp", "residual_mlp", "flat_cnn", "pooled_cnn", "attention"])
def test_memory_bound(name):
    """What the compiled program needs beside its results stays below the bound from which its tile was chosen."""
    net = network(name)
    memory = 2**24
    side = tile_side(net, jnp.asarray(inputs(net)), False, memory)
    tile = jax.ShapeDtypeStruct((side, *net.input_shape), jnp.float64)
    compiled = jax.jit(_tile, static_argnums=0).lower((net, False), tile, tile, None).compile()
    used = compiled.memory_analysis().temp_size_in_bytes
    assert used < memory
    assert used > memory / 30, "the estimate wastes memory"


def test_float32():
    net = network("pooled_cnn")
    x = inputs(net)
    exact, single = analytic(net, x).theta.train, analytic(net, x, dtype=jnp.float32).theta.train
    assert single.dtype == np.float32
    assert np.abs(exact - single).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["pooled_cnn", "flat_cnn", "channels_first_cnn", "sequence_cnn", "positionwise"])
def test_factors_give_the_layer_kernels(name):
    """`Theta_l = sum over pairs of positions of A_l o B_l`, whatever order neural-tangents keeps the spatial axes in."""
    net = network(name)
    x, x_test = inputs(net, 3), inputs(net, TESTS)
    found, plain_ = analytic(net, x, x_test, factors=True), analytic(net, x, x_test)
    for layer, other in zip(found.layers, plain_.layers, strict=True):
        for part in ("train", "cross"):
            theta = getattr(layer.theta, part)
            inner, backward = getattr(layer.inner, part), getattr(layer.backward, part)
            assert np.abs(kronecker_gram(inner, backward, layer.positions) - theta).max() < 1e-13 * np.abs(theta).max()
            assert np.abs(getattr(other.theta, part) - theta).max() < 1e-13 * np.abs(theta).max()
        assert (other.inner is None) == (layer.positions > 1)
