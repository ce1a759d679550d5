"""One rule for targets, whoever takes them: shapes, dtypes, labels that are none, and the border between two classes."""

import jax
import numpy as np
import pytest

import ntkng
from ntkng import reversible
from ntkng.families import Bernoulli, Gaussian, Poisson, Softmax
from ntkng.perspectives import Canonical, Objective, PoissonIdentityLink
from ntkng.reversible import percent_loss_change
from ntkng.targets import border

F = np.array([[0.5, -0.2, 0.1], [1.0, 0.0, -1.0]])
ONE_HOT = np.eye(3)[[2, 0]]
DTYPES = [np.uint8, np.uint32, np.int64, bool, np.float16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_of_any_dtype(dtype):
    labels = ONE_HOT.astype(dtype)
    log_p = F - np.log(np.exp(F).sum(axis=1, keepdims=True))
    assert Softmax().loss(F, labels) == pytest.approx(-log_p[[0, 1], [2, 0]].mean())
    np.testing.assert_allclose(Softmax().residual(F, labels), np.exp(log_p) - ONE_HOT)
    assert Bernoulli().loss(F, labels) == pytest.approx((np.log1p(np.exp(F)) - ONE_HOT * F).sum(axis=1).mean())
    np.testing.assert_allclose(Bernoulli().residual(F, labels), 1 / (1 + np.exp(-F)) - ONE_HOT, rtol=1e-13)
    assert Poisson().loss(F, labels) == pytest.approx((np.exp(F) - ONE_HOT * F).sum(axis=1).mean())
    with jax.enable_x64(True):
        assert float(reversible.loss("cross-entropy", F, labels)) == pytest.approx(-log_p[[0, 1], [2, 0]].mean())
        np.testing.assert_allclose(reversible.function_error("mse", F, labels), F - ONE_HOT)
        assert float(reversible.accuracy(F, labels)) == 0.5


def test_squares_of_integers():
    far = np.array([[4_000_000_000]])
    assert Gaussian().loss(far, -far) == 0.5 * 8e9**2
    assert Gaussian().loss(np.array([[3]], np.uint8), np.array([[5]], np.uint8)) == 2.0


@pytest.mark.parametrize("family", [Gaussian(), Bernoulli(), Poisson()], ids=repr)
def test_a_row_is_a_column_where_there_is_one_output(family):
    f, y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 1.0])
    assert family.loss(f, y) == family.loss(f, y[:, None])
    np.testing.assert_array_equal(family.residual(f, y), family.residual(f, y[:, None]))
    assert Canonical(family).loss(f, y) == family.loss(f, y)
    with jax.enable_x64(True):
        assert float(reversible.loss("mse", f, y)) == pytest.approx(1 / 6)


WRONG = [
    (Softmax(), np.array([[0], [2]]), r"\[2, 3\]"),
    (Softmax(), np.array([0, 2]), r"\[2, 3\]"),
    (Softmax(), 2 * ONE_HOT - 1, "simplex"),
    (Softmax(), ONE_HOT[:, :2], r"\[2, 3\]"),
    (Bernoulli(), 2 * ONE_HOT - 1, r"\[0, 1\]"),
    (Poisson(), -ONE_HOT, ">= 0"),
    (Gaussian(), ONE_HOT[:1], r"\[2, 3\]"),
    (Gaussian(), np.where(ONE_HOT > 0, np.nan, 0), "NaN"),
]


@pytest.mark.parametrize(("family", "y", "message"), WRONG)
def test_what_does_not_fit_is_refused(family, y, message):
    for function in (family.loss, family.residual, Canonical(family).score):
        with pytest.raises(ValueError, match=message):
            function(F, y)


def test_objectives_refuse_too():
    with pytest.raises(ValueError, match=">= 0"):
        PoissonIdentityLink().loss(np.exp(F), -ONE_HOT)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Objective(lambda theta: theta[None], Canonical(Bernoulli()), np.array([[-1.0]]))
    with pytest.raises(ValueError, match="NaN"):
        Objective(lambda theta: theta[None], Canonical(Gaussian()), np.array([[np.nan]]))


def test_a_single_logit_has_two_classes():
    model = reversible.RevMLP.create(jax.random.key(0), 4, 1, 1, 8)
    weights = model.initial_weights(jax.random.key(1), 0.1)
    x = np.random.default_rng(0).normal(size=(6, 4))
    with jax.enable_x64(True):
        right = np.asarray(model.logits(weights, x)) > np.median(np.asarray(model.logits(weights, x)))
        logits = np.where(right, 0.9, 0.2)
        assert float(reversible.accuracy(logits, right)) == 1.0
        assert float(reversible.accuracy(logits, ~right)) == 0.0
        assert np.isnan(float(reversible.accuracy(logits, np.ones((6, 1)))))
    data = reversible.Split(x, np.ones((6, 1)), x, np.ones((6, 1)))
    with pytest.raises(ValueError, match="at least 2 classes"):
        reversible.train(model, weights, data, "cross-entropy", reversible.gauss_newton(0.1), epochs=1)


