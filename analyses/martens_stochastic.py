"""Stochastic second-order iterations on a quadratic: closed forms against Monte Carlo, and the asymptotic laws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from analyses.study import Settings, Study
from ntkng.perspectives import (
    StochasticQuadratic,
    StreamingLogistic,
    agreement,
    averaged_asymptote,
    averaged_bias_asymptote,
    averaged_bias_bounds,
    averaged_risk,
    constant_step_floor,
    constant_step_risk,
    efficient_risk,
    harmonic_step_constant,
    harmonic_step_exponent,
    harmonic_step_risk,
    simulate_quadratic,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import log_log_slope

SOURCE = "Martens 2020, asymptotic convergence speed"
LATE = 200_000  # steps at which asymptotic laws are read off


@dataclasses.dataclass(frozen=True)
class Schedules:
    """The problem under both preconditioners, and the step sizes of every curve."""

    sgd: StochasticQuadratic  # B = 1
    newton: StochasticQuadratic  # B = H
    alpha: dict[str, float]  # constant step of each
    fast: float  # c with 2 c lam_min = 2
    slow: float  # c with 2 c lam_min = 0.4
    offset: float

    def problem(self, name: str) -> StochasticQuadratic:
        """`B = 1` or `B = H`."""
        return self.newton if name == "H" else self.sgd


def study(settings: Settings) -> Study:
    """Expected risk of constant, harmonic and averaged iterations, and streaming logistic regression."""
    rng = np.random.default_rng(settings.seed)
    runs, horizon = settings.choose(4000, 6000, 20_000), settings.choose(2000, 4000, 10_000)
    schedules = make_schedules(rng)
    steps = np.unique(np.round(np.geomspace(2, horizon, 13)).astype(int))
    parts = [monte_carlo(schedules, steps, runs, rng, settings)]
    parts += [asymptotics(schedules), bias(schedules, horizon), streaming(settings, rng)]
    table = pd.concat([frame for frame, _ in parts], ignore_index=True)
    facts = provenance({"runs": runs, "steps": horizon}, seed=settings.seed)
    report = Report("Stochastic second-order iterations", tuple(c for _, claims in parts for c in claims), facts)
    scale = schedules.newton.noise_to_curvature / 2
    return Study(table, report, facts={"efficient": scale, "floors": {n: _floor(schedules, n) for n in ("1", "H")}})


def make_schedules(rng: np.random.Generator, size: int = 6) -> Schedules:
    """A quadratic with condition number 12 whose gradient noise shares no eigenvector with it."""
    hessian, noise = _random_spd(rng, np.geomspace(1 / 12, 1, size)), _random_spd(rng, np.geomspace(0.05, 0.6, size))
    sgd = StochasticQuadratic(hessian, noise, rng.normal(size=size), np.eye(size))
    lowest = float(sgd.modes.lam[0])
    return Schedules(
        sgd, sgd.with_preconditioner(hessian), {"1": 0.5, "H": 0.1}, fast=1 / lowest, slow=0.2 / lowest, offset=20.0
    )


def closed_forms(s: Schedules, k: np.ndarray) -> dict[str, np.ndarray]:
    """Expected risk after `k` steps, as `kind/B`."""
    return {
        "constant/1": constant_step_risk(s.sgd, s.alpha["1"], k).total,
        "constant/H": constant_step_risk(s.newton, s.alpha["H"], k).total,
        "harmonic/1": harmonic_step_risk(s.sgd, s.fast, s.offset, k).total,
        "harmonic/H": efficient_risk(s.newton, s.offset, k).total,
        "averaged/1": averaged_risk(s.sgd, s.alpha["1"], k).total,
        "averaged/H": averaged_risk(s.newton, s.alpha["H"], k).total,
    }


def simulations(
    s: Schedules, k: np.ndarray, runs: int, rng: np.random.Generator, settings: Settings
) -> dict[str, np.ndarray]:
    """Risk of independent runs, `[runs k]`, under the same names."""
    rules = {
        "constant/1": (s.sgd, lambda k: s.alpha["1"]),
        "constant/H": (s.newton, lambda k: s.alpha["H"]),
        "harmonic/1": (s.sgd, lambda k: s.fast / (k + s.offset)),
        "harmonic/H": (s.newton, lambda k: 1 / (k + s.offset)),
    }
    found: dict[str, np.ndarray] = {}
    for name, (problem, rule) in settings.track(rules.items(), "Monte Carlo", total=len(rules)):
        samples = simulate_quadratic(problem, rule, k, runs=runs, rng=rng)
        found[name] = samples.risk
        if name.startswith("constant"):
            found[name.replace("constant", "averaged")] = samples.averaged
    return found


def monte_carlo(
    s: Schedules, steps: np.ndarray, runs: int, rng: np.random.Generator, settings: Settings
) -> tuple[pd.DataFrame, list[Claim]]:
    """Every closed form at finite `k` against simulations."""
    dense = np.unique(np.round(np.geomspace(steps[0], steps[-1], 200)).astype(int))
    theory, curve, drawn = closed_forms(s, steps), closed_forms(s, dense), simulations(s, steps, runs, rng, settings)
    frames, claims = [], []
    for name, expected in theory.items():
        kind, metric = name.split("/")
        mean, error = drawn[name].mean(axis=0), drawn[name].std(axis=0, ddof=1) / np.sqrt(runs)
        measured = {"k": steps, "theory": expected, "measured": mean, "error": error}
        frames += [pd.DataFrame({"panel": kind, "curve": metric, **measured}),
                   pd.DataFrame({"panel": f"{kind} theory", "curve": metric, "k": dense, "theory": curve[name]})]  # fmt: skip
        claims += _agreement_claims(name, *agreement(drawn[name], expected))
        if kind == "averaged":
            tail = steps >= steps[-1] / 6
            claims.append(
                Claim.within(f"{name}/tail", log_log_slope(steps[tail], mean[tail]).value, -1.05, -0.95,
                             f"the Monte Carlo risk of the average falls like 1/k with B = {metric}", source=SOURCE)
            )  # fmt: skip
    return pd.concat(frames), claims


def _agreement_claims(name: str, scores: np.ndarray, p: float) -> list[Claim]:
    return [
        Claim.below(
            f"{name}/last", abs(scores[-1]), 3.0,
            "at the last step Monte Carlo is within 3 standard errors of the closed form", source=SOURCE,
        ),
        Claim.above(
            f"{name}/path", p, 1e-3,
            "all steps together agree with the closed form (p-value of Hotelling's T^2 test)", p_value=p, source=SOURCE,
        ),
    ]  # fmt: skip


def asymptotics(s: Schedules) -> tuple[pd.DataFrame, list[Claim]]:
    """`k E h_k` for large `k`: its limit for each schedule, and the slower power where there is none."""
    k = np.unique(np.round(np.geomspace(10, LATE, 40)).astype(int))
    slowest = np.linalg.eigh(s.sgd.hessian)[1][:, 0]
    far = dataclasses.replace(s.sgd, error=3 * slowest)  # so that its power is visible above the others' 1/k
    curves = {
        "c/(k+a), B = 1": harmonic_step_risk(s.sgd, s.fast, s.offset, k).total,
        "c/(k+a), B = 1, slow": harmonic_step_risk(far, s.slow, s.offset, k).total,
        "1/(k+a), B = H": efficient_risk(s.newton, s.offset, k).total,
        "averaged, B = 1": averaged_risk(s.sgd, s.alpha["1"], k).total,
        "averaged, B = H": averaged_risk(s.newton, s.alpha["H"], k).total,
    }
    frame = pd.concat(
        [pd.DataFrame({"panel": "asymptotic", "curve": name, "k": k, "theory": v}) for name, v in curves.items()]
    )
    constant, efficient = harmonic_step_constant(s.sgd, s.fast), s.newton.noise_to_curvature / 2
    slope = log_log_slope(k[-8:], curves["c/(k+a), B = 1, slow"][-8:]).value
    exponent = harmonic_step_exponent(s.sgd, s.slow)
    floor_h = s.alpha["H"] / (2 - s.alpha["H"]) * efficient
    recursion = harmonic_step_risk(s.newton, 1.0, s.offset, k).total
    claims = [
        _close("harmonic/1/constant", LATE * curves["c/(k+a), B = 1"][-1], constant, 1e-3,
               "k E h_k tends to (1/2) sum lam c^2 s / (2 c lam - 1) when 2 c lam_min > 1"),
        Claim.above("harmonic/1/price", constant / efficient, 1.1,
                    "without curvature the constant of the 1/k schedule is above the efficient one", source=SOURCE),
        Claim.below("harmonic/1/slow", abs(slope + exponent), 0.01,
                    "E h_k falls like k^(-2 c lam_min) when 2 c lam_min < 1", source=SOURCE),
        Claim.below("harmonic/H/recursion", _relative(curves["1/(k+a), B = H"], recursion), 1e-11,
                    "the closed form for 1/(k+a), B = H solves the recursion of the moments", source=SOURCE),
        _close("harmonic/H/efficient", efficient_risk(s.newton, 1.0, [LATE]).total[0], efficient / LATE, 1e-12,
               "with 1/(k+1) and B = H the risk is tr(H^-1 Sigma)/(2k), whatever the start"),
        _close("constant/H/floor", constant_step_floor(s.newton, s.alpha["H"]), floor_h, 1e-12,
               "the floor with B = H is alpha/(2 (2 - alpha)) tr(H^-1 Sigma)"),
    ]  # fmt: skip
    for name in ("1", "H"):
        late_risk = averaged_risk(s.problem(name), s.alpha[name], [10**8]).total[0]
        claims.append(
            _close(f"averaged/{name}/asymptote", late_risk, averaged_asymptote(s.newton, [10**8])[0], 1e-5,
                   f"the averaged risk tends to tr(H^-1 Sigma)/(2k) with B = {name}: the preconditioner drops out")
        )  # fmt: skip
    return frame, claims


def bias(s: Schedules, horizon: int) -> tuple[pd.DataFrame, list[Claim]]:
    """The part of the averaged risk that the start contributes, and its three bounds."""
    k = np.unique(np.round(np.geomspace(1, 10 * horizon, 60)).astype(int))
    frames, claims = [], []
    for name in ("1", "H"):
        problem, alpha = s.problem(name), s.alpha[name]
        exact, bounds = averaged_risk(problem, alpha, k).bias, averaged_bias_bounds(problem, alpha, k)
        frames.append(
            pd.DataFrame({"panel": "bias", "curve": name, "k": k, "theory": exact, "bound": bounds.min(axis=0)})
        )
        ratio = exact / bounds.min(axis=0)
        late = [10**7]
        claims += [
            Claim.within(f"averaged/{name}/bias", ratio.max(), 0.9, 1 + 1e-10,
                         "the bias of the average stays below the smallest of its three bounds, and touches it",
                         source=SOURCE),
            _close(f"averaged/{name}/bias tail", averaged_risk(problem, alpha, late).bias[0],
                   averaged_bias_asymptote(problem, alpha, late)[0], 1e-9,
                   "the bias tends to |H^(-1/2) B d|^2 / (2 k^2 alpha^2)"),
        ]  # fmt: skip
    return pd.concat(frames), claims


def streaming(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """A likelihood that is not quadratic: streaming logistic regression with the Fisher at the optimum."""
    size, offset, runs = 5, 20.0, settings.choose(2500, 5000, 20_000)
    steps = np.array([10, 30, 100, 300, 1000, 3000])
    direction = rng.normal(size=size)
    stream = StreamingLogistic(direction / np.linalg.norm(direction))
    risk = stream.simulate(offset, steps, runs=runs, rng=rng)
    quadratic = size * steps / (2 * (steps + offset - 1) ** 2)  # `efficient_risk` from the optimum, Sigma = H
    mean, error = risk.mean(axis=0), risk.std(axis=0, ddof=1) / np.sqrt(runs)
    frame = pd.DataFrame({"panel": "streaming", "curve": "F", "k": steps, "theory": quadratic, "measured": mean,
                          "error": error, "bound": size / (2 * steps)})  # fmt: skip
    unit = size / (2 * (steps[-1] + offset))
    claim = Claim.within(
        "streaming/efficiency", mean[-1] / unit, 0.94, 1.08,
        "streaming logistic regression with F^-1/(k+20) reaches n/(2(k+20)), the Cramer-Rao risk",
        uncertainty=float(1.96 * error[-1] / unit), source="Martens 2020, Fisher efficiency",
    )  # fmt: skip
    return frame, [claim]


def _close(name: str, value: float, expected: float, bound: float, statement: str) -> Claim:
    return Claim.below(name, abs(value / expected - 1), bound, statement, source=SOURCE)


def _relative(value: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(value / expected - 1)))


def _floor(s: Schedules, name: str) -> float:
    return constant_step_floor(s.problem(name), s.alpha[name])


def _random_spd(rng: np.random.Generator, spectrum: np.ndarray) -> np.ndarray:
    q = np.linalg.qr(rng.normal(size=(spectrum.size, spectrum.size)))[0]
    matrix = (q * spectrum) @ q.T
    return 0.5 * (matrix + matrix.T)
