"""Orders of parametrisation invariance: one step, a fixed horizon, the flow; damping, midpoint rule, affine maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.special import expit

from analyses.martens_models import mildly_nonlinear
from analyses.study import Settings, Study
from ntkng.families import Bernoulli
from ntkng.perspectives import (
    Canonical,
    ChangeOfParameters,
    Metric,
    Objective,
    damped,
    discrepancy,
    empirical_fisher_metric,
    euler,
    fisher_metric,
    flow_discrepancy,
    hessian_metric,
    identity_metric,
    leading_discrepancy,
    midpoint,
    transforming_damping,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import log_log_slope

SOURCE = "Martens 2020, parametrisation invariance"
DAMPING = 0.1
HORIZON = 0.4


@dataclasses.dataclass(frozen=True)
class Method:
    """A preconditioner and time-stepping rule, with the orders that theory predicts.

    Attributes:
        name: as in the figure.
        metric: preconditioner in `theta`.
        one_step: predicted order of one step; a fixed horizon has one less.
        scheme: time-stepping rule.
        metric_gamma: preconditioner in `gamma` when it is another rule.
        flow: whether the flow is covariant (exact), not, or not followed.
    """

    name: str
    metric: Metric
    one_step: int
    scheme: Callable = euler
    metric_gamma: Metric | None = None
    flow: bool | None = None


def methods(change: ChangeOfParameters) -> list[Method]:
    """All methods of the figure."""
    carried = transforming_damping(DAMPING, change.jacobian)
    return [
        Method("Fisher", fisher_metric, 2, flow=True),
        Method("empirical Fisher", empirical_fisher_metric, 2, flow=True),
        Method("Hessian", hessian_metric, 1, flow=False),
        Method("identity", identity_metric, 1, flow=False),
        Method("damped Fisher", damped(DAMPING), 1, flow=False),
        Method("damped, metric carried along", damped(DAMPING), 2, metric_gamma=carried),
        Method("Fisher, midpoint rule", fisher_metric, 3, scheme=midpoint),
    ]


def study(settings: Settings) -> Study:
    """Discrepancy between the two parametrisations against the step size, for every method."""
    rng = np.random.default_rng(settings.seed)
    size, samples = settings.choose((3, 30), (4, 40), (8, 80))
    change, affine, gamma = make_change(rng, size, samples)
    alphas = (HORIZON / np.array(settings.choose([16, 32, 64], [16, 32, 64, 128, 256]))).tolist()
    rows, claims = [], covariance(change, gamma)
    for method in settings.track(methods(change), "methods"):
        found, more = orders(change, gamma, method, alphas)
        rows, claims = rows + found, claims + more
    claims += leading(change, gamma) + exactly_affine(affine, gamma)
    facts = provenance({"parameters": size, "samples": samples, "damping": DAMPING}, seed=settings.seed)
    return Study(pd.DataFrame(rows), Report("Parametrisation invariance", tuple(claims), facts))


def make_change(
    rng: np.random.Generator, size: int, samples: int
) -> tuple[ChangeOfParameters, ChangeOfParameters, np.ndarray]:
    """A logistic model that is nonlinear in its parameters, under a curved and under an affine change of them.

    The targets are noisy soft labels of a model not far from the start: Fisher, empirical Fisher and Hessian differ,
    and all three are well conditioned.
    """
    inputs, directions = rng.normal(size=(2, samples, size))
    mixing = np.eye(size) + 0.2 * rng.normal(size=(size, size)) / np.sqrt(size)

    def curved(gamma):
        linear = jnp.asarray(mixing) @ gamma
        return linear + 0.4 * jnp.cos(linear) + 0.1 * gamma**2

    optimum, away = 0.3 * rng.normal(size=(2, size))
    blank = Objective(mildly_nonlinear(inputs, directions), Canonical(Bernoulli()), np.full((samples, 1), 0.5))
    change = ChangeOfParameters(blank, curved)
    labels = expit(blank.outputs(change.theta(optimum))) + rng.uniform(-0.3, 0.3, size=(samples, 1))
    objective = blank.with_targets(np.clip(labels, 0.0, 1.0))
    affine = ChangeOfParameters(objective, lambda gamma: jnp.asarray(mixing) @ gamma + 0.3)
    return ChangeOfParameters(objective, curved), affine, optimum + 0.7 * away / np.linalg.norm(away)


def orders(
    change: ChangeOfParameters, gamma: np.ndarray, method: Method, alphas: list[float]
) -> tuple[list[dict], list[Claim]]:
    """Slopes of the one-step and the fixed-horizon discrepancy, and the flow's."""
    rows, claims = [], []
    half_width = 0.2 if method.one_step == 3 else 0.1
    for kind, expected in (("one step", method.one_step), ("fixed horizon", method.one_step - 1)):
        values = [
            discrepancy(change, gamma, method.metric, alpha, scheme=method.scheme, metric_gamma=method.metric_gamma,
                        steps=1 if kind == "one step" else round(HORIZON / alpha))
            for alpha in alphas
        ]  # fmt: skip
        slope = log_log_slope(np.array(alphas[-3:]), np.array(values[-3:])).value
        rows += [{"panel": kind, "method": method.name, "alpha": a, "discrepancy": v, "slope": slope}
                 for a, v in zip(alphas, values, strict=True)]  # fmt: skip
        claims.append(
            Claim.within(f"{method.name}/{kind}", slope, expected - half_width, expected + half_width,
                         f"the discrepancy of {kind} is of order alpha^{expected}", source=SOURCE)
        )  # fmt: skip
    if method.flow is not None:
        gap = flow_discrepancy(change, gamma, method.metric, HORIZON)
        rows.append({"panel": "flow", "method": method.name, "alpha": 0.0, "discrepancy": gap, "slope": np.nan})
        statement = "the flow does not depend on the parametrisation" if method.flow else "even the flow depends on it"
        name = f"{method.name}/flow"
        claims.append(
            Claim.below(name, gap, 1e-11, statement, source=SOURCE) if method.flow
            else Claim.above(name, gap, 1e-3, statement, source=SOURCE)
        )  # fmt: skip
    return rows, claims


