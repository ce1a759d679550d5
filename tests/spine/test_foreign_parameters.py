"""Parameters from elsewhere: the same run where they can be read, else an error that names the leaf."""

import json

import jax
import numpy as np
import pytest

import ntkng
from ntkng import stax

X, Y = [[1.0, 2.0], [2.0, 1.0]], [1.0, 2.0]


def numbers(net):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, net.init(0))


BIASED, FREE = ntkng.mlp(2, 1, width=3, depth=2, sigma_b=0.5), ntkng.mlp(2, 1, width=3, depth=2)
GOOD = numbers(BIASED)


def start(parameters, net=BIASED, **options):
    run = ntkng.simulate(
        ntkng.Problem(net, X, Y), ntkng.Exact(0.1), step_size=0.5, steps=1, parameters=parameters, **options
    )
    return np.asarray(run.train)


def replaced(leaf, layer=0, part=0):
    parts = [list(own) for own in GOOD]
    parts[layer][part] = leaf
    return parts


NAN = GOOD[0][0].copy()
NAN[1, 2] = np.nan
KEPT = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), GOOD)
WRONG = {
    "biases missing": (numbers(FREE), r"parameters\[0\]\[1\] \(bias of layer 1: Dense\) is missing.*\[1, 3\]"),
    "weights alone": ([(GOOD[0][0],), (), GOOD[2]], r"parameters\[0\] \(layer 1: Dense\) must have 2 parts \(weights and"),
    "bias of another shape": (replaced(np.ones((2, 3)), part=1), r"\(bias of layer 1: Dense\) must have shape \[1, 3\], got"),
    "flat bias": (replaced(np.ones(3), part=1), r"must have shape \[1, 3\], got \[3\]"),
    "transposed": (replaced(GOOD[0][0].T), r"\(weights of layer 1: Dense\) must have shape \[2, 3\], got \[3, 2\]"),
    "several networks": (KEPT, r"got \[2, 2, 3\]; for one of 2 networks take jax\.tree\.map"),
    "another depth": (numbers(ntkng.mlp(2, 1, width=3, depth=3, sigma_b=0.5)), "must have 3 parts, got 5"),
    "more outputs": (numbers(ntkng.mlp(2, 2, width=3, depth=2, sigma_b=0.5)), r"layer 2: Dense\) must have shape \[3, 1\]"),
    "NaN": (replaced(NAN), r"\(weights of layer 1: Dense\) has 1 NaN or infinite entries, first at \(1, 2\)"),
    "complex": (replaced(GOOD[0][0] + 0j), "must be an array of real numbers, got an array complex128"),
    "text": (replaced("weights"), "must be an array of real numbers"),
    "ragged": (replaced([[1.0, 2.0, 3.0], [1.0]]), r"must be an array of shape \[2, 3\], got a list of length 2"),
    "a dictionary": (dict(enumerate(GOOD)), "parameters must be a list or tuple of 3 parts, got a dict"),
    "leaves": (jax.tree.leaves(GOOD), "must have 3 parts, got 4"),
    "nothing": (3.0, "must be a list or tuple of 3 parts, got float"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_other_parameters(case):
    parameters, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=message):
        start(parameters)
    with pytest.raises((TypeError, ValueError), match=message):
        ntkng.empirical(BIASED, parameters, X)
    if case != "NaN":
        with pytest.raises((TypeError, ValueError), match=message):
            BIASED.apply(parameters, np.asarray(X))
        with pytest.raises((TypeError, ValueError), match=message):
            BIASED.split(parameters)


def test_biases_of_a_network_without():
    with pytest.raises(ValueError, match=r"parameters\[0\]\[1\] \(bias of layer 1: Dense\) must be None"):
        start(GOOD, FREE)


def test_nesting_of_a_checkpoint():
    right = start(GOOD)
    for read in (
        tuple(GOOD),
        [list(own) for own in GOOD],
        json.loads(json.dumps(jax.tree.map(np.ndarray.tolist, GOOD))),
    ):
        assert np.array_equal(start(read), right)
    whole = jax.tree.map(np.rint, GOOD)
    assert np.array_equal(start(jax.tree.map(lambda leaf: leaf.astype(int), whole)), start(whole))


def test_branches_are_named():
    branch = stax.parallel(stax.Identity(), stax.serial(stax.Dense(3), stax.Relu()))
    net = ntkng.Network(stax.serial(stax.Dense(3), stax.FanOut(2), branch, stax.FanInSum(), stax.Dense(1)), 2)
    parameters = numbers(net)
    assert np.array_equal(start(jax.tree.map(np.ndarray.tolist, parameters), net), start(parameters, net))
    parameters[2] = ((), [(np.ones((3, 2)), None), ()])
    with pytest.raises(
        ValueError, match=r"parameters\[2\]\[1\]\[0\]\[0\] \(weights of layer 2: Dense\) must have shape \[3, 3\]"
    ):
        start(parameters, net)


def test_precision_of_parameters():
    single = jax.tree.map(lambda leaf: leaf.astype(np.float32), GOOD)
    assert ntkng.empirical(BIASED, single, X).theta.train.dtype == np.float32
    assert ntkng.empirical(BIASED, [single[0], *GOOD[1:]], X).theta.train.dtype == np.float64
    assert (
        ntkng.empirical(BIASED, jax.tree.map(lambda leaf: np.rint(leaf).astype(int), GOOD), X).theta.train.dtype
        == np.float64
    )
    with pytest.raises(TypeError, match="the dtype of parameters must be float64 or float32, got float16"):
        ntkng.empirical(BIASED, jax.tree.map(lambda leaf: leaf.astype(np.float16), GOOD), X)
