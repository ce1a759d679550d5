"""The preconditioned kernel: its spectrum, its isotropy and what they say about step sizes."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.precision import in_float64
from ntkng.short_repr import short_repr

Verdict = Literal["converges", "diverges", "ill-posed"]
NEGATIVE = 1e-8  # relative size from which a negative eigenvalue is not rounding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PreconditionedKernel:
    """`K(x, x)` and `K(x', x)` of one approximation (see `ntkng.fisher.base`).

    Attributes:
        train: `K`, symmetric, `[n, n]`, `n` = N C, or N where outputs are independent.
        cross: `K'`, `[n', n]`, or `None`.
        samples: N (static).
        outputs: C (static).
    """

    train: Float[Array, "n n"]
    cross: Float[Array, "m n"] | None
    samples: int = dataclasses.field(metadata={"static": True})
    outputs: int = dataclasses.field(metadata={"static": True})

    __repr__ = short_repr

    @property
    def alpha(self) -> float:
        """`tr K / n`, the constant of the nearest isotropic kernel."""
        return float(np.trace(np.asarray(self.train)) / len(self.train))

    @property
    def off_isotropy(self) -> float:
        """`|K - alpha I|_F / |K|_F`; 0 where the gradient in function space is isotropic."""
        train = np.asarray(self.train)
        return float(np.linalg.norm(train - self.alpha * np.eye(len(train))) / np.linalg.norm(train))

    @in_float64
    def eigenvalues(self) -> Float[Array, "n"]:
        """Spectrum of `K`, ascending."""
        return jnp.linalg.eigvalsh(self.train)

    def stability(self, step_size: float) -> Stability:
        """What happens at this step size, from the spectrum."""
        return stability(np.asarray(self.eigenvalues()), step_size)


@dataclasses.dataclass(frozen=True)
class Stability:
    """Verdict on a step size.

    Attributes:
        verdict: `"converges"` (`0 <= eta k < 2` for all eigenvalues), `"diverges"`, or `"ill-posed"`: `K` has negative
            eigenvalues, as an indefinite damped pattern has near a pole, so that closed form and simulation need not
            agree.
        spectral_radius: `max_k |1 - eta k|`, the rate per step.
        smallest: `k_min`.
        largest: `k_max`.
        step_size: `eta`; `None` for the flow.
        remedy: what to change, empty where it converges.
    """

    verdict: Verdict
    spectral_radius: float
    smallest: float
    largest: float
    step_size: float | None
    remedy: str = ""

    @property
    def condition(self) -> float:
        """`k_max / k_min`; how much slower the slowest mode is."""
        return self.largest / self.smallest if self.smallest > 0 else float("inf")


def stability(values: Float[np.ndarray, "n"], step_size: float | None) -> Stability:
    """The verdict from the eigenvalues of `K`; `step_size=None` is the flow, which converges wherever `K` is PSD."""
    smallest, largest = float(values.min()), float(values.max())
    radius = float("nan") if step_size is None else float(np.abs(1 - step_size * values).max())
    if smallest < -NEGATIVE * max(abs(largest), abs(smallest)):
        remedy = f"K has the negative eigenvalue {smallest:.3g}: choose another damping, or a definite layer pattern"
        return Stability("ill-posed", radius, smallest, largest, step_size, remedy)
    if step_size is not None and step_size * largest >= 2:
        remedy = f"step size {step_size:.4g} is not below 2/k_max = {2 / largest:.4g}: reduce it"
        return Stability("diverges", radius, smallest, largest, step_size, remedy)
    return Stability("converges", radius, smallest, largest, step_size)


def fastest_step(alpha: float | None, values: Float[np.ndarray, "n"] | None) -> float:
    """`1/alpha` where `K = alpha I`, else `2/(k_min + k_max)` of the ascending eigenvalues of `K`.

    Raises:
        ValueError: no positive eigenvalue.
    """
    if alpha is not None:
        return 1 / alpha
    assert values is not None
    if values[-1] <= 0:
        raise ValueError(f"no step size converges: the largest eigenvalue of K is {values[-1]:.3g}, expected > 0")
    return float(2 / (max(float(values[0]), 0.0) + float(values[-1])))
