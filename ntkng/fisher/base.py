r"""`Fisher`: one approximation of the Fisher matrix, seen from the function space and from the parameter space.

One step of natural gradient descent with the curvature matrix `G` (an approximation of `F = J^T J / N`), damping `rho`
and step size `eta` is `theta <- theta - eta (G + rho I)^{-1} J^T r / N`, with residual `r = f(x) - y`. To first order the
function moves by `f(x') <- f(x') - eta K(x', x) r`, with the *preconditioned kernel*

    K(x', x) = (1/N) J(x') (G + rho I)^{-1} J(x)^T

(Karakida and Osawa 2020, section 3). An approximation is therefore a map from layer kernels to `(K, K')`: given
infinite-width kernels it predicts, given a finite network's kernels it is that network's linearisation.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.arguments import require_type
from ntkng.conditioning import Conditioning, range_projector
from ntkng.fisher.dense import DenseLayer
from ntkng.fisher.preconditioned import PreconditionedKernel, fastest_step
from ntkng.fisher.solves import symmetric_part
from ntkng.kernels.kernels import Kernels
from ntkng.kernels.units import UnitSampling
from ntkng.layers.record import LayerRecord
from ntkng.precision import AnyArray, in_float64, is_concrete
from ntkng.validation import nonnegative


@dataclasses.dataclass(frozen=True)
class Fisher(abc.ABC):
    """Base of all approximations: frozen dataclasses that are also pytrees (a damping of 0 is static, see below).

    A subclass implements `_kernel` (function space), `cotangents` (parameter space), `dense` (oracle) and `inspect`.
    Undamped and damped use take different formulas, so a damping of exactly 0 is part of a compiled program's
    identity, while any other value is an argument of it.

    Attributes:
        damping: `rho >= 0`, added to the Fisher matrix (so `N rho` beside Grams).
    """

    damping: Any = 0.0

    isotropic: ClassVar[bool] = True
    needs_factors: ClassVar[bool] = False  # Grams over samples and positions, `analytic(..., factors=True)`
    reference: ClassVar[tuple[str, ...]] = ("karakida-osawa-2020",)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_node(cls, lambda fisher: fisher._flatten(), cls._unflatten)  # pyright: ignore

    def __post_init__(self) -> None:
        object.__setattr__(self, "damping", self._check_damping())

    def _check_damping(self) -> Any:
        """The damping as a `float` (so that a zero of any type is undamped) or as it is, while tracing."""
        return nonnegative("damping", self.damping)

    @property
    def name(self) -> str:
        """The class name: key of colours, tables and command lines."""
        return type(self).__name__

    @property
    def is_damped(self) -> bool:
        """Whether the damping is other than exactly 0."""
        return not (isinstance(self.damping, (int, float)) and self.damping == 0)

    @property
    def needs_curvature(self) -> Literal["nowhere", "somewhere", "everywhere"]:
        """On which samples the loss must have curvature, as the step divides by it: on every one undamped."""
        return "nowhere" if self.is_damped else "everywhere"

    @property
    def is_matrix_free(self) -> bool:
        """Whether parameter steps form no Gram over all samples and outputs, so that none is inspected either."""
        return False

    def unit_sampling(self) -> UnitSampling | None:
        """How infinitely wide layers' units are to be sampled; `None` for approximations that need Grams only."""
        return None

    def at(self, residual: Float[AnyArray, "N C"]) -> Fisher:
        """The approximation at this residual; the same object for all but the empirical Fisher, which depends on it."""
        del residual
        return self

    # -- function space ----------------------------------------------------------------------------------------------

    @in_float64
    def kernel(self, kernels: Kernels) -> PreconditionedKernel:
        """The preconditioned kernel `K(x, x)` and `K(x', x)`.

        Damped, `K` is restricted to the range of a singular NTK, where it is in exact arithmetic: whatever the network's
        gradient does not see has eigenvalue 0.

        Args:
            kernels: analytic or empirical.

        Raises:
            TypeError: no `Kernels`.
            ValueError: undamped, and a Gram that must be inverted is singular; the message names the layer, its rank
                and the fix. A Gram that is not positive semi-definite, or a result that is not finite. Not checked while
                tracing.
        """
        require_type("kernels", kernels, Kernels, "compute them with ntkng.analytic or ntkng.empirical")
        if not is_concrete(kernels, self):
            return PreconditionedKernel(*self._kernel(kernels), kernels.samples, kernels.outputs)
        self.check(kernels)
        train, cross = self._kernel(kernels)
        self._require_finite(kernels, train, cross)
        # in the coordinates of a cross-entropy a saturated sample is tiny, but no rounding
        is_whitened = any(layer.is_whitened_output for layer in kernels.layers)
        divides = self.inverts_singular_grams and not is_whitened
        projector = range_projector(kernels.theta.train) if divides else None
        if projector is not None:
            train, cross = symmetric_part(projector @ train @ projector), None if cross is None else cross @ projector
        return PreconditionedKernel(train, cross, kernels.samples, kernels.outputs)

    @property
    def inverts_singular_grams(self) -> bool:
        """Whether singular kernels are no error and rounding is divided by something small: damped, or by pseudo-inverses."""
        return self.is_damped

    def _require_finite(self, kernels: Kernels, train: Array, cross: Array | None) -> None:
        """A NaN is never handed on: it has no spectrum, and no step size converges."""
        if all(bool(jnp.isfinite(part).all()) for part in (train, cross) if part is not None):
            return
        for layer in kernels.layers:
            for which, part in (("train", layer.theta.train), ("cross", layer.theta.cross)):
                if part is not None and not np.isfinite(np.asarray(part)).all():
                    raise ValueError(
                        f"Theta of layer {layer.name} ({which} part) has NaN or infinite entries; check the inputs and the scale "
                        "of the weights"
                    )
        raise ValueError(
            f"K of {self.name} has NaN or infinite entries though all Theta are finite: a system could not be solved; "
            "use another damping, or scale inputs and targets"
        )

    @abc.abstractmethod
    def _kernel(self, kernels: Kernels) -> tuple[Float[Array, "n n"], Float[Array, "m n"] | None]:
        """`K` and `K'`, by the same solves as `cotangents`."""

    @abc.abstractmethod
    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """Conditioning of every matrix that this approximation inverts."""

    def change(self, kernels: Kernels, residual: Float[Array, "N C"]) -> Float[Array, "m k"]:
        """`K(x', x) r`, by which the function on the cross inputs falls, to first order, per unit of step size.

        The rows are those of the kernels' cross Grams; where outputs are independent the columns are the outputs.
        """
        if is_concrete(kernels, self):
            self.check(kernels)
        cross = self._kernel(kernels)[1]
        if cross is None:
            raise ValueError("these kernels have no cross Grams; compute them with x_test, or pass everywhere(kernels)")
        return cross @ kernels.columns(residual)

    def check(self, kernels: Kernels) -> None:
        """Refuse kernels on which this approximation is not defined, or not isotropic although it claims to be."""
        from ntkng.conditioning import require_nonsingular

        for found in self.inspect(kernels):
            require_nonsingular(found, self._remedy(kernels))

    def _remedy(self, kernels: Kernels) -> str:
        return (
            f"use at most that many samples and outputs (got N = {kernels.samples}, C = {kernels.outputs}), "
            "wider layers, distinct inputs, a bias, or damping > 0"
        )

    def predicted_alpha(self, kernels: Kernels) -> float | None:
        """`alpha` of the isotropic `K = alpha I` that the theory predicts, or `None` where it predicts none."""
        del kernels
        return None

    @in_float64
    def optimal_step(self, kernels: Kernels) -> float:
        """The step size of fastest convergence: `1/alpha` where `K = alpha I`, else `2/(k_min + k_max)`.

        Raises:
            ValueError: `K` has no positive eigenvalue.
        """
        require_type("kernels", kernels, Kernels, "compute them with ntkng.analytic or ntkng.empirical")
        alpha = self.predicted_alpha(kernels)
        if alpha is not None:
            self.check(kernels)
            return fastest_step(alpha, None)
        return fastest_step(None, np.asarray(self.kernel(kernels).eigenvalues()))

    # -- parameter space ---------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Float[Array, "N *S M"], ...]:
        """Per layer an output cotangent `D_l` whose pullback is the step: `theta_l <- theta_l - eta J-transpose(D_l)`.

        `sum_n D_l[n] (outer) a_{l-1}[n]` is the layer's part of `(G + rho I)^{-1} J^T r / N`.

        Args:
            kernels: empirical, from `records`.
            records: of the training inputs.
            residual: `f - y`.
        """

    @abc.abstractmethod
    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Float[np.ndarray, "P P"]:
        """Oracle for small networks: the damped curvature matrix itself, from full Jacobians, in NumPy."""

    # -- pytree ------------------------------------------------------------------------------------------------------

    def _flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        rest = tuple((f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "damping")
        return ((self.damping,), (True, rest)) if self.is_damped else ((), (False, rest))

    @classmethod
    def _unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> Fisher:
        damped, rest = static
        fisher = object.__new__(cls)
        object.__setattr__(fisher, "damping", leaves[0] if damped else 0.0)
        for name, value in rest:
            object.__setattr__(fisher, name, value)
        return fisher
