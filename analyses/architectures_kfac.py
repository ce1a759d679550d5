"""K-FAC where weights are shared over positions: isotropy does not follow, and the measured spectrum is a finding.

In a convolution each gradient is a sum over positions, which is no Kronecker product. K-FAC's `K` is isotropic then only if the
factors over samples and positions are nonsingular: `N S <=` the length of a patch (9 pixels in the first layer) and `N C S <=`
the number of channels. With infinitely many channels the first layer alone violates this, and pseudo-inverses of the expanded
factors are isotropic up to that layer's small part; a network is not, nor are damped or reduced factors. So the library must
predict no `alpha`, must refuse undamped use and say why, and its `K` must still be what networks follow. For dense layers in a
residual or normalised network isotropy does follow, with `alpha = N (L - 1) + 1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.architectures_networks import ARCHITECTURES, SOURCE, kernels, problem
from analyses.karakida_isotropy import step_error
from analyses.karakida_problems import draw
from analyses.karakida_theory import RIGHT, Theory
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.fisher import KFAC, BlockDiagonal, Fisher
from ntkng.kernels import Kernels, empirical
from ntkng.network import Parameters
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.report import Claim, Report

SAMPLES, DAMPING = 10, 1e-3
WIDTH = 24
SPREAD = 1e-5  # of an isotropic spectrum: rounding, K-FAC solves with two ill-conditioned factors
STEP_ERROR = 1e-5
NAMES = tuple(name for name, architecture in ARCHITECTURES.items() if architecture.has_factors)
VARIANTS: dict[str, Fisher] = {
    "undamped, expand": KFAC(singular="pseudo-inverse"),
    "undamped, reduce": KFAC(singular="pseudo-inverse", sharing="reduce"),
    "damped, expand": KFAC(DAMPING),
    "damped, reduce": KFAC(DAMPING, sharing="reduce"),
    "block-diagonal": BlockDiagonal(),
}
REFERENCES = "KFC (Grosse and Martens 2016) for expand, Eschenhagen et al. 2023 for reduce"


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Spectra of K-FAC's `K` at infinite width, what the library says of them, and one small step of each network."""
    rows, answers, steps = [], [], []
    for name in settings.track(NAMES, "architectures: K-FAC"):
        layers = kernels(name, samples=SAMPLES, seed=settings.seed, factors=True)
        rows += spectra(name, theory.kernels(layers))
        answers.append({"architecture": name, **ask(layers)})
        if ARCHITECTURES[name].shares_weights:
            drawn = finite(name, settings.seed)
            rows += spectra(name, drawn[-1], "network")
            steps += [{"architecture": name, **found} for found in small_steps(*drawn, theory)]
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "damping": DAMPING, "width": WIDTH}
    claims = *spectrum_claims(table, theory), *answer_claims(answers), *step_claims(steps)
    return Study(table, Report("K-FAC with shared weights", claims, provenance(facts, seed=settings.seed)), facts=facts)


def finite(name: str, seed: int) -> tuple[Problem, Parameters, Kernels]:
    """One network and its own kernels, with fewer channels than samples times positions."""
    setting = problem(name, WIDTH, samples=SAMPLES, seed=seed)
    parameters = draw(setting.network, seed)
    return setting, parameters, empirical(setting.network, parameters, setting.x, setting.x_test, factors=True)


def spectra(name: str, layers: Kernels, source: str = "infinite") -> Iterator[dict[str, Any]]:
    """One row per eigenvalue; conventions for shared weights only where weights are shared."""
    for variant, fisher in VARIANTS.items():
        if "reduce" in variant and not ARCHITECTURES[name].shares_weights:
            continue
        kernel = fisher.kernel(layers)
        for index, value in enumerate(np.asarray(kernel.eigenvalues())):
            yield {"architecture": name, "source": source, "variant": variant, "index": index, "eigenvalue": float(value),
                   "mean": kernel.alpha, "off_isotropy": kernel.off_isotropy}  # fmt: skip


