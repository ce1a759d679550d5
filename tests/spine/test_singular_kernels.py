"""Kernels of less than full rank: what no function of the network tells from zero does not move, for however long.

Linear networks learn linear regression, so the truth needs none of our kernels: with a singular value decomposition of the inputs the
modes that do not move are known exactly, and in the limit of any approximation all predictions are those of least squares.
"""

import jax
import numpy as np
import pytest

import ntkng
from ntkng.closed_form import dynamics
from ntkng.fisher.preconditioned import fastest_step, stability, without_rounding
from ntkng.function_space_flow import Damped, FunctionSpaceFlow, Gaussian

RNG = np.random.default_rng(0)
N, D, DEPTH = 8, 3, 2
X = RNG.normal(size=(N, D))
X[-1] = X[0]  # with another target
Y, X_TEST = RNG.normal(size=N), np.concatenate([X[:2], RNG.normal(size=(2, D))])
NETWORK = ntkng.mlp(D, width=16, depth=DEPTH, activation="linear", sigma_w=1.2)
PROBLEM = ntkng.Problem(NETWORK, X, Y, X_TEST, np.zeros(4), allow_duplicates=True)
WEIGHTS = np.linalg.lstsq(X, Y, rcond=None)[0]
SCALE = 1.2 ** (2 * DEPTH) / D  # Theta_l = SCALE X X^T for every layer
FISHERS = [
    ntkng.GradientDescent(), ntkng.Exact(1e-2), ntkng.Exact(1e-11), ntkng.BlockDiagonal(1e-2), ntkng.BlockDiagonal(1e-9),
    ntkng.BlockTriDiagonal(0.3), ntkng.KFAC(1e-2), ntkng.KFAC(1e-9), ntkng.KFAC(1e-2, split="equal"), ntkng.UnitWise(1e-2),
]  # fmt: skip
SLOW = [
    fisher if index in (0, 6) else pytest.param(fisher, marks=pytest.mark.slow) for index, fisher in enumerate(FISHERS)
]


@pytest.fixture(scope="module")
def kernels():
    units = ntkng.kernels.UnitSampling(points=64, scramblings=2)
    return ntkng.analytic(NETWORK, X, X_TEST, units=units, test_covariance=True)


@pytest.mark.parametrize("fisher", SLOW, ids=repr)
@pytest.mark.parametrize("flow", [True, False], ids=["flow", "steps"])
def test_the_limit_is_least_squares(fisher, flow, kernels):
    """At infinity, and at times so long that rounding would have grown or decayed."""
    path = ntkng.closed_form(PROBLEM, fisher, kernels, flow=flow, steps=[1e17, 1e30, np.inf])
    assert path.stability.verdict == "converges"
    assert path.stability.smallest == 0
    assert np.abs(path.train[..., 0] - X @ WEIGHTS).max() < 1e-11
    assert np.abs(path.test[..., 0] - X_TEST @ WEIGHTS).max() < 1e-11


def rates(fisher):
    """Eigenvalues of `K` as a function of those of `Theta_l`, for independent truth at finite times."""
    theta = SCALE * np.linalg.svd(X)[1] ** 2
    if fisher.name == "GradientDescent":
        return DEPTH * theta / N
    depth = DEPTH if fisher.name == "BlockDiagonal" else 1
    own = theta if depth > 1 else DEPTH * theta
    return depth * own / (own + N * fisher.damping)


@pytest.mark.parametrize("fisher", SLOW[:5], ids=repr)
def test_finite_times(fisher, kernels):
    u, _, vt = np.linalg.svd(X)
    k, times = rates(fisher), np.array([0.0, 1.0, 3.0, 1e3])
    coefficients = u[:, :D].T @ Y
    weights = (np.exp(-np.outer(times, k)) - 1) * coefficients / np.linalg.svd(X)[1] @ vt
    path = ntkng.closed_form(PROBLEM, fisher, kernels, flow=True, steps=times)
    assert np.abs(path.test[..., 0] + weights @ X_TEST.T).max() < 1e-11
    eta = 1.9 / k.max()
    weights = ((1 - eta * k) ** times[:, None] - 1) * coefficients / np.linalg.svd(X)[1] @ vt
    path = ntkng.closed_form(PROBLEM, fisher, kernels, step_size=eta, steps=times)
    assert np.abs(path.test[..., 0] + weights @ X_TEST.T).max() < 1e-11
    found = np.asarray(fisher.kernel(kernels).eigenvalues())
    assert (found[:-D] == 0).all()
    assert np.abs(found[-D:] - np.sort(k)).max() < 1e-12 * k.max()


def test_ensembles(kernels):
    """In the limit the mean is least squares, and two networks differ only where no training input reaches."""
    for flow in (True, False):
        law = ntkng.ensemble(PROBLEM, ntkng.GradientDescent(), kernels, flow=flow, steps=[1e20, np.inf])
        assert np.abs(law.mean_test[..., 0] - X_TEST @ WEIGHTS).max() < 1e-11
        assert (
            np.abs(law.covariance_test).max() < 1e-11
        )  # X has full column rank: a linear function is known everywhere
        assert np.abs(law.mean_train[..., 0] - X @ WEIGHTS).max() < 1e-11


