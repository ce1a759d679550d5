"""Karakida and Osawa 2020: natural gradient descent with approximate Fisher matrices is as fast as with the exact one."""

from __future__ import annotations

from analyses import (
    karakida_cross_entropy,
    karakida_damping,
    karakida_depth,
    karakida_dynamics,
    karakida_empirical_fisher,
    karakida_ensemble,
    karakida_forster,
    karakida_isotropy,
    karakida_laziness,
    karakida_mini_batch,
    karakida_rates,
    karakida_singular,
    karakida_step_size,
    karakida_ten_classes,
    karakida_unit_wise,
    karakida_width,
)
from ntkng.citation import citation
from paper_repro.paper import FigureSpec, Paper

PAPER = Paper(
    key="karakida-osawa-2020",
    title="Understanding Approximate Fisher Information for Fast Convergence of Natural Gradient Descent in Wide Neural "
    "Networks",
    bibtex=citation("karakida-osawa-2020"),
    figures=(
        FigureSpec(
            "dynamics",
            "Training dynamics: loss against steps at the optimal step size and half of it",
            karakida_dynamics.study,
            "figures.karakida_dynamics:plot",
        ),
        FigureSpec(
            "step_size",
            "Loss after one step against the step size",
            karakida_step_size.study,
            "figures.karakida_step_size:plot",
        ),
        FigureSpec(
            "width",
            "Distance between simulation and closed form against width",
            karakida_width.study,
            "figures.karakida_width:plot",
        ),
        FigureSpec(
            "isotropy",
            "The preconditioned kernel and its spectrum",
            karakida_isotropy.study,
            "figures.karakida_isotropy:plot",
        ),
        FigureSpec(
            "depth",
            "The constant alpha against depth",
            karakida_depth.study,
            "figures.karakida_depth:plot",
        ),
        FigureSpec(
            "unit_wise",
            "Unit-wise Fisher matrix: alpha, training and the need of damping",
            karakida_unit_wise.study,
            "figures.karakida_unit_wise:plot",
        ),
        FigureSpec(
            "damping",
            "Damped training in closed form, poles, and K-FAC's pi rule",
            karakida_damping.study,
            "figures.karakida_damping:plot",
        ),
        FigureSpec(
            "singular",
            "Block tri-diagonal Fisher matrix where the pattern is singular",
            karakida_singular.study,
            "figures.karakida_singular:plot",
        ),
        FigureSpec(
            "forster",
            "K-FAC with fewer input dimensions than samples: Forster's transform",
            karakida_forster.study,
            "figures.karakida_forster:plot",
        ),
        FigureSpec(
            "cross_entropy",
            "Cross-entropy: the flow of the probabilities, and steps in function space",
            karakida_cross_entropy.study,
            "figures.karakida_cross_entropy:plot",
        ),
        FigureSpec(
            "ensemble",
            "Ensembles: the law of the trained function over random initialisations",
            karakida_ensemble.study,
            "figures.karakida_ensemble:plot",
        ),
        FigureSpec(
            "laziness",
            "Laziness: displacement of the parameters and change of the kernels against width",
            karakida_laziness.study,
            "figures.karakida_laziness:plot",
        ),
        FigureSpec(
            "rates",
            "Rates of convergence: one for all approximations, many for gradient descent",
            karakida_rates.study,
            "figures.karakida_rates:plot",
        ),
        FigureSpec(
            "ten_classes",
            "Ten outputs: all ten digits, with accuracies",
            karakida_ten_classes.study,
            "figures.karakida_ten_classes:plot",
        ),
        FigureSpec(
            "mini_batch",
            "Mini-batches: what a step does on and off its batch",
            karakida_mini_batch.study,
            "figures.karakida_mini_batch:plot",
        ),
        FigureSpec(
            "empirical_fisher",
            "The empirical Fisher: not isotropic, and why",
            karakida_empirical_fisher.study,
            "figures.karakida_empirical_fisher:plot",
        ),
    ),
)
