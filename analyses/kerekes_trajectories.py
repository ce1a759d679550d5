"""Trajectories of the predictor at several depths: natural gradient flow follows one, gradient flow one a depth.

Natural gradient flow is invariant under reparametrisation as long as the end-to-end Jacobian has full row rank and the
Fisher matrix in predictor space is invertible. With fewer samples than dimensions and the Fisher matrix over the
training inputs only, the second condition fails, and the depth returns through the pseudo-inverse.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analyses.kerekes_problems import PAPER, derived, distinct_limits, frame, separable_problem
from analyses.study import Settings, Study
from ntkng.families import Bernoulli
from ntkng.inductive_bias import (
    DeepLinear,
    DiagonalLinear,
    LinearParametrisation,
    LogisticProblem,
    NaturalGradientFlow,
    angle,
    l2_max_margin,
    legendre_flow,
    normalised_gradient_flow,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import log_log_slope

Starts = dict[str, tuple[LinearParametrisation, np.ndarray]]


def study(settings: Settings) -> Study:
    """All claims and curves of figure A1."""
    rng = np.random.default_rng([settings.seed, 1])
    limit = distinct_limits(15, 2, settings.seed, l1=False)
    starts = architectures(2, limit.w0, rng)
    rows, claims = coincidence(limit.problem, limit.w0, starts, settings)
    more_rows, more_claims = gradient_flow(limit.problem, starts, settings)
    failure_rows, failure_claims = few_samples(settings, rng)
    claims += [*more_claims, *operator_identity(limit.problem, starts), *discrete(limit.problem, starts, settings)]
    table = pd.concat([rows, more_rows, failure_rows], ignore_index=True)
    facts = {"u": limit.u, "b": limit.b, "l2": l2_max_margin(limit.problem)}
    title = "Trajectories of the predictor at several depths"
    return Study(table, Report(title, (*claims, *failure_claims), provenance(seed=settings.seed)), facts=facts)


def architectures(d: int, w0: np.ndarray, rng: np.random.Generator, width: int = 4) -> Starts:
    """Linear predictors in disguise that all start at `w0`."""
    width = max(width, d)
    models: dict[str, LinearParametrisation] = {
        "depth 1": DeepLinear((d, 1)),
        "depth 2": DeepLinear((d, width, 1)),
        "depth 3": DeepLinear((d, width, width, 1)),
        "diagonal, depth 2": DiagonalLinear(2, d),
        "diagonal, depth 3": DiagonalLinear(3, d),
    }
    return {name: (model, model.matching(w0, rng)) for name, model in models.items()}


def coincidence(
    problem: LogisticProblem, w0: np.ndarray, starts: Starts, settings: Settings
) -> tuple[pd.DataFrame, list[Claim]]:
    """Natural gradient flow in the parameters of every architecture."""
    t = np.linspace(0, 10, 41)
    exact = legendre_flow(problem, w0, t)
    frames, deviations, imbalances = [], {}, []
    for name, (model, theta) in settings.track(list(starts.items()), "natural gradient flow"):
        path = NaturalGradientFlow(model, Bernoulli(), problem.X, problem.targets).path(theta, t)
        beta = np.stack([model.end_to_end(p)[:, 0] for p in path])
        deviations[name] = beta
        frames.append(frame("NGF", curve=name, t=t, x=beta[:, 0], y=beta[:, 1]))
        if isinstance(model, DeepLinear) and model.depth > 1:
            imbalances.append(max(np.abs(model.imbalance(p) - model.imbalance(theta)).max() for p in path))
    spread = max(np.abs(beta - deviations["depth 1"]).max() for beta in deviations.values())
    claims = [
        Claim.below("NGF/one trajectory", spread, 1e-8,
                    "natural gradient flow moves the predictor alike at depths 1, 2, 3, fully connected or diagonal",
                    source=f"{PAPER}, invariance under reparametrisation"),
        Claim.below("NGF/Legendre", np.abs(deviations["depth 3"] - exact).max(), 1e-8,
                    "and this is the Legendre closed form", source=derived("legendre")),
        Claim.below("NGF/balance", max(imbalances), 1e-9,
                    "it conserves W_l W_l^T - W_{l+1}^T W_{l+1}, like gradient flow", source=derived("parametrisation")),
    ]  # fmt: skip
    return pd.concat(frames), claims


def gradient_flow(problem: LogisticProblem, starts: Starts, settings: Settings) -> tuple[pd.DataFrame, list[Claim]]:
    """Gradient flow from the same parameters: one trajectory a depth."""
    frames, directions = [], {}
    levels = np.linspace(0.1, 8.0, 60)  # of -log loss, at which the directions are compared
    for name, (model, theta) in settings.track(list(starts.items()), "gradient flow"):
        path = normalised_gradient_flow(problem, model, theta, margin=10.0, rtol=1e-9)
        frames.append(frame("GD", curve=name, t=np.nan, x=path.beta[:, 0], y=path.beta[:, 1]))
        known = levels[levels > -path.log_loss[0]]
        directions[name] = {v: [np.interp(v, -path.log_loss, column) for column in path.beta.T] for v in known}
    names, apart = ["depth 1", "depth 2", "depth 3"], []
    for k, first in enumerate(names):
        for second in names[k + 1 :]:
            common = directions[first].keys() & directions[second].keys()
            apart.append(max(float(angle(directions[first][v], directions[second][v])) for v in common))
    claim = Claim.above("GD/several trajectories", min(apart), 1.0,
                        "gradient flow at depths 1, 2, 3 differs pairwise by more than 1 degree at some equal loss",
                        source=f"{PAPER}, comparison with gradient descent")  # fmt: skip
    return pd.concat(frames), [claim]


def operator_identity(problem: LogisticProblem, starts: Starts) -> list[Claim]:
    """`J_beta (J_beta^T F_beta J_beta)^+ J_beta^T = F_beta^{-1}` at the starts."""
    worst = 0.0
    for model, theta in starts.values():
        F, J = problem.fisher(model.end_to_end(theta)[:, 0]), model.end_to_end_jacobian(theta)
        left = J @ np.linalg.pinv(J.T @ F @ J, rcond=1e-12) @ J.T
        worst = max(worst, float(np.abs(left @ F - np.eye(len(F))).max()))
    return [Claim.below("NGF/operator", worst, 1e-9, "J (J^T F J)^+ J^T = F^-1 in predictor space for every architecture",
                        source=derived("parametrisation"))]  # fmt: skip


def discrete(problem: LogisticProblem, starts: Starts, settings: Settings) -> list[Claim]:
    """Natural gradient *descent*: the discrepancy between depths is of first order in the step size."""
    rates = np.array([0.1, 0.05, 0.025, 0.0125])
    gaps = []
    for eta in settings.track(rates, "natural gradient descent"):
        ends = []
        for name in ("depth 1", "depth 3"):
            model, theta = starts[name]
            flow = NaturalGradientFlow(model, Bernoulli(), problem.X, problem.targets)
            for _ in range(round(2.0 / eta)):
                theta = theta + eta * flow.velocity(theta)
            ends.append(model.end_to_end(theta))
        gaps.append(np.linalg.norm(ends[0] - ends[1]))
    order = log_log_slope(rates, np.array(gaps)[:, None]).value
    return [Claim.within("NGD/order", order, 0.9, 1.1,
                         "with a finite step the depths differ by O(eta): slope of the discrepancy at fixed time",
                         source=derived("parameter_flow"))]  # fmt: skip


def few_samples(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """`N < d`: with the Fisher matrix over the training inputs only, the predictor depends on the depth."""
    problem, w0 = separable_problem(5, 8, rng)
    t, spanning = np.linspace(0, 3, 16), rng.normal(size=(8, 8))
    starts = architectures(8, w0, rng, width=8)
    frames, results = [], {}
    inputs = {"training inputs": None, "inputs that span the space": spanning}
    for (label, extra), name in settings.track([(i, n) for i in inputs.items() for n in starts], "few samples"):
        model, theta = starts[name]
        flow = NaturalGradientFlow(model, Bernoulli(), problem.X, problem.targets, extra=extra)
        results[label, name] = np.stack([model.end_to_end(p)[:, 0] for p in flow.path(theta, t)])
    for label in inputs:
        reference = results[label, "depth 1"]
        for name in list(starts)[1:]:
            relative = np.linalg.norm(results[label, name] - reference, axis=1) / np.linalg.norm(reference, axis=1)
            frames.append(frame("few samples", curve=name, fisher=label, t=t[1:], y=relative[1:]))
    return pd.concat(frames), few_samples_claims(problem, results, list(starts))


def few_samples_claims(problem: LogisticProblem, results: dict, names: list[str]) -> list[Claim]:
    """What the depth changes, and what it does not."""
    train, span = "training inputs", "inputs that span the space"
    basis = np.linalg.qr(problem.X.T)[0]

    def off_span(beta: np.ndarray) -> float:
        move = beta[-1] - beta[0]
        return float(np.linalg.norm(move - basis @ (basis.T @ move)))

    def spread(label: str, project=lambda beta: beta) -> float:
        first = project(results[label, "depth 1"])
        return max(float(np.abs(project(results[label, n]) - first).max()) for n in names)

    deep, shallow = results[train, "depth 3"][-1], results[train, "depth 1"][-1]
    source = derived("parameter_flow")
    return [
        Claim.below("N < d/outputs", spread(train, lambda beta: beta @ problem.X.T), 1e-8,
                    "Fisher over 5 training inputs in 8 dimensions: the training outputs still ignore the depth",
                    source=source),
        Claim.above("N < d/predictor", float(np.linalg.norm(deep - shallow) / np.linalg.norm(shallow)), 0.02,
                    "but the predictor does not (relative difference of depths 1 and 3)", source=source),
        Claim.below("N < d/off span, depth 1", off_span(results[train, "depth 1"]), 1e-10,
                    "at depth 1 nothing moves off the span of the inputs", source=source),
        Claim.above("N < d/off span, depth 3", off_span(results[train, "depth 3"]), 0.05,
                    "at depth 3 the predictor moves off the span", source=source),
        Claim.below("N < d/restored", spread(span), 1e-8,
                    "a Fisher matrix over inputs that span the space restores the invariance", source=source),
    ]  # fmt: skip
