"""The empirical Fisher as a preconditioner: no convergence in one dimension, 2-cycles, and no common rate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analyses.martens_models import tanh_network
from analyses.study import Settings, Study
from ntkng.families import Gaussian
from ntkng.function_space_flow import EmpiricalFisher, FunctionSpaceFlow, Isotropic
from ntkng.ode import integrate
from ntkng.perspectives import (
    Canonical,
    Objective,
    cycle_amplitude,
    cycle_multiplier,
    empirical_fisher_direction,
    power_orbit,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

SOURCE = "Martens 2020, the empirical Fisher"
ALPHA = 0.1
STARTS = np.array([0.3, -1.1, 2.0])
POWERS = (0.0, 0.25, 0.5, 1.0)  # of the empirical Fisher, in the panel of orbits


def study(settings: Settings) -> Study:
    """Orbits in one dimension, the attractor against the power, and the flow of an over-parametrised network."""
    rng = np.random.default_rng(settings.seed)
    length = settings.choose(20_000, 200_000, 2_000_000)
    parts = [orbits(length), cycles(settings), network_flow(settings, rng)]
    table = pd.concat([frame for frame, _ in parts], ignore_index=True)
    facts = provenance({"alpha": ALPHA, "steps": length}, seed=settings.seed)
    report = Report("Pathologies of the empirical Fisher", tuple(c for _, claims in parts for c in claims), facts)
    return Study(table, report, facts={"alpha": ALPHA})


def orbits(length: int) -> tuple[pd.DataFrame, list[Claim]]:
    """`|theta_k|` for four powers: Fisher, a small power, the square root, the empirical Fisher."""
    shown, start = 120, 2.24
    frames = [
        pd.DataFrame({"panel": "orbit", "curve": xi, "x": np.arange(shown + 1),
                      "value": np.abs(power_orbit(start, ALPHA, xi, shown))})
        for xi in POWERS
    ]  # fmt: skip
    true = power_orbit(start, ALPHA, 0.0, shown)
    boole = np.abs(power_orbit(start, ALPHA, 1.0, length))[1:]
    windows = boole.reshape(10, -1).max(axis=1)
    root = np.abs(power_orbit(np.linspace(0.33, 2.7, 40), ALPHA, 0.5, 400))[-50:]
    claims = [
        Claim.below("Fisher/geometric", _relative(true, start * (1 - ALPHA) ** np.arange(shown + 1)), 1e-12,
                    "with the true Fisher theta_k = (1 - alpha)^k theta_0", source=SOURCE),
        Claim.above("empirical Fisher/excursion", boole.max(), 50.0,
                    "with the empirical Fisher the iterates make arbitrarily large excursions", source=SOURCE),
        Claim.above("empirical Fisher/never settles", windows.min(), 5.0,
                    "in each tenth of the run the iterate leaves |theta| = 5 again: it never converges", source=SOURCE),
        Claim.below("square root/bounded", root.max(), ALPHA * (1 + 1e-12),
                    "with its square root the iterates end inside |theta| <= alpha", source=SOURCE),
        Claim.below("square root/cycles", float(np.max(np.abs(root[2:] - root[:-2]))), 1e-12,
                    "and repeat with period 2 without converging", source=SOURCE),
        Claim.above("square root/spread", float(np.ptp(root[-1])), ALPHA / 2,
                    "the cycle depends on the start: none attracts", source=SOURCE),
    ]  # fmt: skip
    return pd.concat(frames), claims


def cycles(settings: Settings) -> tuple[pd.DataFrame, list[Claim]]:
    """Where the orbits end for each power, against the predicted 2-cycle and its stability."""
    burn, kept = settings.choose(1500, 3000), settings.choose(150, 300)
    frames, error, growth = [], 0.0, 0.0
    for xi in settings.track(np.round(np.arange(0.05, 1.0001, 0.0125), 4).tolist(), "powers"):
        tail = np.abs(power_orbit(STARTS, ALPHA, xi, burn + kept)[-kept:]).ravel()
        amplitude = cycle_amplitude(ALPHA, xi)
        frames.append(pd.DataFrame({"panel": "attractor", "curve": xi, "x": xi, "value": tail, "theory": amplitude}))
        if 0.05 <= xi <= 0.45:
            error = max(error, _relative(tail, amplitude))
        if abs(xi - 0.5) > 0.01 and abs(xi - 0.25) > 0.01:  # neutral, and superattracting
            growth = max(growth, abs(_measured_multiplier(xi) / cycle_multiplier(xi) - 1))
    stable = [cycle_multiplier(xi) < 1 for xi in (0.05, 0.25, 0.45)]
    unstable = [cycle_multiplier(xi) > 1 for xi in (0.55, 0.75, 1.0)]
    claims = [
        Claim.below("2-cycle/amplitude", error, 1e-6,
                    "for 0 < xi < 1/2 every orbit ends in |theta| = (alpha/2)^(1/(2 xi))", source=SOURCE),
        Claim.below("2-cycle/multiplier", growth, 1e-4,
                    "a disturbance of the cycle is multiplied by (4 xi - 1)^2 in two steps", source=SOURCE),
        Claim.holds("2-cycle/stability", all(stable) and all(unstable),
                    "the cycle attracts for xi < 1/2 and repels for xi > 1/2", source=SOURCE),
    ]  # fmt: skip
    return pd.concat(frames), claims


def _measured_multiplier(xi: float) -> float:
    amplitude, relative = cycle_amplitude(ALPHA, xi), 1e-5
    ends = power_orbit(amplitude * np.array([1 - relative, 1 + relative]), ALPHA, xi, 2)[-1]
    return float((ends[1] - ends[0]) / (2 * relative * amplitude))


def network_flow(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """The parameter-space flow of a tanh network with more parameters than samples, against `e^2 = e(0)^2 - 2t`."""
    samples, width = settings.choose((4, 10), (6, 16))
    model, size = tanh_network(rng.normal(size=(samples, 4)), [width, 1])
    theta, targets = rng.normal(size=size), np.zeros((samples, 1))
    objective = Objective(model, Canonical(Gaussian()), targets)
    # residuals of given sizes, so that the arrival times e^2/2 are well apart
    e = np.linspace(0.8, 1.6, samples) * np.where(np.arange(samples) % 2, 1.0, -1.0)
    objective = objective.with_targets(objective.outputs(theta) - e[:, None])
    times = np.linspace(0.0, 0.95 * np.min(e**2) / 2, 25)
    path = _parameter_flow(objective, theta, times)
    flow = FunctionSpaceFlow(Gaussian(), EmpiricalFisher(), e[:, None], targets)
    isotropic = FunctionSpaceFlow(Gaussian(), Isotropic(1.0), e[:, None], targets).residual_path(times)[..., 0]
    frames = [
        pd.DataFrame({"panel": "flow", "curve": n, "x": times, "value": path[:, n] ** 2,
                      "theory": e[n] ** 2 - 2 * times, "isotropic": isotropic[:, n] ** 2})
        for n in range(samples)
    ]  # fmt: skip
    law = e**2 - 2 * times[:, None]
    remaining = np.abs(path[-1] / e)
    claims = [
        Claim.below("flow/law", float(np.max(np.abs(path**2 - law))), 1e-9,
                    "every sample obeys e^2(t) = e^2(0) - 2t, whatever the network", source=SOURCE),
        Claim.below("flow/operator", float(np.max(np.abs(flow.residual_path(times)[..., 0] - path))), 1e-9,
                    "the function-space flow with operator diag(1/e^2) is the flow of the parameters", source=SOURCE),
        Claim.above("flow/not isotropic", float(remaining.max() / remaining.min()), 2.0,
                    "samples progress at different rates, those with small residuals first", source=SOURCE),
    ]  # fmt: skip
    return pd.concat(frames), claims


def _parameter_flow(objective: Objective, theta: np.ndarray, times: np.ndarray) -> np.ndarray:
    def field(point: np.ndarray) -> np.ndarray:
        return empirical_fisher_direction(objective.jacobian(point)[:, 0], objective.score(point)[:, 0])

    return np.stack([objective.score(point)[:, 0] for point in integrate(field, theta, times)])


def _relative(value: np.ndarray, expected: np.ndarray | float) -> float:
    return float(np.max(np.abs(value / expected - 1)))
