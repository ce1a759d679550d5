"""The claims of the paper's figures fail when the theory is wrong by a little."""

import numpy as np
import pytest

from analyses import martens_curvature as curvature
from analyses import martens_empirical_fisher as empirical
from analyses import martens_invariance as invariance
from analyses import martens_stochastic as stochastic
from analyses import martens_trust_region as trust
from analyses.study import Settings
from ntkng.perspectives import Canonical, Risk, damped, euler, fisher_metric, midpoint
from ntkng.report import Report

QUICK = Settings(quick=True)


def rng():
    return np.random.default_rng(1)


def verdicts(claims):
    return {claim.name: bool(claim) for claim in claims}


def times(function, factor):
    def wrong(*args, **kwargs):
        value = function(*args, **kwargs)
        return Risk(factor * value.bias, factor * value.variance) if isinstance(value, Risk) else factor * value

    return wrong


def monte_carlo():
    steps = np.array([2, 5, 20, 50, 100])
    return verdicts(stochastic.monte_carlo(stochastic.make_schedules(rng()), steps, 3000, rng(), QUICK)[1])


def asymptotics():
    return verdicts(stochastic.asymptotics(stochastic.make_schedules(rng()))[1])


def bias():
    return verdicts(stochastic.bias(stochastic.make_schedules(rng()), 300)[1])


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(stochastic, "LATE", 20_000)


def test_monte_carlo_refutes_wrong_closed_forms(monkeypatch):
    right = monte_carlo()
    paths = [name for name in right if name.endswith(("path", "last"))]
    assert all(right[name] for name in paths)
    with monkeypatch.context() as patch:
        for name in ("constant_step_risk", "harmonic_step_risk", "efficient_risk", "averaged_risk"):
            patch.setattr(stochastic, name, times(getattr(stochastic, name), 1.06))
        wrong = monte_carlo()
    assert not any(wrong[name] for name in paths if name.endswith("path"))
    with monkeypatch.context() as patch:  # a step size that is 5 % off
        original = stochastic.constant_step_risk
        patch.setattr(stochastic, "constant_step_risk", lambda p, alpha, k: original(p, 1.05 * alpha, k))
        wrong = monte_carlo()
    assert not wrong["constant/1/path"]
    assert not wrong["constant/H/path"]
    with monkeypatch.context() as patch:  # a - 1 replaced by a
        original_efficient = stochastic.efficient_risk
        patch.setattr(stochastic, "efficient_risk", lambda p, a, k: original_efficient(p, a + 1, k))
        assert not monte_carlo()["harmonic/H/path"]


@pytest.mark.parametrize(
    ("name", "factor", "claim"),
    [
        ("harmonic_step_constant", 1.01, "harmonic/1/constant"),
        ("harmonic_step_exponent", 1.05, "harmonic/1/slow"),
        ("averaged_asymptote", 2.0, "averaged/1/asymptote"),
        ("constant_step_floor", 0.5, "constant/H/floor"),
        ("efficient_risk", 1.05, "harmonic/H/efficient"),
    ],
)
def test_asymptotic_laws(monkeypatch, name, factor, claim):
    monkeypatch.setattr(stochastic, name, times(getattr(stochastic, name), factor))
    assert not asymptotics()[claim]


def test_bias_claims(monkeypatch):
    assert all(bias().values())
    for name, claim in (("averaged_bias_bounds", "bias"), ("averaged_bias_asymptote", "bias tail")):
        with monkeypatch.context() as patch:
            patch.setattr(stochastic, name, times(getattr(stochastic, name), 0.95))
            assert not bias()[f"averaged/H/{claim}"]


def test_curvature_claims(monkeypatch):
    original = Canonical.hessian
    monkeypatch.setattr(Canonical, "hessian", lambda self, z, y: original(self, z, y) * 1.01)
    for loss in ("softmax", "Poisson"):
        rows, claims = curvature.canonical(loss, curvature.FAMILIES[loss], rng().normal(size=(8, 3)), [4, 2], rng())
        found = verdicts(claims)
        assert not found[f"{loss}/Fisher is GGN"]
        assert not found[f"{loss}/Hessian split"]
        assert len(rows) == 3


def test_isotropy_claim(monkeypatch):
    def found():
        return curvature.isotropy("x", curvature.FAMILIES["softmax"], rng().normal(size=(3, 3)), 2, rng())

    assert found()
    monkeypatch.setattr(curvature, "_root", times(curvature._root, 1.03))
    assert not found()


