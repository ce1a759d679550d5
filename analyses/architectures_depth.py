"""`alpha` of the block-diagonal Fisher against the number of residual blocks: it counts the parametrised layers.

From infinite-width kernels, and from training itself: one small step of a finite network moves the residual by `-eta alpha r`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.architectures_networks import SOURCE, on_images, residual_mlp
from analyses.karakida_problems import draw, split
from analyses.karakida_theory import RIGHT, Theory
from analyses.study import Settings, Study
from ntkng.fisher import BlockDiagonal
from ntkng.kernels import analytic
from ntkng.network import Network
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate

SAMPLES = 20
EXACT = 1e-10  # relative error of alpha and of the spectrum: rounding
SMALL = 1e-5  # eta alpha of the small step
STEP_ERROR = 2e-5  # what is left of the network's curvature over that step


def study(settings: Settings, theory: Theory = RIGHT) -> Study:
    """Residual multilayer perceptrons of many depths, infinite and finite."""
    blocks = settings.choose((0, 1, 3), (0, 1, 2, 4, 6, 10), (0, 1, 2, 4, 6, 10, 16))
    width = settings.choose(64, 256)
    rows = [measure(count, width, settings.seed, theory) for count in settings.track(blocks, "residual depth")]
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "width": width, "blocks": list(blocks)}
    claims = tuple(make_claims(table))
    return Study(
        table, Report("Depth of residual networks", claims, provenance(facts, seed=settings.seed)), facts=facts
    )


@functools.cache
def network(blocks: int, width: int) -> Network:
    """Cached, because each new `Network` is compiled anew."""
    return Network(residual_mlp(width, blocks), 64)


def measure(blocks: int, width: int, seed: int, theory: Theory = RIGHT) -> dict[str, Any]:
    """`alpha` at infinite width, its spread over the spectrum, and `alpha` of one small step of a network."""
    setting = on_images(network(blocks, width), split("digits", SAMPLES, seed))
    layers = theory.kernels(analytic(setting.network, setting.x))
    values = theory.scale * np.asarray(BlockDiagonal().kernel(layers).eigenvalues())
    eta = SMALL / (blocks + 2)
    moved = simulate(setting, BlockDiagonal(), step_size=eta, steps=1, parameters=draw(setting.network, seed))
    first, second = moved.residual[0]
    alpha = float(((first - second) * first).sum() / (eta * (first**2).sum()))
    return {"blocks": blocks, "layers": blocks + 2, "infinite": float(values.mean()), "smallest": float(values[0]),
            "largest": float(values[-1]), "finite": alpha}  # fmt: skip


def make_claims(table: pd.DataFrame) -> Iterator[Claim]:
    """At every depth `alpha = L`, for both."""
    where = f"{table['blocks'].min()} to {table['blocks'].max()} residual blocks"
    spread = np.maximum((table["largest"] / table["layers"] - 1).abs(), (table["smallest"] / table["layers"] - 1).abs())
    yield Claim.below(
        "infinite/spectrum", spread.max(), EXACT, f"largest |k / L - 1| over the spectra, {where}", source=SOURCE
    )
    yield Claim.below(
        "finite/small step", (table["finite"] / table["layers"] - 1).abs().max(), STEP_ERROR,
        f"largest |alpha / L - 1| of one small step of a network, {where}", source=SOURCE,
    )  # fmt: skip
    slope = np.polyfit(table["layers"], table["finite"], 1)[0]
    yield Claim.within(
        "finite/layers per block", slope, 1 - STEP_ERROR, 1 + STEP_ERROR,
        "alpha gained per parametrised layer; the identity paths and the activations add none", source=SOURCE,
    )  # fmt: skip
    crossed = (table["finite"] / table["infinite"] - 1).abs().max()
    yield Claim.below(
        "finite against infinite", crossed, STEP_ERROR, "largest relative difference of the two alphas", source=SOURCE
    )
