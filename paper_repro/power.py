"""Not a paper: the power of this project's own checks, without which its other claims would say little."""

from __future__ import annotations

from analyses import power_curve, power_detection
from paper_repro.paper import FigureSpec, Paper

PAPER = Paper(
    key="power",
    title="What a pass means: detection of planted errors, and false alarms",
    bibtex="",
    figures=(
        FigureSpec(
            "detection",
            "Which planted errors which checks detect",
            power_detection.study,
            "figures.power_detection:plot",
        ),
        FigureSpec(
            "curve",
            "Power against the error of alpha, its cost, and false alarms",
            power_curve.study,
            "figures.power_curve:plot",
        ),
    ),
)
