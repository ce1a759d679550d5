"""The power curve of the trajectory check, what power costs, and how often clean runs fail."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.binomial import interval
from analyses.power_curve import LARGEST, detection, smallest_errors
from analyses.study import Study
from analyses.tables import select
from figures.style import COLOURS, LABELS, MARKERS
from ntkng.testing.decision import POWER
from ntkng.testing.trajectories import EFFECT
from ntkng.testing.width_sweep import SEEDS

COSTS = ("Exact", "KFAC")  # the least and the largest variance
LINES = dict(zip(sorted(LARGEST, reverse=True), ("-", "--", ":"), strict=True))


def plot(study: Study) -> Figure:
    """Rate of detection; smallest error that is seen against run time; rates of false alarms."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), gridspec_kw={"width_ratios": [1, 1, 0.9]})
    _curve(axes[0], study)
    _cost(axes[1], study)
    _alarms(axes[2], study)
    return figure


def _curve(ax: Axes, study: Study) -> None:
    for name in _settings(study):
        found = detection(study.table, setting=name, largest=max(LARGEST), networks=SEEDS)
        found = found[found["size"] > 0]
        size = 100 * found["size"]
        ax.plot(size, found["rate"], MARKERS[name] + "-", color=COLOURS[name], label=LABELS[name])
        ax.fill_between(size, found["low"], found["high"], color=COLOURS[name], alpha=0.12, lw=0)
    ax.axhline(POWER, color="0.5", ls=":", lw=1)
    ax.annotate(f"{POWER:.0%}", (0.25, POWER), color="0.4", fontsize=7, va="bottom")
    ax.set_xscale("log")
    ticks = [0.25, 0.5, 1, 2, 5, 10]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(r"error of $\alpha$ in the theory (%)")
    ax.set_ylabel("share of runs in which the check fails")
    ax.set_ylim(-0.02, 1.04)
    ax.legend(loc="lower right")
    facts = study.facts
    widths = facts["widths"]
    ax.set_title(
        f"power at the default size: widths {widths[0]} to {widths[-1]},\n{facts['networks at the largest width']} networks "
        f"at the largest; {_count(facts['clean runs'])} runs, 95 % bands"
    )  # fmt: skip


def _cost(ax: Axes, study: Study) -> None:
    table = smallest_errors(study.table)
    table = table[np.isfinite(table["smallest"]) & table["setting"].isin(COSTS)]
    for (name, largest), group in table.groupby(["setting", "largest"], sort=False):
        ax.plot(
            group["seconds"], 100 * group["smallest"], MARKERS[name], ls=LINES[int(largest)], color=COLOURS[name]
        )  # fmt: skip
        ax.plot(group["seconds"], 100 * group["expected"], "x", color=COLOURS[name], ms=4, mew=0.8)
    default = table[(table["largest"] == max(LARGEST)) & (table["networks"] == SEEDS)]
    ax.plot(default["seconds"], 100 * default["smallest"], "o", ms=10, mfc="none", mec="0.3", ls="none")
    ax.axhline(100 * EFFECT, color="0.5", ls=":", lw=1)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("processor time of the simulations (s)")
    ax.set_ylabel(rf"smallest error of $\alpha$ seen in {POWER:.0%} of runs (%)")
    lines = [plt.Line2D([], [], color=COLOURS[name], marker=MARKERS[name], label=LABELS[name]) for name in COSTS]
    lines += [plt.Line2D([], [], color="0.3", ls=style, label=f"widths to {width}") for width, style in LINES.items()]
    lines += [plt.Line2D([], [], color="0.3", marker="x", ls="none", label="predicted by the check")]
    lines += [plt.Line2D([], [], color="0.3", marker="o", mfc="none", ms=9, ls="none", label="default size")]
    ax.legend(handles=lines, fontsize=7, loc="upper right", ncols=2)
    networks = ", ".join(f"{count:g}" for count in sorted(table["networks"].unique()))
    ax.set_title(f"what power costs: {networks} networks\nat the largest width (left to right)")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.45)
    _plain(ax)


def _plain(ax: Axes) -> None:
    low, high = ax.get_ylim()
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    low, high = ax.get_xlim()
    ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def _alarms(ax: Axes, study: Study) -> None:
    clean = select(study.table, largest=max(LARGEST), networks=SEEDS, **{"alpha off by": 0.0})
    rows = []
    for (check, name), group in clean.groupby(["check", "setting"], sort=False):
        rows.append((f"{check}, {LABELS.get(name, name)}" if check != name else check, COLOURS.get(name, "0.3"), group))
    rows.append(("all together", "black", clean))
    for place, (_, colour, group) in enumerate(rows):
        count, trials = int((group["outcome"] == "fail").sum()), len(group)
        low, high = interval(count, trials)
        ax.plot([100 * low, 100 * high], [place, place], color=colour, lw=1.4)
        ax.plot(100 * count / trials, place, "o", color=colour)
        ax.annotate(
            f"{count}/{trials}",
            (100 * high, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
        )
    stated = 100 * study.facts["stated"]
    ax.axvline(stated, color="0.5", ls=":", lw=1)
    ax.set_yticks(range(len(rows)), [label for label, _, _ in rows], fontsize=7)
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set_xlim(left=-0.05 * ax.get_xlim()[1])
    ax.set_xlabel("clean runs that fail (%)")
    ax.set_title(f"false alarms: {stated:g} % are stated (dotted),\n95 % intervals")


def _count(runs: dict[str, int]) -> str:
    low, high = min(runs.values()), max(runs.values())
    return f"{low}" if low == high else f"{low} to {high}"


def _settings(study: Study) -> list[str]:
    return [name for name in dict.fromkeys(study.table["setting"]) if name in COLOURS]
