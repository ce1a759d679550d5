"""Matrix completion by factorisation: which entries natural gradient flow moves, and what gradient flow recovers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analyses.kerekes_problems import PAPER, derived, frame
from analyses.study import Settings, Study
from ntkng.inductive_bias import DeepLinear, MatrixCompletion
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

SOURCE = derived("matrix_completion")
GRADIENT = f"{PAPER}, deep matrix factorisation"


def study(settings: Settings) -> Study:
    """All claims and curves of figure A4."""
    rng = np.random.default_rng([settings.seed, 4])
    size = 15
    M = np.outer(rng.normal(size=size), rng.normal(size=size))
    completion = MatrixCompletion(M, rng.random((size, size)) < 0.5)
    rows, claims = gradient(completion, settings, rng)
    more_rows, more_claims = natural(completion, settings, rng)
    claims += more_claims + small_cases(settings, rng)
    report = Report("Matrix completion", tuple(claims), provenance(seed=settings.seed))
    return Study(pd.concat([rows, more_rows], ignore_index=True), report)


def near_identity(network: DeepLinear, rng: np.random.Generator) -> np.ndarray:
    """Factors `0.01 I` with noise of size `1e-6`."""
    shapes = zip(network.widths[1:], network.widths[:-1], strict=True)
    return np.concatenate([(0.01 * np.eye(o, i) + 1e-6 * rng.normal(size=(o, i))).ravel() for o, i in shapes])


def gradient(
    completion: MatrixCompletion, settings: Settings, rng: np.random.Generator
) -> tuple[pd.DataFrame, list[Claim]]:
    """Gradient flow at depth 1, 2, 3 from a small start."""
    t, frames, final = np.concatenate([[0.0], np.geomspace(1e-2, 100, 80)]), [], {}
    for depth in settings.track([1, 2, 3], "gradient flow"):
        network = completion.network(*[len(completion.M)] * (depth - 1))
        W = completion.gradient_path(network, near_identity(network, rng), t)
        ratio = completion.unobserved_ratio(W)
        final[depth] = ratio[-1]
        frames.append(frame("gradient flow", curve=f"depth {depth}", x=t, y=ratio))
    return pd.concat(frames), gradient_claims(final)


def gradient_claims(final: dict[int, float]) -> list[Claim]:
    """Deeper factorisations recover the unobserved entries of a rank-1 matrix better."""
    return [
        Claim.within("GD/depth 1", final[1], 0.99, 1.01,
                     "one factor: the unobserved entries stay where they were (error over that of predicting zero)",
                     source=GRADIENT),
        Claim.below("GD/depth 2", final[2], 0.05, "two factors recover them", source=GRADIENT),
        Claim.below("GD/depth 3", final[3], 1e-3, "three factors recover them better", source=GRADIENT),
    ]  # fmt: skip


def natural(
    completion: MatrixCompletion, settings: Settings, rng: np.random.Generator
) -> tuple[pd.DataFrame, list[Claim]]:
    """Natural gradient flow in two square factors, Fisher over all entries or over the observed ones."""
    network, t, frames, paths = completion.network(len(completion.M)), np.linspace(0, 10, 41), [], {}
    start = near_identity(network, rng)
    for fisher in settings.track(("all", "observed"), "natural gradient flow"):
        paths[fisher] = completion.natural_gradient_path(network, start, t, fisher, rtol=settings.choose(1e-10, 1e-11))
        frames.append(frame("natural gradient flow", curve=fisher, x=t, y=completion.unobserved_ratio(paths[fisher])))
        observed = np.linalg.norm(completion.error(paths[fisher]), axis=(1, 2))
        frames.append(frame("observed", curve=fisher, x=t, y=observed / observed[0]))
    left = float(completion.unobserved_ratio(paths["observed"])[-1])
    finding = Claim.finding("NGF observed/unobserved error", left,
                            "what natural gradient flow leaves of the unobserved error when the Fisher runs over the "
                            "observed entries, from a small start at depth 2", source=SOURCE)  # fmt: skip
    return pd.concat(frames), [*law_claims("15 x 15, depth 2", completion, t, paths), finding]


def law_claims(
    name: str, completion: MatrixCompletion, t: np.ndarray, paths: dict[str, np.ndarray], *, alpha: float = 1.0
) -> list[Claim]:
    """Law of the observed entries for both Fishers; frozen or moving unobserved entries."""
    hidden = ~completion.observed
    law = completion.isotropic_path(paths["all"][0], alpha * t)
    claims = [
        Claim.below(f"NGF all/{name}, law", np.abs(paths["all"] - law).max(), 1e-8,
                    "Fisher over all entries: W(t) = W(0) - (1 - e^-t) Omega * (W(0) - M)", source=SOURCE),
        Claim.below(f"NGF all/{name}, frozen", np.abs(paths["all"] - paths["all"][0])[:, hidden].max(), 1e-8,
                    "so that the unobserved entries never move", source=GRADIENT),
    ]  # fmt: skip
    if "observed" in paths:
        off = np.abs(paths["observed"] - law)[:, completion.observed].max()
        moved = np.abs(paths["observed"] - paths["observed"][0])[:, hidden].max()
        claims += [
            Claim.below(f"NGF observed/{name}, law", off, 1e-8,
                        "Fisher over the observed entries: these obey the same law", source=SOURCE),
            Claim.above(f"NGF observed/{name}, moved", moved, 0.1, "but the unobserved entries move", source=SOURCE),
        ]  # fmt: skip
    return claims


def small_cases(settings: Settings, rng: np.random.Generator) -> list[Claim]:
    """A 6 x 5 matrix: depth 3, and factors too narrow for full rank."""
    completion, t = MatrixCompletion(rng.normal(size=(6, 5)), rng.random((6, 5)) < 0.6), np.linspace(0, 2, 9)
    deep = completion.network(7, 6)
    start = 0.6 * rng.normal(size=5 * 7 + 7 * 6 + 6 * 6)
    paths = {
        f: completion.natural_gradient_path(deep, start, t, f) for f in settings.track(("all", "observed"), "6 x 5")
    }
    narrow, t = completion.network(2), np.linspace(0, 0.5, 6)
    W = completion.natural_gradient_path(narrow, 0.8 * rng.normal(size=22), t, "all")
    hidden = ~completion.observed
    return [
        *law_claims("6 x 5, depth 3", completion, np.linspace(0, 2, 9), paths),
        Claim.below("NGF narrow/tangent", np.abs(W - completion.tangent_path(W[0], 2, t)).max(), 1e-8,
                    "factors of width 2: the residual projected on the tangent space of the rank-2 matrices",
                    source=SOURCE),
        Claim.above("NGF narrow/moved", np.abs(W - W[0])[:, hidden].max(), 0.01,
                    "then the unobserved entries move although the Fisher runs over all entries", source=SOURCE),
    ]  # fmt: skip
