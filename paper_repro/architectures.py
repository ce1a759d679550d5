"""The theory of Karakida and Osawa (2020) beyond multilayer perceptrons: convolutions, residuals, normalisation, attention."""

from __future__ import annotations

from analyses import (
    architectures_depth,
    architectures_isotropy,
    architectures_kfac,
    architectures_trajectories,
)
from paper_repro.karakida_osawa_2020 import PAPER as KARAKIDA_OSAWA
from paper_repro.paper import FigureSpec, Paper

PAPER = Paper(
    key="architectures",
    title="Approximate Fisher matrices on other architectures (an extension of Karakida and Osawa 2020)",
    bibtex=KARAKIDA_OSAWA.bibtex,
    figures=(
        FigureSpec(
            "trajectories",
            "Training of convolutional, residual, normalised and attention networks against the closed form",
            architectures_trajectories.study,
            "figures.architectures_trajectories:plot",
        ),
        FigureSpec(
            "isotropy",
            "The preconditioned kernel's spectrum on five architectures",
            architectures_isotropy.study,
            "figures.architectures_isotropy:plot",
        ),
        FigureSpec(
            "residual_depth",
            "alpha of the block-diagonal Fisher against the depth of a residual network",
            architectures_depth.study,
            "figures.architectures_depth:plot",
        ),
        FigureSpec(
            "kfac",
            "K-FAC where weights are shared: the measured spectrum",
            architectures_kfac.study,
            "figures.architectures_kfac:plot",
        ),
    ),
)
