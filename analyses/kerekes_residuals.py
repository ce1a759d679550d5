"""How residuals and gradients decay along natural gradient flow: the closed forms against flows of the parameters.

Everything that is checked here is integrated in parameter space; the closed forms only say what should come out.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from analyses.kerekes_problems import PAPER, derived, frame, separable_problem, slope
from analyses.study import Settings, Study
from ntkng.families import Bernoulli, Family, Gaussian, Poisson, Softmax
from ntkng.function_space_flow import FunctionSpaceFlow, Isotropic, Projector, transfer_operator
from ntkng.inductive_bias import (
    DeepLinear,
    LogisticProblem,
    NaturalGradientFlow,
    angle,
    interpolating_direction,
    interpolating_flow,
    interpolating_weights,
    legendre_flow,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import log_log_slope

TIMES = np.linspace(0, 8, 33)
SHORT = np.linspace(0, 5, 21)


def study(settings: Settings) -> Study:
    """All claims and curves of figure A3."""
    rng = np.random.default_rng([settings.seed, 3])
    parts = [few_samples(settings, rng), many_samples(settings, rng), families(settings, rng)]
    claims = [claim for _, found in parts for claim in found] + held_out(rng) + discrete()
    report = Report("Decay of residuals and gradients", tuple(claims), provenance(seed=settings.seed))
    return Study(pd.concat([rows for rows, _ in parts], ignore_index=True), report)


def few_samples(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """`N = 6 <= d = 9`: every residual decays as `e^{-t}`, with a block-diagonal Fisher as `e^{-L t}`."""
    problem, w0 = separable_problem(6, 9, rng)
    frames, claims = [], []
    variants = {"exact": (2, None), "block-diagonal": (3, "layers")}
    for name, (depth, blocks) in settings.track(list(variants.items()), "N <= d"):
        model = DeepLinear((9, *[10] * (depth - 1), 1))
        theta = model.matching(w0, rng)
        sizes = None if blocks is None else tuple(W.size for W in model.layers(theta))
        t = TIMES if blocks is None else TIMES[TIMES <= 4]
        flow = NaturalGradientFlow(model, Bernoulli(), problem.X, problem.targets, blocks=sizes)
        r = problem.residuals(flow.outputs(flow.path(theta, t), np.eye(9))[..., 0])
        frames += [frame("N <= d", curve=name, sample=n, x=t, y=r[:, n]) for n in range(6)]
        claims.append(decay_claim(name, t, r, alpha=1.0 if blocks is None else float(depth)))
    return pd.concat(frames), claims + weight_claims(problem, w0)


def decay_claim(name: str, t: np.ndarray, r: np.ndarray, *, alpha: float) -> Claim:
    """All slopes of `log r_n` are `-alpha`."""
    worst = np.abs(slope(t, np.log(r)) / alpha + 1).max()
    statement = (
        f"{name} Fisher, N <= d: every residual decays at the rate {alpha:g} (largest relative error of a slope)"
    )
    return Claim.below(f"N <= d/{name} decay", worst, 1e-6, statement, source=f"{PAPER}, flow in predictor space")


def weight_claims(problem: LogisticProblem, w0: np.ndarray, *, rate: float = 1.0) -> list[Claim]:
    """The weights in closed form (at `rate` times the time) and their direction."""
    linear = DeepLinear((problem.X.shape[1], 1))
    path = NaturalGradientFlow(linear, Bernoulli(), problem.X, problem.targets).path(w0, TIMES)
    error = np.abs(path - interpolating_flow(problem, w0, rate * TIMES)).max()
    u, late = interpolating_direction(problem), np.array([50.0, 500.0])
    angles = [np.asarray(angle(interpolating_flow(problem, w, late), u)) for w in (w0, -3 * w0)]
    source = derived("interpolating")
    return [
        Claim.below("N <= d/weights", error, 1e-9, "w(t) = w(0) + X^+ (y m(t) - f(0)), m = log(e^t/r(0) - 1)",
                    source=source),
        Claim.below("N <= d/direction", max(a[1] for a in angles), 1.0,
                    "from two starts the direction tends to X^+ y (degrees at t = 500)", source=source),
        Claim.within("N <= d/direction rate", angles[0][1] / angles[0][0], 0.09, 0.11,
                     "like 1/t (angle at t = 500 over that at 50)", source=source),
    ]  # fmt: skip


def many_samples(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """`N = 15` or `40`, `d = 5`: only the gradient decays as `e^{-t}`, separable or not."""
    separable, w0 = separable_problem(15, 5, rng)
    noisy = LogisticProblem(rng.normal(size=(40, 5)), np.where(np.arange(40) % 2, 1.0, -1.0))
    frames, claims, linear = [], [], DeepLinear((5, 1))
    for name, problem in settings.track([("separable", separable), ("not separable", noisy)], "N > d"):
        path = NaturalGradientFlow(linear, Bernoulli(), problem.X, problem.targets).path(w0, TIMES)
        g, r = problem.gradient(path), problem.residuals(path)
        frames.append(frame("N > d", curve=f"gradient, {name}", sample=-1, x=TIMES, y=np.linalg.norm(g, axis=1)))
        if name == "separable":
            frames += [frame("N > d", curve="residual", sample=n, x=TIMES, y=r[:, n]) for n in range(15)]
        claims += gradient_claims(name, problem, path, r)
    return pd.concat(frames), claims


def gradient_claims(
    name: str, problem: LogisticProblem, path: np.ndarray, r: np.ndarray, *, alpha: float = 1.0
) -> list[Claim]:
    """Gradient law, Legendre form and projector flow against a path from the parameter ODE."""
    g = problem.gradient(path)
    f = FunctionSpaceFlow(
        Bernoulli(), Projector.onto(problem.X), problem.X @ path[0][:, None], problem.targets
    ).logit_path(TIMES[TIMES <= 4])  # fmt: skip
    short = path[: len(f)] @ problem.X.T
    spread = np.ptp(slope(TIMES, np.log(r)))
    return [
        Claim.below(f"N > d/gradient, {name}", np.abs(slope(TIMES, np.log(np.abs(g))) / alpha + 1).max(), 1e-6,
                    f"g(t) = e^-t g(0), {name} data (largest error of a component's slope)", source=derived("legendre")),
        Claim.below(f"N > d/Legendre, {name}", np.abs(path - legendre_flow(problem, path[0], TIMES)).max(), 1e-9,
                    "w(t) minimises L(w) - e^-t g(0).w", source=derived("legendre")),
        Claim.below(f"N > d/projector, {name}", np.abs(f[..., 0] - short).max(), 1e-9,
                    "the function-space flow with the projector on the range of X gives the same logits",
                    source="ntkng.function_space_flow"),
        Claim.above(f"N > d/residuals, {name}", spread, 0.05,
                    "single residuals do not share a rate (spread of the slopes)", source=derived("legendre")),
    ]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Regression:
    """A linear model with several outputs: family, inputs, targets, initial weights."""

    family: Family
    X: np.ndarray
    y: np.ndarray
    W0: np.ndarray


def families(settings: Settings, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Claim]]:
    """The master law `mu(t) = y + e^{-t} (mu(0) - y)` for four exponential families."""
    X, W0, frames, claims = rng.normal(size=(6, 9)), 0.3 * rng.normal(size=(9, 3)), [], []
    targets = {
        "Gaussian": (Gaussian(), rng.normal(size=(6, 3))),
        "Bernoulli": (Bernoulli(), rng.integers(0, 2, size=(6, 3)).astype(float)),
        "softmax": (Softmax(), np.eye(3)[rng.integers(0, 3, size=6)]),
        "Poisson": (Poisson(), rng.poisson(2.0, size=(6, 3)).astype(float)),
    }
    model = DeepLinear((9, 3))
    for name, (family, y) in settings.track(list(targets.items()), "families"):
        flow = NaturalGradientFlow(model, family, X, y)
        path = np.stack([model.end_to_end(p) for p in flow.path(W0.T.ravel(), SHORT)])
        residual = family.residual(X @ path, y)
        off = np.abs(np.exp(SHORT)[:, None, None] * residual - residual[0]).max((1, 2))
        frames.append(frame("families", curve=name, sample=-1, x=SHORT[1:], y=off[1:]))
        claims += family_claims(name, Regression(family, X, y, W0), path)
    return pd.concat(frames), claims


def family_claims(name: str, data: Regression, path: np.ndarray, *, alpha: float = 1.0) -> list[Claim]:
    """Residual law and weights of one family; for softmax also the conserved row mean of the logits."""
    residual = data.family.residual(data.X @ path, data.y)
    off = np.abs(np.exp(alpha * SHORT)[:, None, None] * residual - residual[0]).max()
    closed = interpolating_weights(data.family, data.X, data.y, data.W0, SHORT, alpha=alpha)
    claims = [
        Claim.below(f"{name}/residuals", off, 1e-9, "e^t (mu(t) - y) is constant", source="ntkng.function_space_flow"),
        Claim.below(f"{name}/weights", np.abs(path - closed).max(), 1e-9, "W(t) = W(0) + X^+ (f(t) - f(0))",
                    source=derived("interpolating")),
    ]  # fmt: skip
    if isinstance(data.family, Softmax):
        means = (data.X @ path).mean(-1)
        claims.append(Claim.below(f"{name}/row mean", np.abs(means - means[0]).max(), 1e-9,
                                  "the row mean of the logits is conserved", source=derived("interpolating")))  # fmt: skip
    return claims


def held_out(rng: np.random.Generator) -> list[Claim]:
    """Training predictions agree between exact and block-diagonal Fisher up to the time scale; held-out ones do not."""
    blocks, stars = ([rng.normal(size=(n, 12)) for _ in range(3)] for n in (6, 4))
    y, t = rng.integers(0, 2, size=(6, 1)).astype(float), np.array([0.0, 1.0, 3.0])
    J, J_star, f0 = np.concatenate(blocks, axis=1), np.concatenate(stars, axis=1), rng.normal(size=(6, 1))

    def simulate(sizes: tuple[int, ...] | None, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = np.linalg.lstsq(J, f0[:, 0], rcond=None)[0]  # a model linear in its parameters that starts at f0
        flow = NaturalGradientFlow(DeepLinear((36, 1)), Bernoulli(), J, y, blocks=sizes)
        moved = flow.path(offset, times)
        return moved @ J.T, (moved - offset) @ J_star.T

    exact, exact_star = simulate(None, 3 * t)
    block, block_star = simulate((12, 12, 12), t)
    K = transfer_operator([s @ b.T for s, b in zip(stars, blocks, strict=True)], [b @ b.T for b in blocks])
    whole = transfer_operator([J_star @ J.T], [J @ J.T])
    flow, slow, zero = FunctionSpaceFlow(Bernoulli(), Isotropic(3.0), f0, y), 3 * t, np.zeros((4, 1))
    law = FunctionSpaceFlow(Bernoulli(), Isotropic(1.0), f0, y)
    off = max(np.abs(flow.transfer(t, K, zero)[..., 0] - block_star).max(),
              np.abs(law.transfer(slow, whole, zero)[..., 0] - exact_star).max())  # fmt: skip
    source = "ntkng.function_space_flow"
    return [
        Claim.below("held out/training", np.abs(exact - block).max(), 1e-9,
                    "training logits of the block-diagonal Fisher at t are those of the exact one at 3 t", source=source),
        Claim.below("held out/transfer", off, 1e-9,
                    "held-out logits are (1/L) sum_l Theta_l,*X Theta_l^-1 times the change of the training logits",
                    source=source),
        Claim.above("held out/differ", np.abs(exact_star - block_star).max(), 0.05,
                    "and differ between the two", source=source),
    ]  # fmt: skip


def discrete() -> list[Claim]:
    """Steps of finite size: exact for squared loss, of first order for the logistic margin."""
    eta, k = 0.1, np.arange(30)
    X, y = np.random.default_rng(0).normal(size=(2, 4)), np.array([[1.0], [-1.0]])
    flow, w, errors = NaturalGradientFlow(DeepLinear((4, 1)), Gaussian(), X, y), np.zeros(4), []
    for _ in k:
        errors.append((X @ w - y[:, 0])[0] / -y[0, 0])
        w = w + eta * flow.velocity(w)
    rates, gaps = np.array([0.1, 0.05, 0.025, 0.0125]), []
    for rate in rates:
        m = 0.0
        for _ in range(round(3 / rate)):
            m += rate * (1 + np.exp(-m))
        gaps.append(abs(m - np.log(2 * np.exp(3) - 1)))
    source = "ntkng.function_space_flow"
    return [
        Claim.below("discrete/squared loss", np.abs(np.array(errors) - (1 - eta) ** k).max(), 1e-12,
                    "squared loss, linear model: k steps leave (1 - eta)^k of the residual", source=source),
        Claim.within("discrete/logistic", log_log_slope(rates, np.array(gaps)[:, None]).value, 0.95, 1.1,
                     "logistic margin: an Euler scheme, error O(eta) at T = 3", source=source),
    ]  # fmt: skip
