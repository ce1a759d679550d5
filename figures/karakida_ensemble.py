"""Figure of the ensemble analysis."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, panels


def plot(study: Study) -> Any:
    """Predictive bands of every approximation, and z-scores of means and covariances."""
    bands, scores = (study.table[study.table["panel"] == panel] for panel in ("bands", "scores"))
    names = list(dict.fromkeys(bands["fisher"]))
    figure, axes = panels(len(names) + 2, columns=min(4, len(names)), width=3.3, height=2.8)
    for index, name in enumerate(names):
        _bands(axes[index], bands[bands["fisher"] == name], study.arrays, name)
        axes[index].set_title(f"({chr(ord('a') + index)}) {LABELS[name]}")
    low, high = bands["low"].min(), bands["high"].max()
    for axis in axes[: len(names)]:
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=len(handles))
    for what, axis in zip(("means", "covariances"), axes[len(names) :], strict=True):
        _scores(axis, scores[scores["what"] == what], names)
        index = len(names) + (what == "covariances")
        axis.set_title(f"({chr(ord('a') + index)}) z-scores of the {what}")
    facts = study.facts
    figure.suptitle(
        f"{facts['networks']} networks of width {facts['width']} after {facts['steps']} steps, "
        rf"$\eta = 1/(2 k_{{\max}})$; N = {facts['samples']}, {facts['depth']} layers",
        fontsize=10,
    )
    return figure


def _bands(axis: Any, rows: Any, arrays: Any, name: str) -> None:
    theory, networks = (rows[rows["source"] == source] for source in ("theory", "simulation"))
    x = theory["position"]
    axis.plot(arrays["grid"], np.asarray(arrays[f"functions of {name}"])[:4].T, color="0.7", lw=0.6)
    axis.fill_between(x, theory["low"], theory["high"], color=COLOURS[name], alpha=0.25, lw=0, label="theory: 95 %")
    axis.plot(x, theory["mean"], color=COLOURS[name], lw=2.5, alpha=0.6, label="theory: mean")
    axis.plot(x, networks["mean"], "--", color="k", lw=1, label="networks: mean")
    for edge in ("low", "high"):
        axis.plot(x, networks[edge], ":", color="k", lw=1, label="networks: 95 %" if edge == "low" else None)
    axis.plot(arrays["positions"], arrays["targets"], "k.", ms=6, label="data")
    axis.set(xlabel="position on the curve", ylabel="$f_t$")


def _scores(axis: Any, rows: Any, names: list[str]) -> None:
    """Sorted z-scores against normal quantiles."""
    import scipy.stats

    for name in names:
        values = np.sort(rows[rows["fisher"] == name]["value"])
        quantiles = scipy.stats.norm.ppf((np.arange(len(values)) + 0.5) / len(values))
        axis.plot(quantiles, values, ls="none", marker=MARKERS[name], ms=3, color=COLOURS[name], label=LABELS[name])
    axis.axline((0, 0), slope=1, color="0.6", lw=0.8, zorder=0)
    axis.set(xlabel="normal quantile", ylabel="z-score (points correlated)")
    axis.legend(fontsize=7, loc="upper left")
