"""The preconditioned kernel: its spectrum, its isotropy and what they say about step sizes."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import NEGATIVE, rounding
from ntkng.precision import in_float64
from ntkng.short_repr import short_repr

Verdict = Literal["converges", "diverges", "ill-posed"]


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
        """Spectrum of `K`, ascending; what is rounding is 0 exactly (see `without_rounding`)."""
        return without_rounding(jnp.linalg.eigvalsh(self.train))

    def modes(self) -> tuple[Float[Array, "n"], Float[Array, "n n"]]:
        """The same eigenvalues, and the eigenvectors as columns."""
        values, vectors = jnp.linalg.eigh(self.train)
        return without_rounding(values), vectors

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
        spectral_radius: `max |1 - eta k|` over the eigenvalues that are not 0, whose modes move: the rate per step.
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


def without_rounding(values: Float[Array, "n"]) -> Float[Array, "n"]:
    """Ascending eigenvalues of `K` with those that are rounding set to exactly 0: such a mode does not move.

    No function of the network tells such a combination of samples from zero (its gradient vanishes), so that it has eigenvalue 0 in
    every `K` and is mapped to 0 by every `K'`. What is computed in its place has either sign and grows or decays over
    long times. Rounding is what `ntkng.conditioning` says of Grams: up to `max(n, 16) eps k_max`, or up to the size of a negative
    eigenvalue above `-1e-8 k_max`, which shows how exact the entries are.
    """
    values = jnp.asarray(values)
    largest = jnp.abs(values).max()
    tolerance = rounding(len(values), largest, float(jnp.finfo(values.dtype).eps))
    lowest = -values[0]
    tolerance = jnp.where(lowest <= NEGATIVE * largest, jnp.maximum(tolerance, lowest), tolerance)
    return jnp.where(jnp.abs(values) <= tolerance, 0, values)


def stability(values: Float[np.ndarray, "n"], step_size: float | None) -> Stability:
    """The verdict from the eigenvalues of `K`; `step_size=None` is the flow, which converges wherever `K` is PSD.

    Args:
        values: eigenvalues, those that are rounding set to 0 (`PreconditionedKernel.eigenvalues`).
        step_size: `eta`.

    Raises:
        ValueError: eigenvalues that are NaN or infinite.
    """
    values = _finite(values)
    smallest, largest = float(values.min()), float(values.max())
    moving = values[values != 0]
    radius = float("nan") if step_size is None else float(np.abs(1 - step_size * moving).max(initial=0.0))
    if smallest < -NEGATIVE * max(abs(largest), abs(smallest)):
        remedy = f"K has the negative eigenvalue {smallest:.3g}: choose another damping, or a definite layer pattern"
        return Stability("ill-posed", radius, smallest, largest, step_size, remedy)
    edge = 2 * (
        1 - rounding(len(values), 1.0, float(np.finfo(values.dtype).eps))
    )  # of stability, as well as k_max is known
    if step_size is not None and not step_size * largest < edge:
        remedy = f"step size {step_size:.4g} is not below 2/k_max = {2 / largest:.4g}: reduce it"
        return Stability("diverges", radius, smallest, largest, step_size, remedy)
    return Stability("converges", radius, smallest, largest, step_size)


def fastest_step(alpha: float | None, values: Float[np.ndarray, "n"] | None) -> float:
    """`1/alpha` where `K = alpha I`, else `2/(k_min + k_max)` of the positive eigenvalues of `K`: modes of eigenvalue 0 never move.

    Raises:
        ValueError: no positive eigenvalue, or eigenvalues that are NaN or infinite.
    """
    if alpha is not None:
        return 1 / alpha
    assert values is not None
    moving = _finite(values)
    moving = moving[moving > 0]
    if len(moving) == 0:
        raise ValueError(f"no step size converges: the largest eigenvalue of K is {max(values):.3g}, expected > 0")
    return float(2 / (moving.min() + moving.max()))


def _finite(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    values = np.asarray(values, np.result_type(values, np.float32))
    if not np.isfinite(values).all():
        raise ValueError(
            "the eigenvalues of K are not finite (NaN or infinite), so that no step size can be judged; "
            "check the kernels, the inputs and the scale of the weights"
        )
    return values
