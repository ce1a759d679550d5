"""Isotropy of the gradient in function space: `K` itself and its spectrum, at infinite width and of one network.

That a finite network's own `K` is isotropic is algebra, whatever the network. So the network is asked as well: one small
parameter step must move its function by `-eta K r` on the training inputs, and by `-eta K' r` on the test inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.karakida_depth import expected_alpha
from analyses.karakida_problems import APPROXIMATIONS, SOURCE, draw, kernels, problem
from analyses.karakida_theory import RIGHT, Theory
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.fisher import Fisher, GradientDescent, PreconditionedKernel
from ntkng.kernels import Kernels, empirical
from ntkng.network import Parameters
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate

DEPTH, SAMPLES = 3, 40
FISHERS: tuple[Fisher, ...] = (GradientDescent(), *APPROXIMATIONS)
OFF_ISOTROPY = 1e-6  # rounding: K-FAC solves with two ill-conditioned factors
SPREAD = 1e-5
NOT_ISOTROPIC = 0.3  # gradient descent
SMALL = 1e-7  # the step, in units of 1 / k_max, so that no unit of a narrow network is switched on or off by it
STEP_ERROR = 1e-5


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """`K` on both problems for gradient descent and the approximations; `K / alpha` is kept for the heat maps."""
    width = settings.choose(256, 2048)
    rows, arrays, steps = [], {}, []
    cases = [(name, source) for name in ("synthetic", "digits") for source in ("infinite", "finite")]
    for name, source in settings.track(cases, "isotropy"):
        setting = problem(name, width, depth=DEPTH, samples=SAMPLES, seed=settings.seed)
        layers = kernels(name, depth=DEPTH, samples=SAMPLES, seed=settings.seed)
        if source == "finite":
            parameters = draw(setting.network, settings.seed)
            layers = empirical(setting.network, parameters, setting.x, setting.x_test)
        if (name, source) == ("digits", "finite"):
            steps = [step_error(setting, fisher, parameters, layers, theory) for fisher in FISHERS]
        for fisher in FISHERS:
            kernel = fisher.kernel(theory.kernels(layers))
            rows += spectrum(name, source, fisher.name, kernel)
            arrays[f"{name}/{source}/{fisher.name}"] = np.asarray(kernel.train) / kernel.alpha
        arrays[f"{name}/order"] = np.argsort(setting.y[:, 0], kind="stable")
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "width": width, "depth": DEPTH}
    claims = *make_claims(table), *step_claims(steps)
    return Study(table, Report("Isotropy", claims, provenance(facts, seed=settings.seed)), arrays=arrays, facts=facts)


def spectrum(name: str, source: str, fisher: str, kernel: PreconditionedKernel) -> list[dict[str, Any]]:
    """One row per eigenvalue, with the kernel's `alpha` and off-isotropy."""
    common = {"problem": name, "source": source, "fisher": fisher, "alpha": kernel.alpha, "samples": kernel.samples,
              "off_isotropy": kernel.off_isotropy}  # fmt: skip
    return [{**common, "index": i, "eigenvalue": float(k)} for i, k in enumerate(np.asarray(kernel.eigenvalues()))]


def step_error(
    setting: Problem, fisher: Fisher, parameters: Parameters, layers: Kernels, theory: Theory
) -> dict[str, Any]:
    """Relative difference between the change of the function in one small step and `-eta K r`, `-eta K' r`."""
    kernel = theory.fisher(fisher, setting.samples).kernel(theory.kernels(layers))
    eta = SMALL / float(np.asarray(fisher.kernel(layers).eigenvalues())[-1])
    moved = simulate(setting, fisher, step_size=eta, steps=1, parameters=parameters)
    residual = moved.residual[0, 0]
    errors: dict[str, Any] = {"fisher": fisher.name}
    for on, path, matrix in (("train", moved.train, kernel.train), ("test", moved.test, kernel.cross)):
        change = np.asarray(path)[0, 1] - np.asarray(path)[0, 0]
        predicted = -theory.scale * eta * np.asarray(matrix) @ residual
        errors[on] = float(np.linalg.norm(change - predicted) / np.linalg.norm(predicted))
    return errors


def make_claims(table: pd.DataFrame) -> Iterator[Claim]:
    """Isotropic with the paper's `alpha` for the four approximations, far from it for gradient descent."""
    for name, source, fisher in dict.fromkeys(zip(table["problem"], table["source"], table["fisher"], strict=True)):
        rows = select(table, problem=name, source=source, fisher=fisher)
        prefix, off = f"{name}/{source}/{fisher}", rows["off_isotropy"].to_numpy()[0]
        if fisher == "GradientDescent":
            yield Claim.above(
                f"{prefix}/not isotropic", off, NOT_ISOTROPIC, "|K - alpha I| / |K| of gradient descent",
                source=f"{SOURCE}, section 3",
            )  # fmt: skip
            continue
        yield Claim.below(
            f"{prefix}/off-isotropy", off, OFF_ISOTROPY, "|K - alpha I| / |K|", source=f"{SOURCE}, definition 3.1"
        )
        alpha = expected_alpha(fisher, DEPTH, len(rows))
        yield Claim.below(
            f"{prefix}/spectrum", np.abs(rows["eigenvalue"].to_numpy() / alpha - 1).max(), SPREAD,
            f"largest |k / alpha - 1| over the spectrum, with the predicted alpha = {alpha:g}",
            source=f"{SOURCE}, section 4",
        )  # fmt: skip


def step_claims(steps: list[dict[str, Any]]) -> Iterator[Claim]:
    """The network itself moves as its `K` and `K'` say."""
    for found in steps:
        for on, symbol in (("train", "K"), ("test", "K'")):
            yield Claim.below(
                f"digits/finite/{found['fisher']}/small step/{on}", found[on], STEP_ERROR,
                f"relative difference between the change of the function on {on} inputs in one small parameter step and "
                f"-eta {symbol} r", source=f"{SOURCE}, section 3",
            )  # fmt: skip
