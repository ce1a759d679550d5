"""Kernels of other inputs, of other test inputs or of another network are refused by name; the same data in another form are not."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax
from ntkng.displacement import displacement
from ntkng.origin import Origin
from ntkng.testing import assert_kernels_match

RNG = np.random.default_rng(0)
X, TEST, Y = RNG.normal(size=(4, 5)), RNG.normal(size=(2, 5)), RNG.normal(size=(4, 2))
ROOT = 2**0.5


def network(**changes):
    return ntkng.mlp(5, 2, **{"width": 16, "depth": 2, **changes})


PROBLEM = ntkng.Problem(network(), X, Y, TEST)


def run(kernels, problem=PROBLEM, fisher=None, entry=ntkng.closed_form):
    return entry(problem, ntkng.Exact(0.1) if fisher is None else fisher, kernels, step_size=0.1, steps=1)


def of(x=X, x_test=TEST, net=PROBLEM.network, **options):
    return ntkng.analytic(net, x, x_test, **options)


def one_row(x):
    x = x.copy()
    x[1, 2] += 1e-9
    return x


@pytest.mark.parametrize("entry", [ntkng.closed_form, ntkng.iterate, ntkng.ensemble])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[::-1]}, r"other training inputs than problem\.x: the same rows in another order"),
        ({"x": 255 * X}, "4 of 4 rows differ, the first is row 0"),
        ({"x": one_row(X)}, "1 of 4 rows differ, the first is row 1"),
        ({"x_test": TEST[::-1]}, r"other test inputs than problem\.x_test: the same rows in another order"),
        ({"net": network(activation="erf")}, r"another network than problem\.network: part 2 is Erf\(\) against Relu"),
    ],
)
def test_kernels_of_something_else(entry, changes, message):
    with pytest.raises(ValueError, match=message):
        run(of(**changes, test_covariance=True), entry=entry)


def test_cross_entropy_flow_and_transformed_inputs():
    transform = ntkng.forster(X)
    problem = ntkng.Problem(
        ntkng.mlp(transform.dimension, 1, width=16, depth=2), transform(X), [0, 1, 1, 0], loss="logistic"
    )
    straight = ntkng.Problem(ntkng.mlp(5, 1, width=16, depth=2), X, [0, 1, 1, 0], loss="logistic")
    with pytest.raises(ValueError, match="rows differ"):
        ntkng.cross_entropy_flow(problem, ntkng.Exact(), of(X[:, :4], None, problem.network), times=[1.0])
    with pytest.raises(ValueError, match="another order"):
        ntkng.cross_entropy_flow(straight, ntkng.Exact(), of(X[::-1], None, straight.network), times=[1.0])


@pytest.mark.parametrize(
    "changes", [{"sigma_w": 1.4}, {"sigma_b": 0.1}, {"parametrisation": "standard"}, {"depth": 3}], ids=str
)
def test_another_architecture(changes):
    with pytest.raises(ValueError, match=r"another network than problem\.network: "):
        run(of(net=network(**changes)))


@pytest.mark.parametrize(
    "x",
    [X.astype(np.float32), X.tolist(), jnp.asarray(X), np.asfortranarray(X)],
    ids=["float32", "list", "jnp", "Fortran"],
)
def test_the_same_inputs_in_another_form(x):
    run(of(x, TEST.tolist()))
    half = ntkng.Problem(network(), X.astype(np.float32), Y, TEST)
    run(of(), half)


def test_the_same_network_written_differently():
    inner = stax.serial(stax.Dense(64, W_std=ROOT), stax.ABRelu(0, 1))  # the width plays no role, nor does the nesting
    kernels = of(net=ntkng.Network(stax.serial(inner, stax.Dense(2, ROOT)), 5))
    for fisher in (ntkng.Exact(), ntkng.KFAC(0.1)):  # K-FAC splits its damping by the widths, which are the problem's
        own, found = run(None, fisher=fisher), run(kernels, fisher=fisher)
        np.testing.assert_allclose(found.test, own.test, rtol=1e-12)
    standard = ntkng.Problem(network(parametrisation="standard"), X, Y)
    with pytest.raises(ValueError, match="another network"):  # here the kernels depend on the width
        run(of(X, None, network(width=64, parametrisation="standard")), standard)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_activations_of_the_user():
    def net(function):
        return network(activation=stax.ElementwiseNumerical(function, 4))

    def square(u):
        return u**2

    assert net(square) == net(square)
    problem = ntkng.Problem(net(square), X, Y)
    run(of(X, None, net(lambda u: u * u)), problem)  # another function, which computes the same
    other = jax.tree.map(np.asarray, of(X, None, net(square)))
    with pytest.raises(
        ValueError, match=r"part 2 is ElementwiseNumerical\(square, 4\) against ElementwiseNumerical\(<lambda>"
    ):
        run(other, ntkng.Problem(net(lambda u: u * u + u), X, Y))


def test_kernels_of_finite_networks():
    def empirical(net, x=X):
        with jax.enable_x64(True):
            return ntkng.empirical(net, net.init(jax.random.key(1)), x, TEST)

    run(empirical(PROBLEM.network))
    with pytest.raises(ValueError, match=r"widths \[64, 2\] against \[16, 2\]"):
        run(empirical(network(width=64)))
    with pytest.raises(ValueError, match=r"part 2 is Erf\(\)"):
        run(empirical(network(activation="erf")))
    with pytest.raises(ValueError, match="another order"):
        run(empirical(PROBLEM.network, X[::-1]))


def test_kernels_by_hand_are_compared_by_size():
    theta = of(X[::-1]).theta
    own = ntkng.Kernels((ntkng.kernels.LayerKernels(theta, name="1"),), samples=4, outputs=2)
    run(own)
    with pytest.raises(ValueError, match="kernels are for N = 4, C = 1"):
        run(ntkng.Kernels(own.layers, samples=4, outputs=1))


def test_the_origin_is_kept_by_maps_and_pickles_and_not_by_compiled_programs():
    kernels, other = of(), of(X[::-1])
    for change in (lambda k: jax.tree.map(np.asarray, k), copy.deepcopy, lambda k: pickle.loads(pickle.dumps(k))):
        run(change(kernels))
        with pytest.raises(ValueError, match="another order"):
            run(change(other))
    traces = []

    @jax.jit
    def doubled(kernels):
        traces.append(0)
        return jax.tree.map(lambda leaf: 2 * leaf, kernels)

    assert repr(kernels.origin) == "Origin(network, x, x_test)"
    for one in (other, kernels):  # one program for all data, whose results claim no origin
        assert repr(doubled(one).origin) == "Origin(unknown)"
        run(jax.tree.map(np.asarray, doubled(one)))
    assert len(traces) == 1
    assert kernels.origin == Origin()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_kernels_with_a_lambda_inside_still_pickle():
    kernels = of(X, None, network(activation=stax.ElementwiseNumerical(lambda u: u * u, 4)))
    back = pickle.loads(pickle.dumps(kernels))
    assert back.origin.network is None
    assert back.origin.x is not None


def test_checks_compare_inputs_too():
    with pytest.raises(ValueError, match="measured kernels are of other training inputs than the expected ones"):
        assert_kernels_match({16: of()}, of(X[::-1]))
    with pytest.raises(ValueError, match="measured kernels are of other test inputs"):
        assert_kernels_match(of(), of(X, TEST + 1))


def test_displacement_compares_sizes():
    smaller = ntkng.Problem(network(), X[:3], Y[:3])
    with pytest.raises(ValueError, match=r"kernels are for N = 4, C = 2, the trajectory has targets \[3, 2\]"):
        displacement(ntkng.Exact(), of(), run(None, smaller))