def test_the_fastest_step_is_that_of_the_modes_that_move(kernels):
    for fisher in FISHERS[:3]:
        k = rates(fisher)
        best = 2 / (k.min() + k.max())
        assert fisher.optimal_step(kernels) == pytest.approx(best, rel=1e-10)
        path = ntkng.closed_form(PROBLEM, fisher, kernels, steps=1)
        assert path.step_size == pytest.approx(best, rel=1e-10)
        assert path.stability.spectral_radius == pytest.approx(abs(1 - best * k.max()), rel=1e-8, abs=1e-12)


def test_pseudo_inverses_of_few_inputs(kernels):
    """K-FAC's pseudo-inverses converge at their own step size, to least squares."""
    fisher = ntkng.KFAC(singular="pseudo-inverse")
    path = ntkng.closed_form(PROBLEM, fisher, kernels, steps=[0, 1, np.inf])
    assert path.stability.verdict == "converges"
    assert np.abs(path.test[-1, :, 0] - X_TEST @ WEIGHTS).max() < 1e-11


@pytest.mark.slow
def test_isotropic_limits_without_kernels():
    x = RNG.normal(size=(4, 6))
    problem = ntkng.Problem(ntkng.mlp(6, width=16), x, Y[:4], x, Y[:4])
    for flow in (True, False):
        path = ntkng.streamed_closed_form(problem, ntkng.BlockDiagonal(), flow=flow, steps=[2, np.inf])
        whole = ntkng.closed_form(problem, ntkng.BlockDiagonal(), flow=flow, steps=[2, np.inf])
        assert np.abs(path.train[-1, :, 0] - Y[:4]).max() < 1e-14
        assert np.abs(path.test - whole.test).max() < 1e-9
    with pytest.raises(ValueError, match="no limit .* step size .* is not below 2/k_max"):
        ntkng.streamed_closed_form(problem, ntkng.BlockDiagonal(), step_size=1.0, steps=[np.inf])


def test_limits_that_do_not_exist(kernels):
    fisher = ntkng.GradientDescent()
    for eta in (2 / rates(fisher).max(), 3 / rates(fisher).max()):  # alternating for ever, and growing
        for call in (ntkng.closed_form, ntkng.ensemble):
            with pytest.raises(ValueError, match="no limit after infinitely long training.*reduce it"):
                call(PROBLEM, fisher, kernels, step_size=eta, steps=[np.inf])
            call(PROBLEM, fisher, kernels, step_size=eta, steps=[100])
    for bad in ([-np.inf], [np.nan, np.inf], "inf", ["inf"]):
        with pytest.raises((ValueError, TypeError), match="steps"):
            ntkng.closed_form(PROBLEM, fisher, kernels, flow=True, steps=bad)


def test_single_precision_has_its_own_rounding():
    with jax.enable_x64(True):
        kernels = jax.tree.map(lambda leaf: leaf.astype(np.float32), ntkng.analytic(NETWORK, X, X_TEST))
    path = ntkng.closed_form(PROBLEM, ntkng.GradientDescent(), kernels, flow=True, steps=[1e12, np.inf])
    assert np.abs(path.test[..., 0] - X_TEST @ WEIGHTS).max() < 1e-4


def test_small_modes_above_rounding_keep_moving():
    """1e-11 of the largest is a small eigenvalue, no rounding: its mode has decayed by half at `t = log 2 / k`."""
    u = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    values = np.array([0.0, 1e-11, 1e-3, 1.0])
    kernel = ntkng.fisher.PreconditionedKernel((u * values) @ u.T, None, 4, 1)
    problem = ntkng.Problem(ntkng.mlp(2), RNG.normal(size=(4, 2)), u @ np.ones(4))
    path = dynamics(problem, kernel, flow=True, steps=[np.log(2) / 1e-11, np.inf])
    remaining = (path.residual[..., 0] @ u) / -1.0
    assert np.abs(remaining - [[1, 0.5, 0, 0], [1, 0, 0, 0]]).max() < 1e-3
    assert path.stability.smallest == 0


def test_errors_of_entries_show_in_negative_eigenvalues():
    """A kernel whose entries are right to 1e-10: what is as small as its negative eigenvalue says nothing."""
    with jax.enable_x64(True):
        found = np.asarray(without_rounding(np.array([-3e-10, 1e-10, 2e-9, 1.0])))
        indefinite = np.asarray(without_rounding(np.array([-3e-2, 1e-10, 2e-9, 1.0])))
    assert (found == [0, 0, 2e-9, 1.0]).all()
    assert stability(found, 0.5).verdict == "converges"
    assert indefinite[0] < 0
    assert stability(indefinite, 0.5).verdict == "ill-posed"


def test_verdicts_need_numbers():
    for values in ([np.nan, 1.0], [1.0, np.inf]):
        with pytest.raises(ValueError, match="eigenvalues of K are not finite"):
            stability(np.array(values), 0.1)
        with pytest.raises(ValueError, match="eigenvalues of K are not finite"):
            fastest_step(None, np.array(values))
    with pytest.raises(ValueError, match="largest eigenvalue of K is 0"):
        fastest_step(None, np.zeros(2))
    assert stability(np.zeros(2), 0.1).verdict == "converges"  # nothing moves


@pytest.mark.parametrize("damping", [1e-2, 1e-9])
def test_function_space_flow(damping):
    theta = SCALE * X @ X.T
    flow = FunctionSpaceFlow(Gaussian(), Damped(damping, theta), np.zeros((N, 1)), Y[:, None])
    assert np.abs(flow.logit_path([1e18, 1e25])[..., 0] - X @ WEIGHTS).max() < 1e-11
