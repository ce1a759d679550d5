"""The damped tri-diagonal pattern is indefinite: dampings at which the closed form and a simulation need not agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from analyses.karakida_theory import RIGHT, Comparison, hold
from ntkng.compare import compare
from ntkng.data import on_sphere
from ntkng.fisher import BlockDiagonal, BlockTriDiagonal, Exact, Fisher
from ntkng.fisher.preconditioned import stability
from ntkng.kernels import Kernels, analytic
from ntkng.multilayer_perceptron import mlp
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.report import Claim
from ntkng.simulate import simulate

# a relu network on few inputs of norm 1, and dampings below, in and above the window of poles
SAMPLES, INPUTS, DEPTH = 12, 50, 3
STEP_SIZE, STEPS = 0.5, 8
DAMPINGS = {1e-4: "converges", 1e-3: "ill-posed", 1e-2: "converges"}
GRID = np.union1d(np.geomspace(1e-5, 1.0, 81), list(DAMPINGS))


def problem(seed: int, width: int) -> Problem:
    """Random inputs of norm 1 and random targets."""
    rng = np.random.default_rng(seed)
    x, y = on_sphere(rng.normal(size=(SAMPLES, INPUTS)), 1.0), rng.normal(size=SAMPLES)
    return Problem(mlp(INPUTS, width=width, depth=DEPTH), x, y)


def spectrum(seed: int) -> list[dict[str, Any]]:
    """Extreme eigenvalues of `K` over dampings, and the verdict on the step size."""
    setting = problem(seed, 1)
    kernels = analytic(setting.network, setting.x)
    rows = []
    for kind in (Exact, BlockDiagonal, BlockTriDiagonal):
        matrices = _matrices(kind, kernels)
        for rho, values in zip(GRID, np.linalg.eigvalsh(matrices), strict=True):
            found = stability(values, STEP_SIZE)
            rows.append({"fisher": kind.__name__, "rho": rho, "smallest": found.smallest, "largest": found.largest,
                         "verdict": found.verdict})  # fmt: skip
    return rows


@in_float64
def _matrices(kind: type[Fisher], kernels: Kernels) -> np.ndarray:
    """`K` at every damping, from one compiled program."""
    matrix = jax.jit(lambda rho: kind(rho).kernel(kernels).train)
    return np.array([matrix(rho) for rho in GRID])


def diverging(seed: int) -> Comparison:
    """In the window of dampings: a wide network, and the closed form."""
    fisher = BlockTriDiagonal(next(rho for rho, verdict in DAMPINGS.items() if verdict == "ill-posed"))
    setting = problem(seed, 1024)
    simulated = simulate(setting, fisher, seed, step_size=STEP_SIZE, steps=STEPS, seeds=2)
    return hold(setting, fisher, analytic(setting.network, setting.x), simulated, RIGHT)


def claims(spectra: list[dict[str, Any]], example: Comparison) -> Iterator[Claim]:
    """The poles are there, and where they are the verdict is neither pass nor fail."""
    source = "ours; the paper's public code passes over it in silence"
    pattern = {row["rho"]: row["verdict"] for row in spectra if row["fisher"] == "BlockTriDiagonal"}
    for rho, verdict in DAMPINGS.items():
        yield Claim.holds(
            f"window/rho = {rho:g}", pattern[rho] == verdict,
            f"verdict on the damped tri-diagonal K (N = 12, L = 3) at eta = 1/2: {verdict}", source=source,
        )  # fmt: skip
    definite = min(row["smallest"] for row in spectra if row["fisher"] != "BlockTriDiagonal")
    yield Claim.above(
        "window/definite patterns", definite, 0.0,
        "smallest eigenvalue of the exact and block-diagonal K over all dampings: positive", source=source,
    )  # fmt: skip
    report = compare(example.simulated, example.predicted, bound=1e6)
    yield Claim.holds(
        "window/comparison", all(claim.verdict == "ill-posed" for claim in report.claims),
        "in the window a comparison is neither passed nor failed but ill-posed, however lenient its bound", source=source,
    )  # fmt: skip
    stable = example.predicted.stability
    yield Claim.above(
        "window/spectral radius", float("nan") if stable is None else stable.spectral_radius, 1.5,
        "spectral radius of I - eta K in the window: the closed form diverges", source=source,
    )  # fmt: skip
