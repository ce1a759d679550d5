"""The claims of the reproduction pass, and fail when the theory is a little wrong."""

import numpy as np
import pandas as pd
import pytest

from analyses import (
    kerekes_directions,
    kerekes_matrix_completion,
    kerekes_nonlinear,
    kerekes_residuals,
    kerekes_test_error,
    kerekes_trajectories,
)
from analyses.kerekes_problems import distinct_limits, l1_strength, limit_angles, separable_problem
from analyses.study import Settings
from ntkng.families import Poisson
from ntkng.inductive_bias import (
    DeepLinear,
    DiagonalLinear,
    LogisticProblem,
    MatrixCompletion,
    NaturalGradientFlow,
    interpolation_error,
    legendre_flow,
    normalised_gradient_flow,
)

QUICK = Settings(quick=True)


def verdicts(claims):
    return {claim.name: bool(claim) for claim in claims}


@pytest.mark.parametrize("module", [kerekes_trajectories, kerekes_residuals])
def test_quick_studies(module):
    study = module.study(QUICK)
    assert study.report, study.report
    assert {"panel", "curve"} <= set(study.table.columns)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", [kerekes_directions, kerekes_matrix_completion, kerekes_nonlinear, kerekes_test_error]
)
def test_longer_quick_studies(module):
    assert module.study(QUICK).report


@pytest.mark.parametrize(("alpha", "passes"), [(1.0, True), (1.05, False), (0.95, False)])
def test_rate_of_the_residuals(alpha, passes):
    t = np.linspace(0, 5, 11)
    claim = kerekes_residuals.decay_claim("exact", t, 0.3 * np.exp(-t)[:, None], alpha=alpha)
    assert bool(claim) == passes


@pytest.mark.parametrize(("rate", "passes"), [(1.0, True), (1.05, False)])
def test_weights_in_closed_form(rate, passes):
    problem, w0 = separable_problem(4, 6, np.random.default_rng(0))
    assert verdicts(kerekes_residuals.weight_claims(problem, w0, rate=rate))["N <= d/weights"] == passes


def test_gradient_law_with_the_wrong_rate():
    problem, w0 = separable_problem(15, 5, np.random.default_rng(1))
    path = legendre_flow(problem, w0, kerekes_residuals.TIMES)
    r = problem.residuals(path)
    assert all(kerekes_residuals.gradient_claims("separable", problem, path, r))
    wrong = verdicts(kerekes_residuals.gradient_claims("separable", problem, path, r, alpha=1.05))
    assert not wrong["N > d/gradient, separable"]
    uniform = np.exp(-kerekes_residuals.TIMES)[:, None] * np.ones(15)
    assert not verdicts(kerekes_residuals.gradient_claims("a", problem, path, uniform))["N > d/residuals, a"]


def test_families_with_the_wrong_rate():
    rng = np.random.default_rng(0)
    data = kerekes_residuals.Regression(Poisson(), rng.normal(size=(3, 4)), np.ones((3, 2)), rng.normal(size=(4, 2)))
    model = DeepLinear((4, 2))
    flow = NaturalGradientFlow(model, data.family, data.X, data.y)
    path = np.stack([model.end_to_end(p) for p in flow.path(data.W0.T.ravel(), kerekes_residuals.SHORT)])
    assert all(kerekes_residuals.family_claims("Poisson", data, path))
    assert not any(kerekes_residuals.family_claims("Poisson", data, path, alpha=1.05))


@pytest.fixture(scope="module")
def limit():
    return distinct_limits(15, 5, 0)


def test_asymptote_with_the_wrong_sign(limit):
    assert all(kerekes_directions.asymptote_claims(limit))
    wrong = verdicts(kerekes_directions.asymptote_claims(limit, sign=-1.0))
    assert not wrong["asymptote/error"]
    assert not wrong["asymptote/correction"]


def test_distinct_limits_are_distinct(limit):
    assert min(limit_angles(limit.problem, limit.u).values()) > 10
    assert l1_strength(limit.problem) > 0.3
    with pytest.raises(RuntimeError, match="lower gap"):
        distinct_limits(15, 5, 0, gap=179.0, attempts=3)


def test_gradient_descent_limits_exchanged(limit):
    problem, rng = limit.problem, np.random.default_rng(0)
    models = {
        "GD, depth 1": DeepLinear((5, 1)),
        "GD, diagonal, depth 2": DiagonalLinear(2, 5),
        "GD, diagonal, depth 3": DiagonalLinear(3, 5),
    }
    starts = {n: 0.01 * rng.normal(size=5 * k) for k, n in enumerate(models, 1)}
    paths = {n: (m, normalised_gradient_flow(problem, m, starts[n])) for n, m in models.items()}
    paths["GD, depth 2"] = paths["GD, depth 1"]
    assert all(kerekes_directions.gradient_claims(problem, paths))
    paths["GD, depth 1"], paths["GD, diagonal, depth 2"] = paths["GD, diagonal, depth 2"], paths["GD, depth 1"]
    wrong = verdicts(kerekes_directions.gradient_claims(problem, paths))
    assert not wrong["GD/depth 1"]
    assert not wrong["GD/diagonal 2"]


