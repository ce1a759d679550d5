"""Fisher, Gauss-Newton, Hessian and empirical Fisher of one network under each loss: which of them are equal, and when."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd

from analyses.martens_models import FAMILIES, draw_targets, tanh_network
from analyses.study import Settings, Study
from ntkng.families import Family, Gaussian
from ntkng.function_space_flow import check_isotropy
from ntkng.perspectives import (
    Canonical,
    Objective,
    PoissonIdentityLink,
    output_fisher,
    relative_difference,
)
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.statistics import log_log_slope

SOURCE = "Martens 2020, Fisher and generalised Gauss-Newton"
EMPIRICAL = "Martens 2020, the empirical Fisher"
SCALES = np.geomspace(1e-3, 1.0, 7)  # of the residual, for the approach to interpolation


def study(settings: Settings) -> Study:
    """The table of identities, the counterexample, and the empirical Fisher on the way to interpolation."""
    samples, inputs, outputs = settings.choose((12, 4, 3), (20, 5, 3), (40, 8, 4))
    widths = [*settings.choose((6,), (8, 8), (16, 16)), outputs]
    rng = np.random.default_rng(settings.seed)
    x = rng.normal(size=(samples, inputs))
    rows, claims = [], []
    for name, family in settings.track(FAMILIES.items(), "losses", total=len(FAMILIES)):
        found, more = canonical(name, family, x, widths, rng)
        rows, claims = rows + found, claims + more
        claims.append(isotropy(name, family, x[: settings.choose(4, 6)], outputs, rng))
    frame, more = counterexample(x, widths, rng)
    facts = provenance({"samples": samples, "inputs": inputs, "widths": widths}, seed=settings.seed)
    return Study(pd.DataFrame(rows + frame), Report("Fisher and Gauss-Newton matrices", tuple(claims + more), facts))


def canonical(
    name: str, family: Family, x: np.ndarray, widths: list[int], rng: np.random.Generator
) -> tuple[list[dict], list[Claim]]:
    """A network whose outputs are the natural parameters of `family`, at a random point with unrelated targets."""
    model, size = tanh_network(x, widths)
    theta = 1.5 * rng.normal(size=size)
    objective = Objective(model, Canonical(family), draw_targets(family, (len(x), widths[-1]), rng))
    rows = compare(name, objective, theta)
    claims = canonical_claims(name, objective, theta, rows)
    if isinstance(family, Gaussian):
        more_rows, more_claims = interpolation(objective, theta)
        rows, claims = rows + more_rows, claims + more_claims
    return rows, claims


def compare(name: str, objective: Objective, theta: np.ndarray) -> list[dict]:
    """Relative Frobenius distance of each matrix from the Fisher."""
    fisher = objective.fisher(theta)
    matrices = {
        "Gauss-Newton": objective.gauss_newton(theta),
        "Hessian": objective.hessian(theta),
        "empirical Fisher": objective.empirical_fisher(theta),
    }
    return [
        {
            "panel": "identity", "loss": name, "matrix": kind, "x": np.nan,
            "value": relative_difference(matrix, fisher),
            "size": float(np.linalg.norm(matrix) / np.linalg.norm(fisher)),
        }
        for kind, matrix in matrices.items()
    ]  # fmt: skip


def canonical_claims(name: str, objective: Objective, theta: np.ndarray, rows: list[dict]) -> list[Claim]:
    """Claims for a loss whose outputs are natural parameters."""
    gap = {row["matrix"]: row for row in rows}
    return [
        Claim.below(f"{name}/Fisher is GGN", gap["Gauss-Newton"]["value"], 1e-12,
                    "the Fisher, summed over the predictive distribution, is the Gauss-Newton matrix", source=SOURCE),
        Claim.above(f"{name}/Hessian differs", gap["Hessian"]["value"], 0.1,
                    "the Hessian is not: the model's own curvature is missing from the Fisher", source=SOURCE),
        Claim.above(f"{name}/empirical Fisher differs", gap["empirical Fisher"]["value"], 0.3,
                    "the second moment of the training gradients is not the Fisher", source=EMPIRICAL),
        Claim.finding(f"{name}/empirical Fisher size", gap["empirical Fisher"]["size"],
                      "norm of the empirical Fisher over that of the Fisher", source=EMPIRICAL),
        Claim.below(f"{name}/Hessian split", _split_error(objective, theta), 1e-6,
                    "Gauss-Newton plus residual curvature is the derivative of the gradient (central differences)",
                    source=SOURCE),
    ]  # fmt: skip


def _split_error(objective: Objective, theta: np.ndarray) -> float:
    direction = np.cos(np.arange(theta.size))
    direction /= np.linalg.norm(direction)
    step = 1e-5
    difference = (objective.gradient(theta + step * direction) - objective.gradient(theta - step * direction)) / (
        2 * step
    )
    return float(np.linalg.norm(objective.hessian(theta) @ direction - difference) / np.linalg.norm(difference))


def isotropy(name: str, family: Family, x: np.ndarray, outputs: int, rng: np.random.Generator) -> Claim:
    """With at least `N C` parameters the update moves the outputs by `-Lambda^+ (mu - y)`, whatever the loss."""
    model, size = tanh_network(x, [24, outputs])
    objective = Objective(model, Canonical(family), draw_targets(family, (len(x), outputs), rng))
    theta = rng.normal(size=size)
    jacobian = objective.jacobian(theta)
    flat = jacobian.reshape(-1, size)
    root = np.concatenate(
        [_root(v) @ j for v, j in zip(family.variance(objective.outputs(theta)), jacobian, strict=True)]
    )
    # F = root^T root / N and F^+ J^T eps / N = root^+ (root^+)^T J^T eps, without squaring the condition number
    inverse = np.linalg.pinv(root, rcond=1e-9)
    variance = _block_diagonal(family.variance(objective.outputs(theta)))
    found = check_isotropy(lambda eps: inverse @ (inverse.T @ (flat.T @ eps)), flat, 1.0, variance=variance)
    return Claim.below(
        f"{name}/isotropic", found.deviation, 1e-9,
        "an over-parametrised natural-gradient step moves the outputs by Lambda^+ times the residual", source=SOURCE,
    )  # fmt: skip


def interpolation(objective: Objective, theta: np.ndarray) -> tuple[list[dict], list[Claim]]:
    """Shrink the residual of a Gaussian model: the Fisher stays, the empirical Fisher vanishes with its square."""
    z = objective.outputs(theta)
    sizes = {"Fisher": [], "empirical Fisher": [], "Hessian - Fisher": []}
    for scale in SCALES:
        problem = objective.with_targets(z - scale * (z - objective.targets))
        fisher = problem.fisher(theta)
        sizes["Fisher"].append(np.linalg.norm(fisher))
        sizes["empirical Fisher"].append(np.linalg.norm(problem.empirical_fisher(theta)))
        sizes["Hessian - Fisher"].append(np.linalg.norm(problem.hessian(theta) - fisher))
    rows = [
        {"panel": "interpolation", "loss": "Gaussian", "matrix": kind, "x": scale, "value": float(value)}
        for kind, values in sizes.items()
        for scale, value in zip(SCALES, values, strict=True)
    ]
    order = {kind: log_log_slope(SCALES, np.array(values)).value for kind, values in sizes.items()}
    claims = [
        Claim.within(f"interpolation/{kind}", order[kind], expected - 1e-6, expected + 1e-6,
                     f"the {kind} scales like the residual to the power {expected}", source=source)
        for kind, expected, source in (
            ("Fisher", 0, SOURCE), ("Hessian - Fisher", 1, SOURCE), ("empirical Fisher", 2, EMPIRICAL))
    ]  # fmt: skip
    return rows, claims


def counterexample(x: np.ndarray, widths: list[int], rng: np.random.Generator) -> tuple[list[dict], list[Claim]]:
    """Counts with an identity link: outputs that are not natural parameters."""
    network, size = tanh_network(x, widths)
    likelihood, theta = PoissonIdentityLink(), 1.5 * rng.normal(size=size)
    objective = Objective(lambda t: jax.nn.softplus(network(t)) + 0.2, likelihood, np.ones((len(x), widths[-1])))
    mu = objective.outputs(theta)
    objective = objective.with_targets(rng.poisson(mu).astype(np.float64))
    rows = compare("Poisson, identity link", objective, theta)
    fisher, curvature = output_fisher(likelihood, mu), likelihood.hessian(mu, objective.targets)
    diagonal = np.arange(mu.shape[1])
    for kind, values in (("Fisher", fisher), ("loss Hessian", curvature)):
        pairs = zip(mu.ravel(), values[:, diagonal, diagonal].ravel(), strict=True)
        rows += [{"panel": "counterexample", "loss": "Poisson", "matrix": kind, "x": m, "value": v} for m, v in pairs]
    outcomes, weights = likelihood.outcomes(mu)
    average = sum(w[..., None] * likelihood.hessian(mu, y) for y, w in zip(outcomes, weights, strict=True))
    claims = [
        Claim.above("identity link/GGN differs", rows[0]["value"], 0.05,
                    "for Poisson counts with an identity link the Gauss-Newton matrix is not the Fisher", source=SOURCE),
        Claim.below("identity link/Fisher", float(np.max(np.abs(fisher[:, diagonal, diagonal] * mu - 1))), 1e-10,
                    "its output Fisher is 1/mu", source=SOURCE),
        Claim.below("identity link/on average", relative_difference(np.asarray(average), fisher), 1e-10,
                    "averaged over the model's own counts, the loss Hessian y/mu^2 is the Fisher", source=SOURCE),
    ]  # fmt: skip
    return rows, claims


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-12 * values[-1]  # softmax: the all-ones direction has none
    return (vectors[:, kept] * np.sqrt(values[kept])).T


def _block_diagonal(blocks: np.ndarray) -> np.ndarray:
    samples, size, _ = blocks.shape
    return np.einsum("ncd,nm->ncmd", blocks, np.eye(samples)).reshape(samples * size, samples * size)
