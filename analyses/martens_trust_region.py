"""Tikhonov damping and trust regions: one is the other read backwards, and what damping does to the modes of the NTK."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.optimize

from analyses.martens_models import FAMILIES, draw_targets, mildly_nonlinear, tanh_network
from analyses.study import Settings, Study
from ntkng.families import Gaussian
from ntkng.function_space_flow import Damped, FunctionSpaceFlow
from ntkng.perspectives import (
    Canonical,
    Objective,
    damped_step,
    kl_ball_step,
    kl_divergence,
    mode_rates,
    step_length,
    trust_region_step,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import log_log_slope

SOURCE = "Martens 2020, damping and trust regions"
KL = "Martens 2020, the natural gradient as steepest descent in KL"


def study(settings: Settings) -> Study:
    """Step length against damping, exact divergence of KL-ball steps, and decay rates of damped modes."""
    rng = np.random.default_rng(settings.seed)
    parts = [tikhonov(settings, rng), kl_ball(settings, rng), modes(settings, rng)]
    table = pd.concat([frame for frame, _ in parts], ignore_index=True)
    report = Report(
        "Damping and trust regions", tuple(c for _, claims in parts for c in claims), provenance(seed=settings.seed)
    )
    return Study(table, report)


def tikhonov(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """The trust-region problem on the Fisher matrix of a network, solved by damping and by a general optimiser."""
    x = rng.normal(size=(settings.choose(30, 60), 3))
    model, size = tanh_network(x, [3, 1])
    objective = Objective(model, Canonical(Gaussian()), rng.normal(size=(len(x), 1)))
    theta = rng.normal(size=size)
    b, g = objective.fisher(theta), objective.gradient(theta)
    lowest = float(np.linalg.eigvalsh(b)[0])
    damping = np.geomspace(0.01 * lowest, 1e2, settings.choose(60, 120))
    lengths = np.array([step_length(b, g, lam) for lam in damping])
    frame = pd.DataFrame({"panel": "length", "curve": "r(lam)", "x": damping, "value": lengths})
    radii = np.geomspace(step_length(b, g, 10.0), 0.9 * step_length(b, g, 0.0), 6)
    found = [trust_region_step(b, g, r) for r in radii]
    general = [_constrained(b, g, r) for r in radii]
    chosen = pd.DataFrame({"panel": "length", "curve": "trust region", "x": [lam for _, lam in found],
                           "value": [np.linalg.norm(d) for d in general]})  # fmt: skip
    stationarity = max(_relative_norm(d - damped_step(b, g, lam), d) for d, lam in found)
    radius = max(abs(np.linalg.norm(d) / r - 1) for (d, _), r in zip(found, radii, strict=True))
    value = max(abs(_model(b, g, d) / _model(b, g, o) - 1) for (d, _), o in zip(found, general, strict=True))
    steps = max(_relative_norm(o - d, d) for (d, _), o in zip(found, general, strict=True))
    inside = trust_region_step(b, g, 2 * step_length(b, g, 0.0))[1]
    claims = [
        Claim.below("trust region/damped", max(stationarity, radius), 1e-10,
                    "the trust-region step is a Tikhonov step whose length is the radius", source=SOURCE),
        Claim.below("trust region/value", value, 1e-10,
                    "a general constrained optimiser finds the same model value", source=SOURCE),
        Claim.below("trust region/step", steps, 1e-5,
                    "and the same step, to its own accuracy", source=SOURCE),
        Claim.below("trust region/inactive", inside, 1e-300,
                    "when the full step lies inside the ball there is no damping", source=SOURCE),
        Claim.holds("trust region/monotone", bool(np.all(np.diff(lengths) < 0)),
                    "|(B + lam I)^-1 g| decreases in lam, so that radius and damping determine each other", source=SOURCE),
    ]  # fmt: skip
    return pd.concat([frame, chosen]), claims


def _constrained(b: np.ndarray, g: np.ndarray, radius: float) -> np.ndarray:
    scale = radius / np.linalg.norm(g)
    # in units of the radius and of the model's size, so that the optimiser's tolerances mean something
    unit = abs(_model(b, g, -scale * g)) or 1.0
    result = scipy.optimize.minimize(
        lambda d: _model(b, g, radius * d) / unit, -g / np.linalg.norm(g),
        jac=lambda d: radius * (g + b @ (radius * d)) / unit, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda d: 1.0 - d @ d, "jac": lambda d: -2.0 * d},
        options={"ftol": 1e-16, "maxiter": 1000},
    )  # fmt: skip
    return radius * result.x


def kl_ball(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """Exact divergence after steps of the KL ball, for every family, and no better direction in the ball."""
    radii = np.geomspace(1e-7, 1e-2, 6)
    samples, inputs = settings.choose((40, 3), (60, 4), (120, 8))
    frames, claims = [], []
    for name, family in settings.track(FAMILIES.items(), "divergences", total=len(FAMILIES)):
        outputs = 2 if name == "softmax" else 1
        model = mildly_nonlinear(*rng.normal(size=(2, samples, inputs)), outputs=outputs)
        objective = Objective(model, Canonical(family), draw_targets(family, (samples, outputs), rng))
        theta = 0.5 * rng.normal(size=inputs * outputs)
        fisher, slope, f = objective.fisher(theta), objective.gradient(theta), objective.outputs(theta)
        steps = [kl_ball_step(fisher, slope, eps) for eps in radii]
        exact = np.array([kl_divergence(family, f, objective.outputs(theta + d)) for d in steps])
        frames.append(pd.DataFrame({"panel": "divergence", "curve": name, "x": radii, "value": exact}))
        gap = np.abs(exact / radii - 1)
        claims += [
            Claim.below(f"KL/{name}/size", gap[0], 5e-3,
                        "the exact divergence of the step is the radius, for small radii", source=KL),
            Claim.above(f"KL/{name}/order", log_log_slope(radii[1:4], gap[1:4]).value, 0.4,
                        "the relative error falls at least like the square root of the radius", source=KL),
            Claim.above(f"KL/{name}/steepest", _best_other(fisher, slope, rng), 0.0,
                        "no other direction in the ball decreases the loss faster (relative margin)", source=KL),
        ]  # fmt: skip
    return pd.concat(frames), claims


def _best_other(fisher: np.ndarray, slope: np.ndarray, rng: np.random.Generator) -> float:
    step = kl_ball_step(fisher, slope, 0.5)  # d^T F d = 1
    near = step + 0.2 * np.linalg.norm(step) * rng.normal(size=(4000, slope.size)) / np.sqrt(slope.size)
    others = np.concatenate([near, rng.normal(size=(4000, slope.size)), -slope[None]])
    others /= np.sqrt(np.einsum("ri,ij,rj->r", others, fisher, others))[:, None]
    return float(1.0 - np.min(others @ slope) / (step @ slope))


def modes(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """Damping interpolates between the isotropic flow and gradient descent, mode by mode."""
    samples, size = settings.choose((8, 20), (12, 40))
    u, v = np.linalg.qr(rng.normal(size=(samples, samples)))[0], np.linalg.qr(rng.normal(size=(size, samples)))[0]
    theta = np.geomspace(1e-3, 10.0, samples)
    j = (u * np.sqrt(theta)) @ v.T  # a Jacobian whose NTK has a known spectrum
    damping, frames, dense_error, flow_error = np.geomspace(1e-8, 1e6, 29), [], 0.0, 0.0
    f0, t = rng.normal(size=(samples, 1)), 1.7
    for lam in damping:
        predicted = mode_rates(theta, lam)
        # J (J^T J + lam)^{-1} J^T by an augmented least-squares problem: no inverse of a nearly singular matrix
        augmented = np.vstack([j, np.sqrt(lam) * np.eye(size)])
        solved = np.linalg.lstsq(augmented, np.vstack([np.eye(samples), np.zeros((size, samples))]), rcond=None)[0]
        measured = np.diag(u.T @ (j @ solved) @ u)
        dense_error = max(dense_error, float(np.max(np.abs(measured - predicted))))
        flow = FunctionSpaceFlow(Gaussian(), Damped(lam / samples, j @ j.T), f0, np.zeros((samples, 1)))
        late = u.T @ flow.logit_path(t)[:, 0]
        flow_error = max(flow_error, float(np.max(np.abs(late - np.exp(-predicted * t) * (u.T @ f0[:, 0])))))
        frames.append(
            pd.DataFrame({"panel": "rates", "curve": theta, "x": lam, "value": measured, "theory": predicted})
        )
    low, high = mode_rates(theta, damping[0]), mode_rates(theta, damping[-1]) * damping[-1] / theta
    claims = [
        Claim.below("modes/rates", dense_error, 1e-10,
                    "the modes of J (J^T J + lam I)^-1 J^T are theta_i / (theta_i + lam)", source=SOURCE),
        Claim.below("modes/flow", flow_error, 1e-10,
                    "the damped function-space flow decays each mode at that rate", source=SOURCE),
        Claim.below("modes/isotropic limit", float(np.max(np.abs(low - 1))), 1.1 * damping[0] / theta[0],
                    "without damping all rates are 1, up to lam / theta_min", source=SOURCE),
        Claim.below("modes/gradient-descent limit", float(np.max(np.abs(high - 1))), 1.1 * theta[-1] / damping[-1],
                    "with strong damping the rates are proportional to theta_i, up to theta_max / lam", source=SOURCE),
    ]  # fmt: skip
    return pd.concat(frames), claims


def _model(b: np.ndarray, g: np.ndarray, d: np.ndarray) -> float:
    return float(g @ d + 0.5 * d @ b @ d)


def _relative_norm(difference: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(difference) / np.linalg.norm(reference))