def test_identity_link_is_told_from_the_log_link(monkeypatch):
    monkeypatch.setattr(
        curvature.PoissonIdentityLink, "hessian", lambda self, z, y: (1 / z)[..., None] * np.eye(z.shape[-1])
    )
    found = verdicts(curvature.counterexample(rng().normal(size=(12, 4)), [6, 3], rng())[1])
    assert not found["identity link/GGN differs"]


def test_empirical_fisher_claims(monkeypatch):
    with monkeypatch.context() as patch:  # (alpha/2)^{1/xi}
        original = empirical.cycle_amplitude
        patch.setattr(empirical, "cycle_amplitude", lambda alpha, xi: original(alpha, xi / 2))
        assert not verdicts(empirical.cycles(QUICK)[1])["2-cycle/amplitude"]
    with monkeypatch.context() as patch:
        patch.setattr(empirical, "cycle_multiplier", lambda xi: (4 * xi - 1.01) ** 2)
        assert not verdicts(empirical.cycles(QUICK)[1])["2-cycle/multiplier"]
    with monkeypatch.context() as patch:  # the true Fisher, or a rate 1 % off
        patch.setattr(empirical, "empirical_fisher_direction", times(empirical.empirical_fisher_direction, 1.01))
        found = verdicts(empirical.network_flow(QUICK, rng())[1])
    assert not found["flow/law"]
    assert not found["flow/operator"]
    with monkeypatch.context() as patch:  # every power taken for 0.4
        orbit = empirical.power_orbit
        patch.setattr(empirical, "power_orbit", lambda start, alpha, xi, steps: orbit(start, alpha, 0.4, steps))
        found = verdicts(empirical.orbits(20_000)[1])
    assert not any(found[f"empirical Fisher/{name}"] for name in ("excursion", "never settles"))
    assert not found["Fisher/geometric"]
    assert not found["square root/spread"]


def test_trust_region_claims(monkeypatch):
    with monkeypatch.context() as patch:  # KL = d^T F d, without the 1/2
        patch.setattr(trust, "kl_ball_step", times(trust.kl_ball_step, np.sqrt(0.5)))
        found = verdicts(trust.kl_ball(QUICK, rng())[1])
    assert not any(ok for name, ok in found.items() if name.endswith(("size", "order")))
    with monkeypatch.context() as patch:  # steepest in the Euclidean metric: the wrong ball
        patch.setattr(trust, "kl_ball_step", lambda f, g, eps: -g * np.sqrt(2 * eps / (g @ f @ g)))
        found = verdicts(trust.kl_ball(QUICK, rng())[1])
    assert not any(ok for name, ok in found.items() if name.endswith("steepest"))
    with monkeypatch.context() as patch:
        original_rates = trust.mode_rates
        patch.setattr(trust, "mode_rates", lambda theta, lam: original_rates(theta, 1.05 * lam))
        found = verdicts(trust.modes(QUICK, rng())[1])
    assert not found["modes/rates"]
    assert not found["modes/flow"]
    with monkeypatch.context() as patch:
        original_step = trust.trust_region_step
        patch.setattr(trust, "trust_region_step", lambda b, g, r: original_step(b, g, 1.01 * r))
        found = verdicts(trust.tikhonov(QUICK, rng())[1])
    assert not found["trust region/damped"]
    assert not found["trust region/value"]


def test_invariance_claims(monkeypatch):
    change, _, gamma = invariance.make_change(rng(), 3, 30)
    alphas = [0.04, 0.02, 0.01]
    for metric, order, scheme in ((damped(0.02), 2, euler), (fisher_metric, 3, euler), (fisher_metric, 2, midpoint)):
        wrong = invariance.Method("x", metric, order, scheme=scheme)
        assert not any(verdicts(invariance.orders(change, gamma, wrong, alphas)[1]).values())
    wrong = invariance.Method("x", invariance.hessian_metric, 2, flow=True)
    assert not any(verdicts(invariance.orders(change, gamma, wrong, alphas)[1]).values())
    for factor in (2.0, 1.05):
        with monkeypatch.context() as patch:
            patch.setattr(invariance, "leading_discrepancy", times(invariance.leading_discrepancy, factor))
            assert not verdicts(invariance.leading(change, gamma))["Fisher/leading term"]


def test_reports_are_sound():
    report = Report("all", tuple(trust.study(QUICK).report.claims))
    assert report
    assert len({claim.name for claim in report.claims}) == len(report.claims)