def ask(layers: Kernels) -> dict[str, Any]:
    """Whether undamped K-FAC predicts an `alpha`, and what it says when it refuses."""
    refusal = ""
    try:
        KFAC().check(layers)
    except ValueError as error:
        refusal = str(error)
    singular = [found.name for found in KFAC().inspect(layers) if found.is_singular]
    return {"alpha": KFAC().predicted_alpha(layers), "refusal": refusal, "singular": singular}


def small_steps(
    setting: Problem, parameters: Parameters, layers: Kernels, theory: Theory = RIGHT
) -> Iterator[dict[str, Any]]:
    """Relative errors of `-eta K r` and `-eta K' r` for a small damped step of one network, `K` from its own kernels."""
    for variant, fisher in VARIANTS.items():
        if variant.startswith("damped"):
            yield {"variant": variant, **step_error(setting, fisher, parameters, layers, theory)}


def spectrum_claims(table: pd.DataFrame, theory: Theory = RIGHT) -> Iterator[Claim]:
    """Isotropic with the paper's `alpha` where no weights are shared; elsewhere the off-isotropy is reported."""
    for (name, source, variant), rows in table.groupby(["architecture", "source", "variant"], sort=False):
        architecture = ARCHITECTURES[str(name)]
        alpha = {
            "undamped, expand": SAMPLES * (architecture.depth - 1) + 1.0,
            "block-diagonal": float(architecture.depth),
        }
        if variant == "block-diagonal" or (variant in alpha and not architecture.shares_weights):
            spread = np.abs(theory.scale * rows["eigenvalue"] / alpha[str(variant)] - 1).max()
            yield Claim.below(
                f"{name}/{source}/{variant}/spectrum", spread, SPREAD,
                f"largest |k / alpha - 1| over the spectrum ({source}), alpha = {alpha[str(variant)]:g}", source=SOURCE,
            )  # fmt: skip
        elif architecture.shares_weights:
            yield Claim.finding(
                f"{name}/{source}/{variant}/off-isotropy", rows["off_isotropy"].iloc[0],
                f"|K - alpha I| / |K| ({source}) with weights that are shared; mean eigenvalue {rows['mean'].iloc[0]:.4g}",
                source=REFERENCES,
            )  # fmt: skip


def answer_claims(answers: list[dict[str, Any]]) -> Iterator[Claim]:
    """The library predicts isotropy exactly where it follows, and refuses elsewhere, naming the singular factor."""
    for answer in answers:
        name = answer["architecture"]
        if not ARCHITECTURES[name].shares_weights:
            expected = SAMPLES * (ARCHITECTURES[name].depth - 1) + 1
            yield Claim.holds(
                f"{name}/predicted alpha", answer["alpha"] == expected and not answer["refusal"],
                f"undamped K-FAC predicts alpha = N (L - 1) + 1 = {expected} and is not refused", source=SOURCE,
            )  # fmt: skip
            continue
        says_why = "shared over S positions" in answer["refusal"] and bool(answer["singular"])
        yield Claim.holds(
            f"{name}/predicted alpha", answer["alpha"] is None, "K-FAC predicts no alpha where weights are shared"
        )
        yield Claim.holds(
            f"{name}/refusal", says_why and answer["singular"][0] in answer["refusal"],
            "undamped K-FAC is refused; the message names the singular factor and the shared weights",
            note=answer["refusal"],
        )  # fmt: skip


def step_claims(steps: list[dict[str, Any]]) -> Iterator[Claim]:
    """Not isotropic, and yet the `K` that networks follow."""
    for found in steps:
        for on, symbol in (("train", "K"), ("test", "K'")):
            yield Claim.below(
                f"{found['architecture']}/{found['variant']}/small step/{on}", found[on], STEP_ERROR,
                f"relative difference between the change of the function on {on} inputs in one small step of a network and "
                f"-eta {symbol} r", source=REFERENCES,
            )  # fmt: skip


def off_isotropy(table: pd.DataFrame, name: str, source: str, variant: str) -> float:
    """Of one spectrum."""
    return float(select(table, architecture=name, source=source, variant=variant)["off_isotropy"].iloc[0])
