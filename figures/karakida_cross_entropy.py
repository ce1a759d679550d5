"""Figure of the cross-entropy analysis."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyses.study import Study
from figures.style import COLOURS, LABELS, MARKERS, PALETTE, panels

NAMES = ("Exact", "BlockDiagonal", "BlockTriDiagonal", "KFAC")
SIZES = dict(zip(NAMES, (10, 7.5, 5, 2.5), strict=True))  # hollow, one inside the other where they coincide


def plot(study: Study) -> Any:
    """The exponential law, the error of small steps, test probabilities, and softmax steps."""
    parts = {panel: rows for panel, rows in study.table.groupby("panel")}
    figure, axes = panels(4, columns=2, width=4.3, height=3.1)
    _flow(axes[0], parts["flow"])
    _slope(axes[1], parts["slope"], study.facts["slopes"])
    _test(axes[2], study.arrays)
    _steps(axes[3], parts["steps"])
    facts = study.facts
    figure.suptitle(
        f"Cross-entropy on digits: N = {facts['samples']}, {facts['depth']} layers, width {facts['width']}, "
        f"{facts['seeds']} networks",
        fontsize=10,
    )
    return figure


def _flow(axis: Any, rows: Any) -> None:
    for index, name in enumerate(_present(rows)):
        part = rows[(rows["fisher"] == name) & (rows["source"] == "simulation")].reset_index(drop=True)
        chosen = part.iloc[6 * index :: len(part) // 5]
        axis.errorbar(chosen["time"], chosen["value"], chosen["half_width"], color=COLOURS[name], ls="none",
                      marker=MARKERS[name], capsize=2, label=LABELS[name])  # fmt: skip
    times = np.linspace(0, rows["time"].max())
    axis.plot(times, np.exp(-times), color="0.7", lw=4, zorder=0, label=r"$e^{-\alpha t}$")
    axis.set(yscale="log", xlabel=r"$\alpha t$", ylabel=r"$|p_t - y|\,/\,|p_0 - y|$ (training)")
    axis.set_title("(a) logistic loss, small steps: one law")
    axis.legend()


def _present(rows: Any) -> list[str]:
    return [name for name in NAMES if (rows["fisher"] == name).any()]


def _slope(axis: Any, rows: Any, slopes: Any) -> None:
    for name in _present(rows):
        for on, dashes in (("train", "-"), ("test", ":")):
            part = rows[(rows["fisher"] == name) & (rows["on"] == on)]
            means = part.groupby("step")["distance"].mean()
            label = f"{LABELS[name]}, slope {slopes[name]:.2f}" if on == "train" else None
            axis.plot(means.index, means, dashes, color=COLOURS[name], marker=MARKERS[name], ms=SIZES[name],
                      fillstyle="none", label=label)  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel=r"step size $\times\,\alpha$")
    steps = sorted(rows["step"].unique())
    axis.set_xticks(steps, [f"1/{1 / step:.0f}" for step in steps])
    axis.minorticks_off()
    axis.set(ylabel="relative distance of probabilities", title="(b) networks against the flow")
    axis.set_ylim(top=5 * rows["distance"].max())
    axis.legend(
        title="train (—), test (···)", title_fontsize=8, ncols=2, fontsize=6.5, handlelength=1.0, columnspacing=0.8
    )


def _test(axis: Any, arrays: Any) -> None:
    times, simulated, predicted = (np.asarray(arrays[name]) for name in ("times", "simulated", "predicted"))
    horizon = times * (2.0 / times[-1])
    stride = max(len(times) // 10, 1)
    spread = np.argsort(predicted[-1, :, 0])[:: max(predicted.shape[1] // 6, 1)]
    for index, sample in enumerate(spread):
        colour = PALETTE[index % len(PALETTE)]
        axis.plot(horizon, predicted[:, sample, 0], color=colour)
        axis.plot(horizon[::stride], simulated[::stride, sample, 0], ls="none", marker="o", ms=3, color=colour)
    axis.plot([], [], color="0.4", label="closed form")
    axis.plot([], [], ls="none", marker="o", ms=3, color="0.4", label="one network")
    axis.set(xlabel=r"$\alpha t$", ylabel="probability of the second class", ylim=(-0.03, 1.03))
    axis.set_title("(c) test inputs, logistic, block-diagonal")
    axis.legend()


def _steps(axis: Any, rows: Any) -> None:
    for name in _present(rows):
        for on, dashes in (("train", "-"), ("test", "--")):
            part = rows[(rows["fisher"] == name) & (rows["on"] == on)]
            theory, simulation = (part[part["source"] == source] for source in ("theory", "simulation"))
            axis.plot(theory["step"], theory["value"], dashes, color=COLOURS[name],
                      label=LABELS[name] if on == "train" else None)  # fmt: skip
            axis.plot(simulation["step"], simulation["value"], color=COLOURS[name], ls="none", marker=MARKERS[name],
                      ms=SIZES[name], fillstyle="none")  # fmt: skip
    axis.set(yscale="log", xlabel=r"step, $\eta = 1/(2\alpha)$", ylabel="cross-entropy, mean over networks")
    axis.set_title("(d) softmax, 3 classes: iteration (lines), networks")
    axis.legend(title="train (—), test (- -)", title_fontsize=8)
