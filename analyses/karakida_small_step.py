"""One small step of one network against its own kernels, on train and test inputs: sharp where infinite width is blunt.

A network's function moves by `-eta K r` and `-eta K' r` up to terms in `eta^2`, with `K` from the network's own layer kernels. This
holds to five digits at any width, for any loss, batch and damping, and it notices a layer that is missing in `K'` even
where `K` does not depend on it (the exact Fisher's `K = I`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from analyses.karakida_problems import draw
from analyses.karakida_theory import Theory, initial
from ntkng.fisher import Fisher
from ntkng.iterate import iterate
from ntkng.kernels import empirical
from ntkng.problem import Problem
from ntkng.report import Claim
from ntkng.simulate import simulate

SMALL = 1e-6  # of a usual step
BOUND = 1e-4


def small_step_claims(
    setting: Problem,
    cases: Mapping[str, tuple[Fisher, float]],
    theory: Theory,
    seed: int,
    *,
    batches: np.ndarray | None = None,
    prefix: str = "",
    source: str = "",
) -> Iterator[Claim]:
    """Relative error of the change of the function in one step of `SMALL` times the usual size.

    Args:
        setting: with a network of any width.
        cases: approximation and usual step size, by name.
        theory: the kernels, damping and `alpha` that the prediction believes in.
        seed: of the network.
        batches: one row, the batch of the step.
        prefix: of the claims' names.
        source: of the claims.
    """
    parameters = draw(setting.network, seed)
    layers = theory.kernels(empirical(setting.network, parameters, setting.x, setting.x_test))
    seen = setting.samples if batches is None else batches.shape[1]
    sizes: dict[str, Any] = {"steps": 1} if batches is None else {"batches": batches}
    for name, (fisher, usual) in cases.items():
        eta = SMALL * usual
        run = simulate(setting, fisher, step_size=eta, parameters=parameters, **sizes)
        path = iterate(
            setting, theory.fisher(fisher, seen), layers, step_size=theory.scale * eta, initial=initial(run), **sizes
        )
        for on in ("train", "test"):
            changes = [np.diff(np.asarray(getattr(one, on)), axis=1) for one in (run, path)]
            error = np.linalg.norm(changes[0] - changes[1]) / np.linalg.norm(changes[1])
            yield Claim.below(
                f"{prefix}{name}/small step/{on}", float(error), BOUND,
                f"relative error of -eta {'K' if on == 'train' else 'K-prime'} r of the network's own kernels, one small step",
                source=source,
            )  # fmt: skip
