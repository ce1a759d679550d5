"""Theories with planted errors, by name, and the settings in which each can be made.

Every error is one that has been made, or nearly: a factor, a layer, a variance, a transposition, a damping that misses its
`N`, a continuous solution of a discrete equation.
"""

from __future__ import annotations

import dataclasses

from analyses import power_mistakes as mistakes
from analyses.karakida_theory import Theory
from analyses.planted import Sides
from analyses.power_problems import ISOTROPIC
from ntkng.fisher import Fisher
from ntkng.kernels import Kernels
from ntkng.testing.small_problem import OUTPUTS, SAMPLES, SIGMA_B, SIGMA_W

DAMPED = ("BlockDiagonal, damped", "KFAC, damped")
COUPLED = ("BlockDiagonal", "KFAC", "GradientDescent")  # their alpha, or K, depends on every single layer
PLAIN = "GradientDescent"
ALPHAS = (0.02, 0.05, 0.1)


@dataclasses.dataclass(frozen=True)
class Planted:
    """A wrong theory.

    Attributes:
        theory: what is believed.
        settings: names of settings in which it is planted.
        alpha: relative error of `alpha` where that is all there is; 0 for other errors.
        general: whether it can be made with the kernels of any network: not a mistake about one problem, or a trajectory.
    """

    theory: Theory
    settings: tuple[str, ...]
    alpha: float = 0.0

    general: bool = True

    def belief(self, fisher: Fisher, own: Kernels) -> Sides:
        """`(K, K')` that this theory makes of any kernels, finite ones too."""
        train, cross = self.theory.fisher(fisher, own.samples)._kernel(self.theory.kernels(own))
        return self.theory.scale * train, None if cross is None else self.theory.scale * cross


def factors() -> dict[str, Planted]:
    """Wrong factors on `K`."""
    found = {}
    for size in (*ALPHAS, *(-size for size in ALPHAS)):
        found[f"alpha off by {100 * size:+g} %"] = Planted(Theory(scale=1 + size), ISOTROPIC, size)
    named = {
        "1/N missing": float(SAMPLES),
        "1/N twice": 1 / SAMPLES,
        "mean over outputs": 1 / OUTPUTS,
        "sum over outputs": float(OUTPUTS),
    }
    for name, factor in named.items():
        found[name] = Planted(Theory(scale=factor), (*ISOTROPIC, PLAIN), factor - 1)
    found["wrong sign of the step"] = Planted(Theory(believes=mistakes.times(-1.0)), ISOTROPIC, -2.0)
    return found


def layers() -> dict[str, Planted]:
    """Layers that are dropped, doubled, shifted or mistaken."""
    found = {}
    for name, index in (("first", 0), ("middle", 1), ("last", 2)):
        found[f"{name} layer dropped"] = Planted(Theory(dropped=index), COUPLED)
        found[f"{name} layer twice"] = Planted(Theory(layers=mistakes.doubled(index)), COUPLED)
    found["backward Grams of the next layer"] = Planted(
        Theory(layers=mistakes.shifted), (PLAIN, "Exact", *DAMPED), general=False
    )
    found["NNGP for NTK"] = Planted(Theory(layers=mistakes.last_alone), (PLAIN, "Exact"), general=False)
    found["one layer less"] = Planted(Theory(layers=mistakes.other(depth=2)), COUPLED, general=False)
    found["one layer more"] = Planted(Theory(layers=mistakes.other(depth=4)), COUPLED, general=False)
    return found


def networks() -> dict[str, Planted]:
    """Kernels of a network other than the one that is trained, or of other data."""
    where = (PLAIN, "Exact", "BlockDiagonal, damped")
    return {
        "sigma_w for sigma_w^2": Planted(Theory(layers=mistakes.other(sigma_w=SIGMA_W**0.5)), where, general=False),
        "sigma_b for sigma_b^2": Planted(Theory(layers=mistakes.other(sigma_b=SIGMA_B**0.5)), where, general=False),
        "bias left out": Planted(Theory(layers=mistakes.other(sigma_b=0.0)), where, general=False),
        "another activation": Planted(Theory(layers=mistakes.other(activation="relu")), where, general=False),
        "erf derivative at half scale": Planted(Theory(layers=mistakes.half_derivative), where, general=False),
        "relu derivative at half scale": Planted(
            Theory(layers=mistakes.half_derivative), ("GradientDescent, relu",), general=False
        ),
        "kernels of stale data": Planted(Theory(layers=mistakes.other(data="stale")), (PLAIN, "Exact"), general=False),
        "kernels of the test inputs": Planted(
            Theory(layers=mistakes.other(data="test")), (PLAIN, "Exact"), general=False
        ),
    }


def curvatures() -> dict[str, Planted]:
    """Mistakes in the approximation itself."""
    return {
        "kron 1 forgotten": Planted(Theory(believes=mistakes.coupled_outputs), (*ISOTROPIC, PLAIN), general=False),
        "K' transposed": Planted(Theory(believes=mistakes.transposed), ("Exact", PLAIN), general=False),
        "K' from test kernels": Planted(Theory(believes=mistakes.from_test_kernels), ("Exact",), general=False),
        "K' not preconditioned": Planted(Theory(believes=mistakes.plain_cross), ISOTROPIC),
        "K' of the exact Fisher": Planted(
            Theory(believes=mistakes.exact_cross), ("BlockDiagonal", "BlockTriDiagonal", "KFAC")
        ),
        "layers weighted alike": Planted(Theory(believes=mistakes.even_weights), ("BlockTriDiagonal",)),
        "diagonal for tri-diagonal": Planted(Theory(believes=mistakes.diagonal), ("BlockTriDiagonal",)),
        "wrong factor of the last layer": Planted(
            Theory(believes=mistakes.with_(last_layer="paper")), ("KFAC", "KFAC, damped")
        ),
        "pi forgotten": Planted(Theory(believes=mistakes.with_(split="equal")), ("KFAC, damped",)),
        "pi upside down": Planted(Theory(believes=mistakes.swapped_damping), ("KFAC, damped",)),
    }


def dampings() -> dict[str, Planted]:
    """A damping that is misplaced."""
    where = DAMPED
    return {
        "rho for N rho": Planted(Theory(has_samples=False), where),
        "N^2 rho for N rho": Planted(Theory(believes=mistakes.damped(SAMPLES)), where),
        "damping added twice": Planted(Theory(believes=mistakes.damped(2.0)), where),
        "damping forgotten": Planted(Theory(believes=mistakes.damped(0.0)), where),
    }


def paths() -> dict[str, Planted]:
    """A right kernel, and a wrong trajectory."""
    return {
        "flow for discrete steps": Planted(Theory(path=mistakes.flow), ("Exact", "KFAC", PLAIN)),
        "one step too many": Planted(Theory(path=mistakes.late), ("Exact", "KFAC")),
        "f_0 of test inputs left out": Planted(Theory(path=mistakes.without_start), ("Exact", PLAIN)),
        "one rate for all modes": Planted(Theory(path=mistakes.one_rate), ("BlockDiagonal, damped", PLAIN)),
    }


def planted() -> dict[str, Planted]:
    """All of them."""
    return {**factors(), **layers(), **networks(), **curvatures(), **dampings(), **paths()}
