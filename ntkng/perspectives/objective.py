"""A model with a likelihood on data, and its curvature matrices (dense: for small models)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkng.perspectives.likelihood import Canonical, Likelihood, output_fisher
from ntkng.validation import real_array

__all__ = ["Objective", "relative_difference"]


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """`h(theta) = (1/N) sum_n l(z_n(theta), y_n)`.

    All matrices are `P x P` and carry the `1/N`. With `J_n = dz_n/dtheta`:

        fisher            F   = (1/N) sum_n J_n^T F_R(z_n) J_n,       F_R = E_{y ~ p(.|z_n)}[score score^T]
        gauss_newton      GGN = (1/N) sum_n J_n^T H_L(z_n, y_n) J_n
        empirical_fisher  EF  = (1/N) sum_n g_n g_n^T,                g_n = J_n^T score(z_n, y_n)
        hessian           H   = GGN + residual_curvature,  (1/N) sum_{n,c} score_nc d^2 z_nc / dtheta^2

    Attributes:
        model: `theta [P] -> z [N C]`, a JAX function with the inputs inside.
        likelihood: loss on the outputs.
        targets: `y`, shape `[N C]`.
    """

    reference: ClassVar[tuple[str, ...]] = ("martens-2020",)

    model: Callable[[jax.Array], jax.Array]
    likelihood: Likelihood
    targets: Float[np.ndarray, "N C"]

    def __post_init__(self) -> None:
        targets = real_array("targets", self.targets).astype(np.float64)
        if targets.ndim != 2:
            raise ValueError(f"targets must have shape [N C], got {targets.shape}; write one output as y[:, None]")
        if isinstance(self.likelihood, Canonical):
            self.likelihood.family.require_means(targets)
        object.__setattr__(self, "targets", targets)

    def outputs(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "N C"]:
        """`z(theta)`."""
        return self._checked(self._call(self._compiled[0], theta))

    def jacobian(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "N C P"]:
        """`dz/dtheta`."""
        return self._call(self._compiled[1], theta)

    def loss(self, theta: Float[np.ndarray, " P"]) -> float:
        """`h(theta)`."""
        return self.likelihood.loss(self.outputs(theta), self.targets)

    def score(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "N C"]:
        """`dl_n/dz_n` at the training targets."""
        return self.likelihood.score(self.outputs(theta), self.targets)

    def sample_gradients(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "N P"]:
        """`g_n = J_n^T score_n`."""
        return np.einsum("ncp,nc->np", self.jacobian(theta), self.score(theta))

    def gradient(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        """`dh/dtheta`."""
        return self.sample_gradients(theta).mean(axis=0)

    def fisher(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
        """`F`, with the expectation over the model's own predictions."""
        return self._sandwich(theta, output_fisher(self.likelihood, self.outputs(theta)))

    def gauss_newton(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
        """Generalised Gauss-Newton matrix."""
        return self._sandwich(theta, self.likelihood.hessian(self.outputs(theta), self.targets))

    def empirical_fisher(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
        """Second moment of the training gradients: not a Fisher matrix."""
        g = self.sample_gradients(theta)
        return g.T @ g / g.shape[0]

    def residual_curvature(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
        """The part of the Hessian that the curvature of the model contributes; zero at zero residual."""
        return self._call(self._compiled[2], theta, self.score(theta)) / self.targets.shape[0]

    def hessian(self, theta: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P P"]:
        """`d^2 h / dtheta^2`."""
        return self.gauss_newton(theta) + self.residual_curvature(theta)

    def reparametrised(self, zeta: Callable[[jax.Array], jax.Array]) -> Objective:
        """The same objective as a function of `gamma`, `theta = zeta(gamma)`."""
        model = self.model
        return dataclasses.replace(self, model=lambda gamma: model(zeta(gamma)))

    def with_targets(self, targets: Float[np.ndarray, "N C"]) -> Objective:
        """The same model on other targets."""
        other = dataclasses.replace(self, targets=targets)
        other.__dict__["_compiled"] = self._compiled  # the same model: do not compile it again
        return other

    @functools.cached_property
    def _compiled(self) -> tuple[Callable[..., jax.Array], ...]:
        model = self.model

        def curvature(theta, score):
            return jax.hessian(lambda t: jnp.sum(score * model(t)))(theta)

        return jax.jit(model), jax.jit(jax.jacfwd(model)), jax.jit(curvature)

    @staticmethod
    def _call(function: Callable[..., jax.Array], *arguments: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(function(*(np.asarray(a, dtype=np.float64) for a in arguments)))

    def _checked(self, z: np.ndarray) -> np.ndarray:
        if z.shape != self.targets.shape:
            raise ValueError(f"the model returns shape {z.shape}, but targets have shape {self.targets.shape}")
        return z

    def _sandwich(self, theta: np.ndarray, middle: Float[np.ndarray, "N C C"]) -> Float[np.ndarray, "P P"]:
        j = self.jacobian(theta)
        return np.einsum("ncp,ncd,ndq->pq", j, middle, j, optimize=True) / j.shape[0]


def relative_difference(matrix: Float[np.ndarray, "P P"], reference: Float[np.ndarray, "P P"]) -> float:
    """Frobenius norm of `matrix - reference` divided by that of `reference`.

    Raises:
        ValueError: if the reference is zero.
    """
    size = np.linalg.norm(reference)
    if size == 0:
        raise ValueError("the reference is zero, a relative difference has no meaning; compare absolutely")
    return float(np.linalg.norm(np.asarray(matrix) - reference) / size)
