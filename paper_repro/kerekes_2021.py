"""Kerekes, Mészáros and Huszár (2021): the inductive bias of natural gradient flow."""

from __future__ import annotations

from analyses import (
    kerekes_directions,
    kerekes_matrix_completion,
    kerekes_nonlinear,
    kerekes_residuals,
    kerekes_test_error,
    kerekes_trajectories,
)
from ntkng.citation import citation
from paper_repro.paper import FigureSpec, Paper

PAPER = Paper(
    key="kerekes-2021",
    title="Depth Without the Magic: Inductive Bias of Natural Gradient Descent",
    bibtex=citation("kerekes-2021"),
    figures=(
        FigureSpec("A1", "Trajectories of the predictor at several depths", kerekes_trajectories.study,
                   "figures.kerekes_trajectories:plot"),
        FigureSpec("A2", "Limit directions on separable data", kerekes_directions.study,
                   "figures.kerekes_directions:plot"),
        FigureSpec("A3", "Decay of residuals and gradients", kerekes_residuals.study,
                   "figures.kerekes_residuals:plot"),
        FigureSpec("A4", "Matrix completion", kerekes_matrix_completion.study,
                   "figures.kerekes_matrix_completion:plot"),
        FigureSpec("A5", "Test error against samples", kerekes_test_error.study,
                   "figures.kerekes_test_error:plot"),
        FigureSpec("A6", "Nonlinear networks", kerekes_nonlinear.study,
                   "figures.kerekes_nonlinear:plot"),
    ),
)  # fmt: skip
