"""Buffelli et al. 2024: exact Gauss-Newton in reversible networks. B1 to B6 on the digits, B7 to B9 the theory.

B10 (MNIST, CIFAR-10) is there when `$NTKNG_DATA/mnist` or `$NTKNG_DATA/cifar10` holds the files (default: `data/`).
"""

from __future__ import annotations

from functools import partial

from analyses.buffelli_closed_forms import closed_forms
from analyses.buffelli_cross_entropy import cross_entropy
from analyses.buffelli_full_batch import full_batch
from analyses.buffelli_images import available, images
from analyses.buffelli_laws import laws
from analyses.buffelli_mini_batch import loss_change, mini_batch
from analyses.buffelli_no_bottleneck import no_bottleneck
from analyses.buffelli_operator import operator
from analyses.buffelli_representation import representation
from ntkng.citation import citation
from paper_repro.paper import FigureSpec, Paper

PAPER = Paper(
    key="buffelli-2024",
    title="Exact, Tractable Gauss-Newton Optimization in Deep Reversible Architectures Reveal Poor Generalization",
    bibtex=citation("buffelli-2024"),
    figures=(
        # B3 and B4 last: they take the runs of B2 and B6 from the cache, whichever process has made them
        FigureSpec("B2", "Mini-batch: training and held-out curves", mini_batch, "figures.buffelli_mini_batch:plot"),
        FigureSpec("B6", "Cross-entropy: power-law tail", cross_entropy, "figures.buffelli_cross_entropy:plot"),
        FigureSpec("B1", "Full batch: loss, accuracy, loss change", full_batch, "figures.buffelli_full_batch:plot"),
        FigureSpec("B5", "Without the inverted bottleneck", no_bottleneck, "figures.buffelli_mini_batch:no_bottleneck"),
        FigureSpec("B7", "J R = L_b I and its failure modes", operator, "figures.buffelli_operator:plot"),
        FigureSpec("B8", "Laws of Gauss-Newton in function space", laws, "figures.buffelli_laws:plot"),
        FigureSpec("B9", "Zero-weight kernel, floor, probes", closed_forms, "figures.buffelli_closed_forms:plot"),
        FigureSpec("B3", "Change of the batch loss per update", loss_change, "figures.buffelli_loss_change:plot"),
        FigureSpec("B4", "Movement of NTK and representations", representation, "figures.buffelli_representation:plot"),
        *(
            FigureSpec(
                f"B10-{name}",
                f"Mini-batch curves on {name}",
                partial(images, name=name),
                "figures.buffelli_mini_batch:plot",
            )
            for name in available()
        ),
    ),
)
