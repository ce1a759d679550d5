"""Martens (2020): Fisher and curvature matrices, stochastic convergence, damping, and invariance."""

from __future__ import annotations

from analyses import (
    martens_curvature,
    martens_empirical_fisher,
    martens_invariance,
    martens_stochastic,
    martens_trust_region,
)
from ntkng.citation import citation
from paper_repro.paper import FigureSpec, Paper

PAPER = Paper(
    key="martens-2020",
    title="New Insights and Perspectives on the Natural Gradient Method",
    bibtex=citation("martens-2020"),
    figures=(
        FigureSpec("C1", "Stochastic second-order iterations on a quadratic", martens_stochastic.study,
                   "figures.martens_stochastic:plot"),
        FigureSpec("C2", "Fisher, Gauss-Newton, Hessian, empirical Fisher", martens_curvature.study,
                   "figures.martens_curvature:plot"),
        FigureSpec("C3", "Pathologies of the empirical Fisher", martens_empirical_fisher.study,
                   "figures.martens_empirical_fisher:plot"),
        FigureSpec("C4", "Damping and trust regions", martens_trust_region.study,
                   "figures.martens_trust_region:plot"),
        FigureSpec("C5", "Parametrisation invariance", martens_invariance.study,
                   "figures.martens_invariance:plot"),
    ),
)  # fmt: skip