def test_a_step_beyond_the_float_range_is_refused():
    with jax.enable_x64(True):
        f = np.array([[0.0, 800.0]])
        with pytest.raises(ValueError, match="so improbable"):
            reversible.function_error("cross-entropy-exact", f, [[1, 0]])
        np.testing.assert_allclose(reversible.function_error("cross-entropy", f, [[1, 0]]), [[-1, 1]])
        np.testing.assert_allclose(reversible.function_error("cross-entropy-exact", f, [[0, 1]]), [[0.5, -0.5]])


# -- trajectories ----------------------------------------------------------------------------------------------------


def path(targets, train=None, **more):
    train = np.arange(18.0).reshape(3, 6, 1) if train is None else train
    return ntkng.Trajectory(times=np.arange(3.0), train=train, targets=targets, **more)


def test_trajectories_check_their_shapes():
    y = np.arange(6.0)
    assert path(y).targets.shape == (6, 1)
    np.testing.assert_array_equal(path(y).train_loss, path(y[:, None]).train_loss)
    for targets, more in (
        (y[:5], {}),
        (np.eye(6), {}),
        (y, {"train": np.zeros((4, 6, 1))}),
        (y, {"train": np.zeros((3, 6))}),
    ):
        with pytest.raises(ValueError, match="must have shape"):
            path(targets, **more)
    with pytest.raises(ValueError, match="test must have shape"):
        path(y, test=np.zeros((3, 2, 4)), test_targets=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="test_targets must have shape"):
        path(y, test=np.zeros((3, 2, 1)), test_targets=np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        path(-y, loss="logistic")


def test_trajectories_are_trees():
    one = path(np.arange(6.0))
    assert isinstance(jax.tree.map(lambda _: object(), one), ntkng.Trajectory)
    doubled = jax.jit(lambda tree: jax.tree.map(lambda leaf: 2 * leaf, tree))(one)
    np.testing.assert_array_equal(doubled.train, 2 * one.train)
    assert doubled.loss == "mse"
    made = jax.jit(lambda y: ntkng.Trajectory(times=one.times, train=one.train, targets=y))(
        np.arange(6.0, dtype=np.float32)
    )
    assert made.targets.shape == (6, 1)


@pytest.mark.parametrize(
    ("labels", "share"), [([0, 1, 1, 0, 1, 0], 1.0), ([-1, 1, 1, -1, 1, -1], 1.0), ([3, 7, 7, 3, 7, 3], 1.0)]
)
def test_classes_lie_on_either_side_of_the_midpoint(labels, share):
    y = np.array(labels, float)
    middle, half = (y.min() + y.max()) / 2, np.ptp(y) / 2
    train = np.stack([np.full_like(y, middle), y, middle + 0.01 * (y - middle), middle - half * np.sign(y - middle)])[
        ..., None
    ]
    run = ntkng.Trajectory(times=np.arange(4.0), train=train, targets=y, test=train[:, :1], test_targets=y[:1])
    np.testing.assert_array_equal(run.accuracy("train"), [0, share, share, 0])
    np.testing.assert_array_equal(run.accuracy("test"), [0, 1, 1, 0])  # one class among the test targets, two in all
    assert border(y) == middle


def test_equal_targets_have_no_classes():
    for value in (0.0, 1.0):
        with pytest.raises(ValueError, match="all targets are"):
            path(np.full(6, value)).accuracy("train")


def test_nothing_to_learn():
    y = np.arange(1.0, 7.0)
    still = path(y, np.tile(y[:, None], (3, 1, 1)))
    nearly = path(y, np.tile(y[:, None], (3, 1, 1)) * (1 + 1e-15))
    moved = path(y, np.tile(y[:, None], (3, 1, 1)) + np.array([0.0, 0.1, 0.1])[:, None, None])
    np.testing.assert_array_equal(ntkng.relative_distance(still, still), 0)
    np.testing.assert_array_equal(ntkng.relative_distance(nearly, still), 0)
    np.testing.assert_array_equal(ntkng.relative_distance(still, moved), [0, np.inf, np.inf])
    assert ntkng.compare(still, nearly, bound=1e-6)
    assert not ntkng.compare(still, moved, bound=1e6)
    np.testing.assert_array_equal(percent_loss_change([0.0, 0.0, 2.0], [0.0, 1.0, 1.0]), [0, np.inf, -50])
    assert np.isnan(percent_loss_change(np.nan, np.nan))
