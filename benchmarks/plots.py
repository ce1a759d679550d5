"""Plots of the results."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.results import Results
from benchmarks.tables import others
from figures.style import COLOURS, LABELS, MARKERS, PALETTE, panels

SYMBOLS = "osD^vPX*"


def peers(results: Results, kind: str) -> Any:
    """Times of the other libraries over those of ntkng, by width: a panel per N and C."""
    what = f"peers, {kind}"
    rows = results.select(what)
    names = others(rows)
    cases = list(dict.fromkeys((row["N"], row["C"]) for row in rows))
    figure, axes = panels(len(cases), columns=2, width=3.6)
    for axis, (samples, outputs) in zip(axes, cases, strict=True):
        for index, name in enumerate(names):
            own = [row for row in rows if (row["N"], row["C"], row["contestant"]) == (samples, outputs, name)]
            style = {"color": PALETTE[index], "marker": SYMBOLS[index], "label": name}
            axis.plot([row["M"] for row in own], [row["ratio"] for row in own], **style)
        axis.axhline(1, color="black", linewidth=0.8, linestyle=":", label="ntkng")
        axis.set(
            xscale="log",
            yscale="log",
            title=f"N = {samples}, C = {outputs}",
            xlabel="width M",
            ylabel="time / time of ntkng",
        )
        widths = sorted({row["M"] for row in rows})
        axis.set_xticks(widths, [str(width) for width in widths])
        axis.set(xlim=(widths[0] / 1.2, widths[-1] * 1.2), ylim=(0.7, None))
        axis.minorticks_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.suptitle(f"One {kind} step: other libraries over ntkng", fontsize=11)
    return figure


def floor(results: Results) -> Any:
    """Steps over the machine's floor, by size."""
    rows = results.select("step")
    sizes = list(dict.fromkeys((row["N"], row["M"], row["C"]) for row in rows))
    figure, axis = plt.subplots(figsize=(7, 3.4))
    names = list(dict.fromkeys(row["contestant"] for row in rows))
    for index, name in enumerate(names):
        own = [row for row in rows if row["contestant"] == name]
        aside = 0.1 * (index - len(names) / 2)
        at = [sizes.index((row["N"], row["M"], row["C"])) + aside for row in own]
        ratios = np.array([row["ratio to floor"] for row in own])
        bars = np.array([row["spread"] / row["seconds"] for row in own]) * ratios / 2
        axis.errorbar(
            at, ratios, bars, color=COLOURS[name], marker=MARKERS[name], linestyle="none", label=LABELS[name], capsize=2
        )
    axis.axhline(1, color="black", linewidth=0.8)
    axis.axhline(1.5, color="black", linewidth=0.8, linestyle=":", label="target of the exact step")
    axis.set_yscale("log")
    axis.set_yticks([1, 1.5, 2, 3, 5, 10, 20], ["1", "1.5", "2", "3", "5", "10", "20"])
    axis.minorticks_off()
    axis.set_xticks(range(len(sizes)), ["\n".join(map(str, size)) for size in sizes])
    axis.set(
        xlabel="samples N, width M, outputs C",
        ylabel="time / floor of the exact step",
        title="Steps against the machine",
    )
    figure.legend(loc="outside right upper")
    return figure


def growth(results: Results) -> Any:
    """Fitted exponents."""
    rows = results.select("growth")
    quantities = list(dict.fromkeys(row["in"] for row in rows))
    figure, axes = panels(len(quantities), columns=4, width=2.4, height=2.8)
    names = list(dict.fromkeys(row["contestant"] for row in rows))
    for axis, quantity in zip(axes, quantities, strict=True):
        for name in names:
            own = [row for row in rows if row["in"] == quantity and row["contestant"] == name]
            colour = COLOURS.get(name, PALETTE[5])
            for row in own:
                axis.plot(row["exponent"], names.index(name), marker="o", color=colour)
                axis.plot(row["last interval"], names.index(name), marker="o", markerfacecolor="none", color=colour)
        axis.set_yticks(
            range(len(names)), [LABELS.get(name, name) for name in names] if axis is axes[0] else [""] * len(names)
        )
        axis.invert_yaxis()
        axis.grid(axis="x", linewidth=0.4)
        own = next(row for row in rows if row["in"] == quantity)
        axis.set(title=f"{quantity} = {own['from']} to {own['to']}", xlabel=f"exponent in {quantity}")
    figure.suptitle("Growth of the time of one step (filled: whole range, open: last interval)", fontsize=10)
    return figure
