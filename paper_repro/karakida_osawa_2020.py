"""Karakida and Osawa 2020: natural gradient descent with approximate Fisher matrices is as fast as with the exact one."""

from __future__ import annotations

from analyses import karakida_dynamics
from paper_repro.paper import FigureSpec, Paper

PAPER = Paper(
    key="karakida-osawa-2020",
    title="Understanding Approximate Fisher Information for Fast Convergence of Natural Gradient Descent in Wide Neural "
    "Networks",
    bibtex="""@inproceedings{karakida2020understanding,
  title = {Understanding Approximate {F}isher Information for Fast Convergence of Natural Gradient Descent in Wide Neural
           Networks},
  author = {Karakida, Ryo and Osawa, Kazuki},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2020},
}""",
    figures=(
        FigureSpec(
            "dynamics",
            "Training dynamics: loss against steps at the optimal step size and half of it",
            karakida_dynamics.study,
            "figures.karakida_dynamics:plot",
        ),
    ),
)
