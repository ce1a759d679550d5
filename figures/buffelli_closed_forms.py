"""Figure B9: zero-weight kernel, mini-batch floor, and probes of a kernel."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.study import Study
from analyses.tables import select
from figures.buffelli_style import THEORY
from figures.style import PALETTE, panels


def plot(study: Study) -> Figure:
    """Three panels."""
    figure, (widths, floors, probes) = panels(3, width=3.6, height=2.9)
    rows = select(study.table, kind="width")
    groups = rows.groupby("width").deviation
    mean, error = groups.mean(), groups.sem()
    widths.errorbar(
        mean.index, mean, 1.96 * error, fmt="o", color=PALETTE[0], capsize=3, label="networks (95 % interval)"
    )
    guide = mean.iloc[0] * np.sqrt(mean.index[0] / mean.index.to_numpy())
    widths.plot(mean.index, guide, **THEORY, label=r"slope $-1/2$")
    widths.set(xscale="log", yscale="log", xlabel="width $m$", ylabel="relative deviation from the limit")
    widths.set(ylim=(1e-3, 0.2), title="NTK at zero weights")
    rows = select(study.table, kind="floor")
    columns = rows[["features", "batch", "rate", "theory", "simulated", "error"]].to_numpy(dtype=float)
    theory, simulated, error = columns[:, 3:].T
    ratio = simulated / theory
    floors.errorbar(
        np.arange(len(rows)), ratio, 1.96 * error / theory, fmt="s", color=PALETTE[2], capsize=3, label="95 % interval"
    )
    floors.axhline(1, **THEORY, label=r"theory $\sigma^2\,\frac{\eta}{2-\eta}\,\frac{P}{|P-B|-1}$")
    names = [f"{p:.0f}, {b:.0f}, {rate:g}" for p, b, rate in columns[:, :3]]
    floors.set_xticks(np.arange(len(rows)), names, rotation=35, ha="right", fontsize=7)
    reach = 1.8 * float(np.max(np.abs(ratio - 1) + 1.96 * error / theory))
    floors.set(xlabel="features P, batch B, rate", ylabel="simulation / theory", ylim=(1 - reach, 1 + reach))
    floors.set_title("mini-batch floor")
    probes.hist(study.arrays["probes"], bins=25, color=PALETTE[4], alpha=0.7, label="single probes")
    probes.axvline(study.facts["frobenius"], **{**THEORY, "linestyle": "-"}, label="Frobenius alignment")
    probes.axvline(float(np.mean(study.arrays["probes"])), color=PALETTE[3], linestyle="--", label="mean of the probes")
    probes.set(xlabel="cosine of two kernels", ylabel="number of probes", title="probes of an NTK")
    for ax in (widths, floors, probes):
        ax.legend(fontsize=7)
    return figure
