r"""K-FAC's split of the damping: the finite network's against that of infinite width, which depends on the width all the same.

`rho_A = pi sqrt(rho)`, `rho_B = sqrt(rho) / pi`, `pi^2 = (tr A / K) / (tr B / M)` for `K x K` and `M x M` factors. The traces
converge, the sizes grow: `pi` is like `sqrt(M)` in the first layer, `1` in the middle and `1/sqrt(M)` in the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from analyses.karakida_problems import draw
from ntkng.fisher import KFAC
from ntkng.kernels import Kernels, analytic, empirical
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.report import Claim
from ntkng.statistics import log_log_slope

POWERS = (0.5, 0.0, -0.5)  # of the width in pi, by layer


def rows(problem: Callable[[int], Problem], widths: tuple[int, ...], seeds: int, seed: int) -> list[dict[str, Any]]:
    """`pi` of every layer, for infinitely wide layers and of finite networks, `problem(width)` with three layers."""
    found = []
    for width in widths:
        setting = problem(width)
        limit = split(analytic(setting.network, setting.x))
        for index in range(seeds):
            parameters = draw(setting.network, seed + index)
            finite = split(empirical(setting.network, parameters, setting.x))
            for layer, (theory, value) in enumerate(zip(limit, finite, strict=True), 1):
                found.append({"width": width, "layer": layer, "seed": index, "pi": value, "limit": theory})
    return found


@in_float64
def split(kernels: Kernels) -> list[float]:
    """`pi = rho_A / sqrt(rho)` of every layer."""
    fisher = KFAC(1e-4)
    return [float(fisher.dampings(layer, kernels)[0] / 1e-2) for layer in kernels.layers]


def claims(found: list[dict[str, Any]]) -> Iterator[Claim]:
    """Finite networks split as the infinitely wide one does, up to `O(1/sqrt(M))`; the split depends on the width."""
    width, layer, pi, limit = (np.array([row[name] for row in found]) for name in ("width", "layer", "pi", "limit"))
    error, widths = np.abs(pi / limit - 1), np.unique(width)
    yield Claim.below(
        "pi/error", error[width == widths[-1]].max(), 0.1,
        "pi of a finite network against infinite width, relative, worst layer and seed at the largest width",
        source="Martens and Grosse 2015, section 6.3",
    )  # fmt: skip
    seed = np.array([row["seed"] for row in found])

    def table(values: np.ndarray, layers: tuple[int, ...]) -> np.ndarray:
        """One row a width, one column a seed, means over layers."""
        chosen = np.isin(layer, layers)
        return np.array([[values[chosen & (width == w) & (seed == i)].mean() for i in np.unique(seed)] for w in widths])

    slope = log_log_slope(widths, table(error, (1, 2)))
    yield Claim.below(
        "pi/error falls", slope.value, -0.3, "log-log slope in width of that error, mean over hidden layers",
        uncertainty=slope.half_width(), source="ours",
    )  # fmt: skip
    for index, power in enumerate(POWERS, 1):
        rise = log_log_slope(widths, table(pi, (index,)))
        yield Claim.within(
            f"pi/layer {index}", rise.value, power - 0.1, power + 0.1,
            f"pi grows like M^{power:g}: with the pi rule and fixed rho, damped K-FAC has no limit of infinite width",
            uncertainty=rise.half_width(), source="ours",
        )  # fmt: skip
