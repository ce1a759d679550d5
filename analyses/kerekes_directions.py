"""Where natural gradient flow and gradient flow go on separable data with more samples than dimensions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from analyses.kerekes_problems import PAPER, derived, distinct_limits, frame, limit_angles
from analyses.study import Settings, Study
from ntkng.inductive_bias import (
    Asymptote,
    DeepLinear,
    DiagonalLinear,
    LinearParametrisation,
    LogisticProblem,
    NormalisedPath,
    angle,
    l1_max_margin,
    l2_max_margin,
    legendre_flow,
    limit_direction,
    normalised_gradient_flow,
    stationarity_angle,
)
from ntkng.inductive_bias.limit_direction import weighted_margin_programme
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

SOURCE = derived("limit_direction")


def study(settings: Settings) -> Study:
    """All claims and curves of figure A2."""
    limit = distinct_limits(15, 5, settings.seed)
    problem = limit.problem
    t = np.linspace(0, 80, settings.choose(81, 161))
    w = legendre_flow(problem, limit.w0, t)
    whole = np.concatenate([w, limit.path(np.geomspace(81, 1e5, 60))])  # the asymptote is exact by then
    rows = [angles_to_limits("natural gradient flow", problem, limit, minus_log_loss(problem, whole), whole)]
    paths = gradient_flows(problem, settings)
    rows += [angles_to_limits(n, problem, limit, -p.log_loss, p.beta) for n, (_, p) in paths.items()]
    margins = problem.margins(w)
    rows += [
        frame("margins", curve="active" if limit.active[n] else "inactive", sample=n, x=t, y=margins[:, n])
        for n in range(len(problem.y))
    ]
    error = np.linalg.norm(w - limit.path(t), axis=1)
    rows.append(frame("asymptote", curve="error", x=t, y=error))
    rows.append(frame("asymptote", curve="predicted", x=t, y=np.linalg.norm(limit.correction(t), axis=1)))
    starts, rows_of_starts = other_starts(limit, settings.choose(50, 200))
    rows.append(rows_of_starts)
    claims = [*asymptote_claims(limit), *direction_claims(limit, starts), *gradient_claims(problem, paths)]
    report = Report("Limit directions on separable data", tuple(claims), provenance(seed=settings.seed))
    return Study(pd.concat(rows, ignore_index=True), report, facts=limit_angles(problem, limit.u))


def angles_to_limits(
    name: str, problem: LogisticProblem, limit: Asymptote, minus_log_loss: np.ndarray, w: np.ndarray
) -> pd.DataFrame:
    """Angles of a path to the three candidate limits."""
    targets = {"u*": limit.u, "l2": l2_max_margin(problem), "l1": l1_max_margin(problem)}
    return pd.concat(
        [frame("angles", curve=name, target=k, x=minus_log_loss, y=angle(w, v)) for k, v in targets.items()]
    )


def minus_log_loss(problem: LogisticProblem, w: np.ndarray) -> np.ndarray:
    """`-log L`, from `L ~ mean e^{-m}` where the loss itself would underflow."""
    margins = problem.margins(w)
    small = np.log(len(problem.y)) - logsumexp(-margins, axis=-1)
    return np.where(margins.min(-1) > 40, small, -np.log(np.maximum(problem.loss(w), 1e-300)))


def other_starts(limit: Asymptote, count: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Limit directions from random starts `N(0, 9)` on the same data, and their angles to the maximum margins."""
    problem, rng = limit.problem, np.random.default_rng(0)
    found = np.stack([limit_direction(problem, 3 * start) for start in rng.normal(size=(count, len(limit.u)))])
    l2, l1 = angle(found, l2_max_margin(problem)), angle(found, l1_max_margin(problem))
    return found, frame("starts", curve="other starts", x=l2, y=l1)


def asymptote_claims(limit: Asymptote, *, sign: float = 1.0) -> list[Claim]:
    """`w(t) = t u + b + o(1)`, its correction, the margins and the multipliers; `sign` multiplies `b`."""
    problem, t = limit.problem, np.array([40.0, 60.0])
    w = legendre_flow(problem, limit.w0, t)
    error = w - (t[:, None] * limit.u + sign * limit.b)
    distance = [float(np.linalg.norm(e)) for e in error]
    visible = np.array([30.0])  # later, the error nears the rounding of t u*
    rest = legendre_flow(problem, limit.w0, visible) - visible[:, None] * limit.u - sign * limit.b
    corrected = float(np.linalg.norm(rest - limit.correction(visible)) / np.linalg.norm(rest))
    scaled = np.exp(t[0]) * problem.residuals(w[0]) / len(problem.y)
    slopes = (problem.margins(w[1]) - problem.margins(w[0])) / (t[1] - t[0])
    off = (scaled - limit.multipliers)[limit.active] / limit.multipliers[limit.active]
    return [
        Claim.below("asymptote/error", distance[0], 1e-4, "|w - (t u* + b*)| at t = 40", source=SOURCE),
        Claim.below("asymptote/error at 60", distance[1], 1e-7, "and at t = 60", source=SOURCE),
        Claim.below("asymptote/correction", corrected, 1e-3,
                    "the first-order term in the inactive residuals explains the error (relative, t = 30)",
                    source=SOURCE),
        Claim.below("asymptote/multipliers", np.abs(off).max(), 1e-4,
                    "e^t r_n / N tends to the multipliers of the linear programme (relative, t = 40)", source=SOURCE),
        Claim.below("asymptote/active margins", np.abs(slopes[limit.active] - 1).max(), 1e-5,
                    "the active margins grow like t", source=SOURCE),
        Claim.above("asymptote/inactive margins", slopes[~limit.active].min(), 1.3,
                    "the others grow faster", source=SOURCE),
    ]  # fmt: skip


