"""Figure B8: the function-space laws of Gauss-Newton, against the network's own logits."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.function_space_flow import FunctionSpaceFlow, IdentityMetric, Isotropic, Softmax
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.reversible import Objective, RevMLP, gauss_newton_path

SOURCE = "function-space theory of Buffelli et al. 2024"
END = 1.0
"""The paths end at `L_b t = END`."""


@dataclasses.dataclass(frozen=True)
class Law:
    """One law: its objective, the number of classes and the rates `eta L_b` of its test.

    With `alpha = L_b`: `f_k - y = (1 - eta alpha)^k (f_0 - y)` for the mean squared error;
    `p(t) - y = e^{-alpha t} (p(0) - y)` for cross-entropy with the exact Hessian; `f' = -alpha (p - y)` with the
    identity as Hessian, which two classes solve by the Lambert W function.
    """

    name: str
    objective: Objective
    classes: int
    effective_rates: tuple[float, ...] = (0.04, 0.02, 0.01, 0.005)

    def residuals(
        self, logits: Float[np.ndarray, "N C"], targets: Float[np.ndarray, "N C"], rate: float, steps: int, alpha: float
    ) -> Float[np.ndarray, "steps+1 N C"]:
        """`mu - y` after every step, as the law has it."""
        if self.objective == "mse":
            return (1 - rate * alpha) ** np.arange(steps + 1)[:, None, None] * (logits - targets)
        return self.flow(logits, targets, alpha).residual_path(rate * np.arange(steps + 1))

    def flow(self, logits: np.ndarray, targets: np.ndarray, alpha: float) -> FunctionSpaceFlow:
        """The flow of the cross-entropies."""
        metric = Isotropic(alpha) if self.objective == "cross-entropy-exact" else IdentityMetric(alpha)
        return FunctionSpaceFlow(Softmax(), metric, logits, targets)


LAWS = (
    Law("MSE", "mse", 4),
    Law("exact Hessian", "cross-entropy-exact", 4, (0.01, 0.005, 0.0025, 0.00125)),  # its error is of order 1/p_y
    Law("identity", "cross-entropy", 4),
    Law("identity, two classes", "cross-entropy", 2),
)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A small network of full row rank, and a batch of samples."""

    model: RevMLP
    weights: Any
    inputs: np.ndarray
    targets: np.ndarray

    @classmethod
    def draw(cls, classes: int, seed: int, samples: int = 16, dim: int = 16, width: int = 64, blocks: int = 3):
        """Gaussian inputs and random labels."""
        fixed, start = jax.random.split(jax.random.key(seed))
        rng = np.random.default_rng(seed)
        model = RevMLP.create(fixed, dim, classes, blocks, width, linear_first=False)
        inputs, targets = rng.standard_normal((samples, dim)), np.eye(classes)[rng.integers(classes, size=samples)]
        return cls(model, model.initial_weights(start, 0.1), inputs, targets)

    def path(self, objective: Objective, rate: float, steps: int) -> Float[np.ndarray, "steps+1 N C"]:
        """Training logits along Gauss-Newton."""
        path = gauss_newton_path(self.model, self.weights, self.inputs, self.targets, objective, rate, steps)
        return np.asarray(path)


@one_blas_thread()
def laws(settings: Settings, alpha_per_block: float = 1.0) -> Study:
    """Errors of the laws at four learning rates, the paths at the smallest, and the power-law tail.

    Args:
        settings: of the run.
        alpha_per_block: theory predicts `alpha = L_b`, so 1; any other value must make the claims fail.
    """
    seeds = range(settings.seed, settings.seed + settings.choose(1, 3, 5))
    rows: list[dict[str, Any]] = []
    for law in settings.track(LAWS, "function-space laws"):
        rows += [row for seed in seeds for row in law_rows(law, seed, alpha_per_block)]
    tail = pd.DataFrame(tail_rows(settings.seed, settings.choose(1000, 3000), alpha_per_block))
    table = pd.concat([pd.DataFrame(rows), tail], ignore_index=True)
    report = Report("B8", claims(table), provenance({"end": END}, seed=settings.seed))
    return Study(table, report, facts={"end": END})


def law_rows(law: Law, seed: int, alpha_per_block: float = 1.0) -> list[dict[str, Any]]:
    """Relative deviation of the residual at every step, for every rate."""
    problem = Problem.draw(law.classes, seed)
    blocks, rows = problem.model.blocks, []
    for effective in law.effective_rates:
        rate, steps = effective / blocks, round(END / effective)
        logits = problem.path(law.objective, rate, steps)
        measured = logits - problem.targets
        if law.objective != "mse":
            measured = Softmax().residual(logits, problem.targets)
        predicted = law.residuals(logits[0], problem.targets, rate, steps, alpha_per_block * blocks)
        scale, size, error = (np.linalg.norm(r, axis=(1, 2)) for r in (predicted, measured, measured - predicted))
        common = {"kind": "law", "law": law.name, "seed": seed, "effective_rate": effective}
        rows += [
            {**common, "time": effective * k, "measured": size[k], "predicted": scale[k], "error": error[k] / scale[k]}
            for k in range(steps + 1)
        ]
    return rows


def tail_rows(seed: int, steps: int, alpha_per_block: float = 1.0, effective: float = 0.1) -> list[dict[str, Any]]:
    """Loss of two-class Gauss-Newton with identity Hessian far out, and its closed form."""
    problem, law = Problem.draw(2, seed), LAWS[3]
    blocks = problem.model.blocks
    rate, chosen = effective / blocks, np.unique(np.geomspace(1, steps, 60).astype(int))
    logits = problem.path(law.objective, rate, steps)
    predicted = law.flow(logits[0], problem.targets, alpha_per_block * blocks).loss_path(rate * chosen)
    measured = Softmax().loss(logits[chosen], problem.targets)
    return [
        {"kind": "tail", "time": effective * k, "measured": m, "predicted": p, "error": abs(m / p - 1)}
        for k, m, p in zip(chosen, measured, predicted, strict=True)
    ]


def worst_errors(table: pd.DataFrame, law: str) -> pd.Series:
    """Largest error along the path, averaged over seeds, by effective rate."""
    rows = select(table, kind="law", law=law)
    return rows.groupby(["effective_rate", "seed"]).error.max().groupby("effective_rate").mean()


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """What figure B8 must show."""
    found = []
    for law in LAWS:
        errors = worst_errors(table, law.name)
        slope = np.polyfit(np.log(errors.index), np.log(errors), 1)[0]
        found += [
            Claim.below(
                f"{law.name}/error", errors.min(), 0.005,
                f"largest relative deviation of the residual from the law up to L_b t = {END:g}, at eta L_b = "
                f"{min(law.effective_rates)}",
                source=SOURCE,
            ),
            Claim.within(
                f"{law.name}/order", slope, 0.9, 1.1, "its order in eta: the law is exact in the limit of small steps",
                source=SOURCE,
            ),
        ]  # fmt: skip
    tail = select(table, kind="tail")
    late = select(tail, {"time": tail.time.max() / 10})
    slope = np.polyfit(np.log(late.time), np.log(late.measured), 1)[0]
    return (
        *found,
        Claim.below(
            "tail/closed form", late.error.max(), 0.02,
            "loss of two classes with identity Hessian against the Lambert W solution, over the last decade of time",
            source=SOURCE,
        ),
        Claim.within(
            "tail/exponent", slope, -1.05, -0.95, "log-log slope of that loss over the last decade: a power law",
            source=SOURCE,
        ),
    )  # fmt: skip