def test_minus_log_loss_is_continuous_where_its_form_changes():
    problem = LogisticProblem(np.array([[1.0], [2.0]]), np.ones(2))
    w = np.array([[39.999], [40.001], [5000.0]])
    value = kerekes_directions.minus_log_loss(problem, w)
    np.testing.assert_allclose(np.diff(value)[0], 2e-3, rtol=1e-6)
    np.testing.assert_allclose(value[2], 5000 + np.log(2), rtol=1e-12)


def test_few_samples_claims_see_an_invariance_that_is_not_there():
    problem, w0 = separable_problem(3, 5, np.random.default_rng(0))
    labels = ("training inputs", "inputs that span the space")
    same = {(a, n): np.stack([w0, 2 * w0]) for a in labels for n in ("depth 1", "depth 3")}
    found = verdicts(kerekes_trajectories.few_samples_claims(problem, same, ["depth 1", "depth 3"]))
    assert not found["N < d/predictor"]
    assert not found["N < d/off span, depth 1"]
    same[labels[1], "depth 3"] = np.stack([w0, 2.001 * w0])
    found = verdicts(kerekes_trajectories.few_samples_claims(problem, same, ["depth 1", "depth 3"]))
    assert not found["N < d/restored"]


def test_matrix_completion_claims():
    rng = np.random.default_rng(0)
    completion = MatrixCompletion(rng.normal(size=(4, 4)), rng.random((4, 4)) < 0.6)
    t = np.linspace(0, 2, 5)
    W = completion.isotropic_path(rng.normal(size=(4, 4)), t)
    assert all(kerekes_matrix_completion.law_claims("x", completion, t, {"all": W}))
    assert not verdicts(kerekes_matrix_completion.law_claims("x", completion, t, {"all": W}, alpha=1.05))[
        "NGF all/x, law"
    ]
    still = kerekes_matrix_completion.law_claims("x", completion, t, {"all": W, "observed": W})
    assert not verdicts(still)["NGF observed/x, moved"]
    moving = W + np.linspace(0, 1, 5)[:, None, None]
    assert not any(kerekes_matrix_completion.law_claims("x", completion, t, {"all": moving}))
    assert all(kerekes_matrix_completion.gradient_claims({1: 1.0, 2: 0.01, 3: 1e-5}))
    assert not any(kerekes_matrix_completion.gradient_claims({1: 0.5, 2: 0.1, 3: 0.01}))


def test_claims_on_the_test_error():
    rng = np.random.default_rng(0)
    rows = []
    for N in (30, 60, 80, 95):
        values = {"NGF": interpolation_error(N / 100), "l2": kerekes_test_error.MARGINS.get(("l2", N), 0.3)}
        values["l1"] = kerekes_test_error.MARGINS.get(("l1", N), 0.15)
        for method, value in values.items():
            rows += [(N, s, method, float(value) + 0.01 * rng.normal()) for s in range(50)]
    table = pd.DataFrame(rows, columns=pd.Index(["N", "seed", "method", "error"]))
    assert all(kerekes_test_error.error_claims(table))
    # the alignment of the labels left out, or a peak at another place
    for theory in (lambda g: interpolation_error(g, 1.0), lambda g: interpolation_error(0.9 * g)):
        found = verdicts(kerekes_test_error.error_claims(table, theory=theory))
        assert not found["NGF/N = 95"]
    exchanged = table.replace({"method": {"NGF": "l1", "l1": "NGF"}})
    found = verdicts(kerekes_test_error.error_claims(exchanged))
    assert not any(found[name] for name in ("N = 80/NGF", "N = 80/l1", "NGF/peak", "N = 60/l1 margin"))


def test_nonlinear_claims():
    t = np.linspace(0, 3, 7)
    residual = np.exp(-t)[:, None, None] * np.ones((1, 2, 1))
    still, moving = np.zeros((7, 2, 1)), t[:, None, None] * np.ones((1, 2, 1))
    claims = kerekes_nonlinear.movement_claims
    assert all(claims("x", t, residual, still, frozen=True))
    assert all(claims("x", t, residual, moving, frozen=False))
    assert not claims("x", t, residual, still, frozen=True, alpha=1.05)[0]
    assert not claims("x", t, residual, moving, frozen=True)[1]
    assert not claims("x", t, residual, still, frozen=False)[1]
    assert [bool(c) for c in kerekes_nonlinear.violation_claims(np.zeros(3), np.zeros(3), 0.5)] == [False, False, True]
