"""Closed forms against step-by-step iteration, SciPy's ODE solver, and exact arithmetic."""

import fractions

import jax
import numpy as np
import pytest
import scipy.integrate

import ntkng
from ntkng.closed_form import decay_and_quotient

RNG = np.random.default_rng(11)
N, M, C = 6, 4, 2
X, X_TEST = RNG.normal(size=(N, 12)), RNG.normal(size=(M, 12))
PROBLEM = ntkng.Problem(ntkng.mlp(12, C, width=32), X, RNG.normal(size=(N, C)), X_TEST, RNG.normal(size=(M, C)))
START = RNG.normal(size=(N, C)), RNG.normal(size=(M, C))
FISHERS = [cls(damping) for cls in ntkng.fisher.FISHERS for damping in (0.0, 0.02)]
ids = [f"{f.name}-{f.damping}" for f in FISHERS]


@pytest.fixture(scope="module", params=["analytic", "empirical"])
def kernels(request):
    if request.param == "analytic":
        return ntkng.analytic(PROBLEM.network, X, X_TEST)
    with jax.enable_x64(True):
        parameters = PROBLEM.network.init(jax.random.key(0))
    return ntkng.empirical(PROBLEM.network, parameters, X, X_TEST)


def matrices(fisher, kernels):
    """K and K' with all outputs, `[NC, NC]` and `[MC, NC]`."""
    found = fisher.kernel(kernels)
    identity = np.eye(C if kernels.block == 1 else 1)
    return np.kron(found.train, identity), np.kron(found.cross, identity)


@pytest.mark.parametrize("fisher", FISHERS, ids=ids)
def test_steps(fisher, kernels):
    kernel, cross = matrices(fisher, kernels)
    eta = 0.3 / np.abs(np.linalg.eigvalsh(kernel)).max()
    found = ntkng.closed_form(PROBLEM, fisher, kernels, step_size=eta, steps=12, initial=START)
    residual, test = (START[0] - PROBLEM.y).ravel(), START[1].ravel()
    for t in range(13):
        assert np.abs(found.train[t].ravel() - PROBLEM.y.ravel() - residual).max() < 1e-11
        assert np.abs(found.test[t].ravel() - test).max() < 1e-11
        residual, test = residual - eta * kernel @ residual, test - eta * cross @ residual
    chosen = ntkng.closed_form(PROBLEM, fisher, kernels, step_size=eta, steps=[12, 3], initial=START)
    assert np.abs(chosen.train[1] - found.train[3]).max() < 1e-14


@pytest.mark.parametrize(
    "fisher", [f for f in FISHERS if f.name != "BlockTriDiagonal"], ids=lambda f: f"{f.name}-{f.damping}"
)
def test_flow(fisher, kernels):
    kernel, cross = matrices(fisher, kernels)
    times = np.array([0.0, 0.3, 2.0]) / np.linalg.eigvalsh(kernel).max()
    found = ntkng.closed_form(PROBLEM, fisher, kernels, steps=times, flow=True, initial=START)
    size = N * C

    def field(_, state):
        return np.concatenate([-kernel @ state[:size], -cross @ state[:size]])

    start = np.concatenate([(START[0] - PROBLEM.y).ravel(), START[1].ravel()])
    truth = scipy.integrate.solve_ivp(field, (0, times[-1]), start, "DOP853", times, rtol=1e-12, atol=1e-13).y.T
    assert np.abs(found.train.reshape(3, -1) - PROBLEM.y.ravel() - truth[:, :size]).max() < 1e-10
    assert np.abs(found.test.reshape(3, -1) - truth[:, size:]).max() < 1e-10


def test_one_step_to_the_minimum(kernels):
    """Isotropic approximations at `1/alpha` interpolate after one step; gradient descent does not."""
    for fisher in FISHERS:
        if fisher.is_damped:
            continue
        found = ntkng.closed_form(PROBLEM, fisher, kernels, steps=1, initial=START)
        ratio = found.train_loss[1] / found.train_loss[0]
        assert ratio > 1e-3 if fisher.name == "GradientDescent" else ratio < 1e-20, fisher


def test_same_trajectory_for_all(kernels):
    """`eta = 1/(2 alpha)`: residuals halve at each step, whatever the approximation; test functions differ."""
    runs = [ntkng.closed_form(PROBLEM, f, kernels, step_size=0.5 / f.predicted_alpha(kernels), steps=6, initial=START)
            for f in FISHERS if f.isotropic and not f.is_damped]  # fmt: skip
    for run in runs:
        for t in range(7):
            assert np.abs(run.residual[t] - 0.5**t * run.residual[0]).max() < 1e-9
    assert np.abs(runs[0].test[-1] - runs[1].test[-1]).max() > 1e-3


def test_quotient_near_zero_and_at_the_pole():
    """`q_t(k)` against 50-digit arithmetic, from k = 0 to k beyond `2/eta`."""
    values = np.array([0.0, 1e-12, 1e-6, 1e-3, 0.3, 1.0, 1.7, 2.0, 2.5])
    times = np.array([0.0, 1, 2, 7, 100])
    with jax.enable_x64(True):
        decay, quotient = decay_and_quotient(values, times, 1.0)
    for i, t in enumerate(times.astype(int)):
        for j, k in enumerate(map(fractions.Fraction, values.tolist())):
            exact = (1 - k) ** int(t)
            ratio = fractions.Fraction(int(t)) if k == 0 else (1 - exact) / k
            assert float(decay[i, j]) == pytest.approx(float(exact), rel=1e-11, abs=1e-300)
            assert float(quotient[i, j]) == pytest.approx(float(ratio), rel=1e-11, abs=1e-300)


def test_initial_functions_of_several_networks():
    starts = RNG.normal(size=(3, N, C)), RNG.normal(size=(3, M, C))
    together = ntkng.closed_form(PROBLEM, ntkng.Exact(0.1), steps=4, initial=starts)
    for i in range(3):
        alone = ntkng.closed_form(PROBLEM, ntkng.Exact(0.1), steps=4, initial=(starts[0][i], starts[1][i]))
        assert np.abs(together.train[i] - alone.train).max() < 1e-13
        assert np.abs(together.test[i] - alone.test).max() < 1e-13


def test_tri_diagonal_poles_are_ill_posed():
    """An unlucky damping of the indefinite tri-diagonal pattern: negative eigenvalues of K, reported, never a silent curve."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 30))
    problem = ntkng.Problem(ntkng.mlp(30, width=64), x, rng.normal(size=12))
    verdicts = {}
    for damping in np.logspace(-4, 0, 25):
        run = ntkng.closed_form(problem, ntkng.BlockTriDiagonal(float(damping)), step_size=1.0, steps=1)
        verdicts[damping] = run.stability
    bad = [s for s in verdicts.values() if s.verdict == "ill-posed"]
    assert bad, "no pole met"
    assert all("negative eigenvalue" in s.remedy and s.smallest < 0 for s in bad)
    assert any(s.verdict == "converges" for s in verdicts.values())


def test_optimal_step(kernels):
    assert ntkng.BlockDiagonal().optimal_step(kernels) == pytest.approx(1 / 3)
    for fisher in (ntkng.GradientDescent(), ntkng.Exact(0.1), ntkng.KFAC(0.1)):
        values = np.asarray(fisher.kernel(kernels).eigenvalues())
        assert fisher.optimal_step(kernels) == pytest.approx(2 / (values[0] + values[-1]))
