"""Isotropy on convolutional, residual, normalised and attention networks: spectra at infinite width, and what networks do.

At infinite width the layer kernels are those of each architecture, and the patterns of layer blocks must give `K = alpha I`
with `alpha = 1` (exact Fisher), L (block-diagonal) and the constant of the tri-diagonal pattern. That is algebra once the
`Theta_l` are given. So finite networks are asked as well: one small parameter step must move the function by `-eta alpha r` on
training inputs, whatever the layers, and by `-eta K' r` on test inputs, `K'` from the network's own layer kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.architectures_networks import ARCHITECTURES, SAMPLES, SOURCE, kernels, problem
from analyses.karakida_depth import expected_alpha
from analyses.karakida_isotropy import SMALL, step_error
from analyses.karakida_problems import draw
from analyses.karakida_theory import RIGHT, Theory
from analyses.study import Settings, Study
from ntkng.fisher import BlockDiagonal, BlockTriDiagonal, Exact, Fisher, GradientDescent
from ntkng.kernels import empirical
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate

FISHERS: tuple[Fisher, ...] = (GradientDescent(), Exact(), BlockDiagonal(), BlockTriDiagonal())
SPREAD = 1e-9  # rounding: the last Theta_l of a pooled network has a condition number of 1e4
NOT_ISOTROPIC = 0.3
STEP_ERROR = 1e-6


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Spectra of `K` for all architectures, and one small block-diagonal step of a network of each."""
    width = settings.choose(32, 64, 256)
    rows, steps = [], []
    for name in settings.track(ARCHITECTURES, "architectures: isotropy"):
        rows += spectra(name, settings.seed, theory)
        steps.append({"architecture": name, **small_step(name, width, settings.seed, theory)})
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "width": width, "steps": steps}
    claims = *spectrum_claims(table), *step_claims(steps)
    return Study(
        table, Report("Isotropy of other architectures", claims, provenance(facts, seed=settings.seed)), facts=facts
    )


def spectra(name: str, seed: int, theory: Theory = RIGHT) -> Iterator[dict[str, Any]]:
    """One row per eigenvalue of `K` at infinite width, every approximation."""
    layers = theory.kernels(kernels(name, seed=seed))
    for fisher in FISHERS:
        kernel = fisher.kernel(layers)
        for index, value in enumerate(np.asarray(kernel.eigenvalues())):
            yield {"architecture": name, "fisher": fisher.name, "index": index, "eigenvalue": theory.scale * float(value),
                   "off_isotropy": kernel.off_isotropy}  # fmt: skip


def small_step(name: str, width: int, seed: int, theory: Theory = RIGHT) -> dict[str, float]:
    """`alpha` as one small block-diagonal step of a network shows it, and the error of `-eta K r` and `-eta K' r`."""
    setting = problem(name, width, seed=seed)
    parameters = draw(setting.network, seed)
    layers = empirical(setting.network, parameters, setting.x, setting.x_test)
    errors = step_error(setting, BlockDiagonal(), parameters, layers, theory)
    eta = SMALL / ARCHITECTURES[name].depth
    moved = simulate(setting, BlockDiagonal(), step_size=eta, steps=1, parameters=parameters)
    first, second = moved.residual[0]
    alpha = float(((first - second) * first).sum() / (eta * (first**2).sum()))
    return {"alpha": alpha, "train": errors["train"], "test": errors["test"]}


def spectrum_claims(table: pd.DataFrame) -> Iterator[Claim]:
    """`alpha` from the depth written out in `ARCHITECTURES`, not counted by the library."""
    for (name, fisher), rows in table.groupby(["architecture", "fisher"], sort=False):
        if fisher == "GradientDescent":
            yield Claim.above(
                f"{name}/{fisher}/not isotropic", rows["off_isotropy"].iloc[0], NOT_ISOTROPIC,
                "|K - alpha I| / |K| of gradient descent", source=SOURCE,
            )  # fmt: skip
            continue
        alpha = expected_alpha(str(fisher), ARCHITECTURES[str(name)].depth, SAMPLES)
        yield Claim.below(
            f"{name}/{fisher}/spectrum", np.abs(rows["eigenvalue"] / alpha - 1).max(), SPREAD,
            f"largest |k / alpha - 1| over the spectrum at infinite width, alpha = {alpha:g}", source=SOURCE,
        )  # fmt: skip


def step_claims(steps: list[dict[str, Any]]) -> Iterator[Claim]:
    """The networks themselves."""
    for found in steps:
        name = found["architecture"]
        depth = ARCHITECTURES[name].depth
        yield Claim.below(
            f"{name}/small step/alpha", abs(found["alpha"] / depth - 1), STEP_ERROR,
            f"|alpha / L - 1|, L = {depth}, alpha from one small block-diagonal step of a network", source=SOURCE,
        )  # fmt: skip
        for on, symbol in (("train", "K"), ("test", "K'")):
            yield Claim.below(
                f"{name}/small step/{on}", found[on], STEP_ERROR,
                f"relative difference between the change of the function on {on} inputs and -eta {symbol} r", source=SOURCE,
            )  # fmt: skip