def direction_claims(limit: Asymptote, starts: np.ndarray) -> list[Claim]:
    """What the limit of natural gradient flow is, and what it is not."""
    problem, gaps = limit.problem, limit_angles(limit.problem, limit.u)
    late = legendre_flow(problem, limit.w0, np.array([20.0, 200.0]))
    toward, far = np.asarray(angle(late, limit.u)), min(gaps.values())
    try:
        weighted_margin_programme(problem.signed, problem.gradient(limit.w0))
        unbounded = False
    except ValueError as error:
        unbounded = "unbounded" in str(error)
    return [
        Claim.above("limit/neither maximum margin", min(gaps["u-l2"], gaps["u-l1"]), 5.0,
                    "the limit direction of natural gradient flow is neither the l2 nor the l1 maximum margin (degrees)",
                    source=f"{PAPER}, separable logistic regression"),
        Claim.above("limit/l1 against l2", gaps["l1-l2"], 5.0,
                    "on data on which these two differ as well (degrees)", source=SOURCE),
        Claim.below("limit/reached", toward[1] / far, 0.1,
                    "w(200) is ten times nearer to the programme's direction than any of the three are to each other",
                    source=SOURCE),
        Claim.within("limit/rate", 200 * toward[1] / (20 * toward[0]), 0.5, 2.0,
                     "the angle decays like 1/t (ratio of t times angle, t = 200 against 20)", source=SOURCE),
        Claim.above("limit/depends on the start", float(np.max(angle(starts, limit.u))), 5.0,
                    "other starts on the same data have other limits (largest angle, degrees)", source=SOURCE),
        Claim.holds("limit/sign", unbounded,
                    "with the opposite sign of the gradient the linear programme is unbounded", source=SOURCE),
    ]  # fmt: skip


def gradient_flows(
    problem: LogisticProblem, settings: Settings
) -> dict[str, tuple[LinearParametrisation, NormalisedPath]]:
    """Gradient flow from small random weights, until the margins are huge."""
    d, rng = problem.X.shape[1], np.random.default_rng([settings.seed, 2])
    # a fully connected network of depth L nears its limit like margin^(-1/L), so that it is followed further
    models: dict[str, tuple[LinearParametrisation, int, float]] = {
        "GD, depth 1": (DeepLinear((d, 1)), d, 1e4),
        "GD, depth 2": (DeepLinear((d, 8, 1)), 8 * d + 8, 2e5),
        "GD, diagonal, depth 2": (DiagonalLinear(2, d), 2 * d, 1e4),
        "GD, diagonal, depth 3": (DiagonalLinear(3, d), 3 * d, 1e5),
    }
    paths = {}
    for name, (model, size, margin) in settings.track(list(models.items()), "gradient flow"):
        start = 0.01 * rng.normal(size=size)
        paths[name] = model, normalised_gradient_flow(problem, model, start, margin=margin)
    return paths


def gradient_claims(
    problem: LogisticProblem, paths: dict[str, tuple[LinearParametrisation, NormalisedPath]]
) -> list[Claim]:
    """The known limits of gradient descent."""
    l2, l1 = l2_max_margin(problem), l1_max_margin(problem)
    model, path = paths["GD, diagonal, depth 3"]
    theta, margins = path.theta[-1], problem.margins(path.beta[-1])
    stationarity = stationarity_angle(theta, problem.signed @ model.end_to_end_jacobian(theta), margins)
    source = f"{PAPER}, comparison with gradient descent"

    def to(name: str, limit: np.ndarray) -> float:
        return float(angle(paths[name][1].beta[-1], limit))

    return [
        Claim.below("GD/depth 1", to("GD, depth 1", l2), 0.1, "gradient flow, depth 1: l2 maximum margin (degrees)",
                    source=source),
        Claim.below("GD/depth 2", to("GD, depth 2", l2), 0.1, "fully connected, depth 2: l2 as well (degrees)",
                    source=source),
        Claim.below("GD/diagonal 2", to("GD, diagonal, depth 2", l1), 0.5, "diagonal, depth 2: l1 (degrees)",
                    source=source),
        Claim.below("GD/diagonal 3", stationarity, 0.5,
                    "diagonal, depth 3: a first-order stationary point of the l_{2/3} margin (angle to the optimality "
                    "cone, degrees)", source=source),
    ]  # fmt: skip
