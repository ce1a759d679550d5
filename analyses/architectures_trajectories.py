"""Block-diagonal training of convolutional, residual, normalised and attention networks against the closed form, by width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.architectures_networks import ARCHITECTURES, SAMPLES, SOURCE, kernels, problem
from analyses.karakida_theory import RIGHT, Theory, hold
from analyses.seeds import mean_with_interval
from analyses.study import Settings, Study
from analyses.tables import select
from ntkng.compare import worst_distance
from ntkng.fisher import BlockDiagonal
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.statistics import Estimate, log_log_slope
from ntkng.sweep import sweep

STEPS = 6
# quick, default, full; convolutions and attention cost S positions, or a head per few units, times as much
WIDTHS = {
    "pooled_cnn": ((32, 128), (32, 64, 128, 256), (64, 128, 256, 512)),
    "residual_mlp": ((64, 512), (64, 128, 256, 512, 1024), (128, 256, 512, 1024, 2048)),
    "residual_cnn": ((32, 128), (32, 64, 128, 256), (64, 128, 256, 512)),
    "layer_norm_mlp": ((64, 512), (64, 128, 256, 512, 1024), (128, 256, 512, 1024, 2048)),
    "attention": ((32, 128), (32, 64, 128), (32, 64, 128, 256)),
}
# at the largest default width: distance on (training, test) inputs, and |factor on K - 1|, scaled like 1/sqrt(width);
# attention is far from its limit at 128 (32 heads): its alpha is seen to 10 % here, and by the small step of the isotropy figure
BOUNDS = {
    "pooled_cnn": (0.035, 0.22, 0.025),
    "residual_mlp": (0.016, 0.22, 0.02),
    "residual_cnn": (0.045, 0.22, 0.04),
    "layer_norm_mlp": (0.016, 0.22, 0.02),
    "attention": (0.11, 0.4, 0.1),
}


def study(settings: Settings) -> Study:
    """`max_t |f_t - closed form| / |r_0|` at `eta = 1/(2 L)`, several networks at every width."""
    networks = settings.choose(8, 8, 8)
    widths = {name: settings.choose(*choices) for name, choices in WIDTHS.items()}
    points = [
        {"architecture": name, "width": width, "networks": networks, "seed": settings.seed}
        for name, chosen in widths.items()
        for width in chosen
    ]
    rows = sweep(distances, points, cache=settings.cache, track=settings.track, description="architectures: training")
    table = pd.DataFrame(rows)
    facts = {"samples": SAMPLES, "networks": networks, "widths": widths, "steps": STEPS}
    report = Report("Training of other architectures", tuple(make_claims(table)), provenance(facts, seed=settings.seed))
    return Study(table, report, facts={**facts, "slopes": slopes(table)})


def distances(architecture: str, width: int, networks: int, seed: int, theory: Theory = RIGHT) -> list[dict[str, Any]]:
    """One row a network: largest distances, factor on `K` that fits best, and losses relative to the initial ones."""
    setting, layers = problem(architecture, width, seed=seed), kernels(architecture, seed=seed)
    fisher = BlockDiagonal()
    eta = 0.5 * fisher.optimal_step(layers)
    simulated = simulate(setting, fisher, seed, step_size=eta, steps=STEPS, seeds=networks)
    held = hold(setting, fisher, layers, simulated, theory)
    worst = [worst_distance(simulated, held.predicted, on) for on in ("train", "test")]
    losses = {
        f"{source}_{on}_{step}": path[:, step] / path[:, 0]
        for source, run in (("simulated", simulated), ("theory", held.predicted))
        for on, path in (("train", np.asarray(run.train_loss)), ("test", np.asarray(run.test_loss)))
        for step in range(STEPS + 1)
    }
    return [
        {"network": i, "train": float(worst[0][i]), "test": float(worst[1][i]), "factor": float(held.factors[i]),
         **{key: float(values[i]) for key, values in losses.items()}}
        for i in range(networks)
    ]  # fmt: skip


def slopes(table: pd.DataFrame) -> dict[tuple[str, str], Estimate]:
    """Slope of log distance against log width over all networks, by architecture and set of inputs."""
    found = {}
    for name in dict.fromkeys(table["architecture"]):
        for on in ("train", "test"):
            pivot = select(table, architecture=name).pivot(index="width", columns="network", values=on)
            found[str(name), on] = log_log_slope(pivot.index.to_numpy(float), pivot.to_numpy())
    return found


def make_claims(table: pd.DataFrame) -> Iterator[Claim]:
    """Distances fall with the width, and at the largest one both they and the factor on `K` are within bounds."""
    for (name, on), slope in slopes(table).items():
        yield Claim.below(
            f"{name}/{on}/slope", slope.value, 0.0,
            f"log-log slope of the distance on {on} inputs in width (-1/2 for a network that tends to its linearisation)",
            uncertainty=slope.half_width(), source="lazy training at large width",
        )  # fmt: skip
    for name in dict.fromkeys(table["architecture"]):
        yield from largest_width_claims(str(name), select(table, architecture=name))


def largest_width_claims(name: str, table: pd.DataFrame) -> Iterator[Claim]:
    """Means over networks at the largest width, against bounds that scale like `1/sqrt(width)`."""
    width = int(table["width"].max())
    rows = select(table, width=width)
    scale = np.sqrt(WIDTHS[name][1][-1] / width)
    for on, bound in zip(("train", "test"), BOUNDS[name][:2], strict=True):
        value, half = mean_with_interval(rows[on])
        yield Claim.below(
            f"{name}/{on}/distance", value, scale * bound,
            f"max over steps of |f - closed form| / |r_0| on {on} inputs, mean over {len(rows)} networks of width {width}",
            uncertainty=half, source=SOURCE,
        )  # fmt: skip
    value, half = mean_with_interval(rows["factor"])
    tolerance = scale * BOUNDS[name][2]
    yield Claim.within(
        f"{name}/factor", value, 1 - tolerance, 1 + tolerance,
        f"factor on K, and so on alpha = {ARCHITECTURES[name].depth}, that fits the networks of width {width} best",
        uncertainty=half, source=SOURCE,
    )  # fmt: skip
