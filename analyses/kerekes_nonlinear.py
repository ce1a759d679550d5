"""Natural gradient flow of nonlinear networks with finitely many parameters: the inputs of the Fisher decide.

With more parameters than Fisher inputs (a Jacobian of full row rank over all of them) the training residuals decay
alike, and test inputs that are among the Fisher inputs never move. Otherwise they do.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pandas as pd

from analyses.kerekes_problems import PAPER, derived, frame
from analyses.study import Settings, Study
from ntkng.families import Bernoulli
from ntkng.inductive_bias import DifferentiableModel, GradientFlow, NaturalGradientFlow
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

SOURCE = derived("parameter_flow")
INPUTS, TRAIN, TEST = 4, 8, 6


def perceptron(inputs: int, hidden: int) -> tuple[DifferentiableModel, int]:
    """A tanh network with one hidden layer and one output without bias, and its number of parameters."""
    cuts = [inputs * hidden, inputs * hidden + hidden]

    def apply(theta, X):
        weights, bias, readout = jnp.split(theta, cuts)
        return (jnp.tanh(X @ weights.reshape(inputs, hidden) + bias) @ readout)[:, None]

    return DifferentiableModel(apply), (inputs + 2) * hidden


def study(settings: Settings) -> Study:
    """All claims and curves of figure A6."""
    rng = np.random.default_rng([settings.seed, 6])
    X, X_test = rng.normal(size=(TRAIN, INPUTS)), rng.normal(size=(TEST, INPUTS))
    y = np.tile([[0.0], [1.0]], (TRAIN // 2, 1))
    rows, claims = over_parametrised(X, y, X_test, settings, rng)
    more_rows, more_claims = under_parametrised(settings)
    report = Report("Nonlinear networks", (*claims, *more_claims), provenance(seed=settings.seed))
    return Study(pd.concat([rows, more_rows], ignore_index=True), report)


def over_parametrised(
    X: np.ndarray, y: np.ndarray, X_test: np.ndarray, settings: Settings, rng: np.random.Generator
) -> tuple[pd.DataFrame, list[Claim]]:
    """72 parameters, 8 training and 6 test inputs."""
    model, size = perceptron(INPUTS, 12)
    theta, t = rng.normal(size=size), np.linspace(0, settings.choose(3.0, 5.0), 26)
    frames, claims = [], []
    kinds = {"train and test inputs": X_test, "train inputs": None}
    for name, extra in settings.track(list(kinds.items()), "over-parametrised"):
        flow = NaturalGradientFlow(model, Bernoulli(), X, y, extra=extra)
        path = flow.path(theta, t)
        train, test = flow.outputs(path, X), flow.outputs(path, X_test)
        for n in range(TEST):
            frames.append(frame("test logits", curve=name, sample=n, x=t, y=test[:, n, 0]))
        residual = Bernoulli().residual(train, y)
        off = np.abs(np.exp(t)[:, None, None] * residual - residual[0]).max((1, 2))
        frames.append(frame("law", curve=name, sample=-1, x=t[1:], y=off[1:]))
        claims += movement_claims(name, t, residual, test, frozen=extra is not None)
    return pd.concat(frames), claims


def movement_claims(
    name: str, t: np.ndarray, residual: np.ndarray, test: np.ndarray, *, frozen: bool, alpha: float = 1.0
) -> list[Claim]:
    """Training law, and whether the test logits move."""
    off = np.abs(np.exp(alpha * t)[:, None, None] * residual - residual[0]).max()
    moved = float(np.abs(test - test[0]).max())
    law = Claim.below(f"Fisher over {name}/law", off, 1e-8, "e^t (p(t) - y) is constant on the training inputs",
                      source=f"{PAPER}, nonlinear networks")  # fmt: skip
    if frozen:
        still = Claim.below(f"Fisher over {name}/test", moved, 1e-8, "the test logits do not move", source=SOURCE)
    else:
        still = Claim.above(f"Fisher over {name}/test", moved, 0.1, "the test logits move", source=SOURCE)
    return [law, still]


def under_parametrised(settings: Settings) -> tuple[pd.DataFrame, list[Claim]]:
    """6 parameters, 8 training inputs: neither the residual law nor the gradient law holds, and the flow may be singular."""
    model, size = perceptron(INPUTS, 1)
    t, frames, law, gradient, singular = np.linspace(0, 0.15, 4), [], [], [], 0
    seeds = settings.choose(8, 24)
    for seed in settings.track(range(seeds), "under-parametrised"):
        rng = np.random.default_rng([settings.seed, 66, seed])
        X, theta, y = rng.normal(size=(TRAIN, INPUTS)), rng.normal(size=size), np.tile([[0.0], [1.0]], (TRAIN // 2, 1))
        flow = NaturalGradientFlow(model, Bernoulli(), X, y, rtol=1e-9, atol=1e-10, evaluations=3000)
        try:
            path = flow.path(theta, t)
        except RuntimeError:  # the velocity blows up where the Jacobian loses rank
            singular += 1
            continue
        residual = Bernoulli().residual(flow.outputs(path, X), y)
        g = np.stack([GradientFlow(model, Bernoulli(), X, y).velocity(p) for p in path])
        law.append(np.abs(residual[-1] - np.exp(-t[-1]) * residual[0]).max())
        gradient.append(np.linalg.norm(np.exp(t[-1]) * g[-1] - g[0]) / np.linalg.norm(g[0]))
        frames.append(frame("under-parametrised", curve=str(seed), sample=seed, x=law[-1:], y=gradient[-1:]))
    return pd.concat(frames), violation_claims(np.array(law), np.array(gradient), singular / seeds)


def violation_claims(law: np.ndarray, gradient: np.ndarray, singular: float) -> list[Claim]:
    """With fewer parameters than samples nothing of the linear theory survives."""
    return [
        Claim.above("P < N/law", float(law.min()), 1e-4,
                    "6 parameters, 8 samples: max |r - e^-t r(0)| at t = 0.15 (smallest over the starts)", source=SOURCE),
        Claim.above("P < N/gradient", float(gradient.min()), 0.02,
                    "the gradient law is violated as well (relative, smallest over the starts)", source=SOURCE),
        Claim.finding("P < N/singular", singular, "fraction of starts whose flow turns singular before t = 0.15",
                      source=SOURCE),
    ]  # fmt: skip