def covariance(change: ChangeOfParameters, gamma: np.ndarray) -> list[Claim]:
    """`B_gamma = J^T B_theta J` for F, GGN and EF; the Hessian has `sum_i g_i D^2 zeta_i` besides."""
    theta, j, other = change.theta(gamma), change.jacobian(gamma), change.reparametrised
    gaps = {}
    for name in ("fisher", "gauss_newton", "empirical_fisher", "hessian"):
        gaps[name] = getattr(other, name)(gamma) - j.T @ getattr(change.objective, name)(theta) @ j
    extra = np.einsum("i,ipq->pq", change.objective.gradient(theta), change.second_derivative(gamma))
    covariant = max(float(np.max(np.abs(gaps[name]))) for name in ("fisher", "gauss_newton", "empirical_fisher"))
    return [
        Claim.below("covariance/F, GGN, EF", covariant, 1e-13,
                    "Fisher, Gauss-Newton and empirical Fisher transform as J^T B J", source=SOURCE),
        Claim.below("covariance/Hessian", float(np.max(np.abs(gaps["hessian"] - extra))), 1e-13,
                    "the Hessian transforms with the extra term sum_i g_i D^2 zeta_i", source=SOURCE),
        Claim.above("covariance/extra term", float(np.max(np.abs(extra))), 1e-4,
                    "which is not small here", source=SOURCE),
    ]  # fmt: skip


def leading(change: ChangeOfParameters, gamma: np.ndarray) -> list[Claim]:
    """The coefficient of `alpha^2`, not only its power."""
    alphas = (0.005, 0.0025, 0.00125)
    gaps = []
    for alpha in alphas:
        predicted = float(np.linalg.norm(leading_discrepancy(change, gamma, fisher_metric, alpha)))
        gaps.append(abs(discrepancy(change, gamma, fisher_metric, alpha) / predicted - 1))
    return [
        Claim.below("Fisher/leading term", gaps[-1], 5e-3,
                    "one step differs by (alpha^2/2) D^2 zeta[v, v] (relative error at alpha = 0.00125)", source=SOURCE),
        Claim.within("Fisher/next order", log_log_slope(np.array(alphas), np.array(gaps)).value, 0.8, 1.2,
                     "what is left is of order alpha^3", source=SOURCE),
    ]  # fmt: skip


def exactly_affine(change: ChangeOfParameters, gamma: np.ndarray) -> list[Claim]:
    """Affine maps: exact at any step size for covariant metrics, the Hessian among them, and not for damping."""
    exact = max(
        discrepancy(change, gamma, m, 0.4, steps=2) for m in (fisher_metric, empirical_fisher_metric, hessian_metric)
    )
    broken = discrepancy(change, gamma, damped(DAMPING), 0.4, steps=2)
    return [
        Claim.below("affine/exact", exact, 1e-12,
                    "under an affine map Fisher, empirical Fisher and Hessian make no difference, however large the step",
                    source=SOURCE),
        Claim.above("affine/damped", broken, 1e-3,
                    "Tikhonov damping destroys even affine invariance", source=SOURCE),
    ]  # fmt: skip
