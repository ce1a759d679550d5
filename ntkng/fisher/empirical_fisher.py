r"""The empirical Fisher: each sample's gradient is weighted by its own residual.

    G = (1/N) sum_n g_n g_n^T = J^T E E^T J / N,   g_n = J_n^T e_n,   e_n = f(x_n) - y_n  (or p_n - y_n),   E = blockdiag(e_n)

where the Fisher matrix of the squared loss has `J^T J / N`: the model's own labels are replaced by the training labels (Kunstner,
Hennig and Balles 2019, "Limitations of the empirical Fisher"; Karakida and Osawa 2020 use the true one). In the output
coordinates `E^T f` it is a Fisher matrix like any other (see `ntkng.whitening`, with `S = E` and `r = 1`), so that any
approximation `of` it applies, and undamped its preconditioned kernel is `alpha I` *there*. Back in the function space

    K = alpha blockdiag(e_n e_n^T / |e_n|^4)   on the directions of the residuals; C = 1: K = alpha diag(1 / e_n^2):

not isotropic unless all residuals have one size, and the worse the better a sample is fitted: `f_n <- f_n - eta alpha / e_n`
overshoots every sample with `e_n^2 < eta alpha / 2`, so that no step size converges undamped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning
from ntkng.fisher.base import Fisher
from ntkng.fisher.dense import DenseLayer
from ntkng.fisher.layer_pattern import Exact
from ntkng.fisher.solves import symmetric_part
from ntkng.kernels.kernels import Kernels
from ntkng.kernels.rows import everywhere
from ntkng.layers.record import LayerRecord
from ntkng.precision import AnyArray
from ntkng.short_repr import short_repr
from ntkng.whitening import whiten_kernels, whiten_records


@dataclasses.dataclass(frozen=True)
class EmpiricalFisher(Fisher):
    """Residual-weighted Fisher matrix (see the module).

    Attributes:
        damping: `rho`, added to the empirical Fisher matrix (split over the factors for K-FAC).
        of: the approximation that is made of it, with damping 0: the full matrix by default, or `BlockDiagonal()`, ...
        residual: `e`, `[N, C]`, needed for the preconditioned kernel (see `at`); a simulation passes its own.
    """

    of: Fisher = dataclasses.field(default_factory=Exact)
    residual: Float[AnyArray, "N C"] | None = None

    isotropic: ClassVar[bool] = False
    needs_curvature: ClassVar[str] = "nowhere"  # pyright: ignore  # made of gradients
    inverts_singular_grams: ClassVar[bool] = False  # pyright: ignore  # in the residuals' coordinates small is no rounding
    reference = ("kunstner-hennig-balles-2019",)

    __repr__ = short_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of.is_damped:
            raise ValueError(f"of must be undamped, got {self.of}; pass the damping to EmpiricalFisher")

    @property
    def needs_factors(self) -> bool:  # pyright: ignore
        """As for `of`."""
        return self.of.needs_factors

    def at(self, residual: Float[AnyArray, "N C"]) -> EmpiricalFisher:
        """The same with this residual."""
        return self._replace(residual=residual)

    def predicted_alpha(self, kernels: Kernels) -> None:
        """None: it is not isotropic."""

    def _kernel(self, kernels: Kernels) -> tuple[Float[Array, "n n"], Float[Array, "m n"] | None]:
        """`K' E^+` from the whitened `K'`: exact for C = 1; for C > 1 on the span of the residuals, where it acts.

        A sample whose residual is 0 has no such direction: its row and its column of `K` are 0.

        `K'` maps the residual itself to the change of the function; `K` is projected on the residuals' directions on both
        sides, so that it is symmetric.
        """
        factor, residual = self._factor(kernels)
        whitened = whiten_kernels(everywhere(kernels), factor)
        found = self._inner().kernel(whitened)
        largest = jnp.abs(jnp.asarray(residual)).max(axis=1, keepdims=True)
        scale = jnp.where(largest > 0, largest, 1)  # so that no square underflows
        unit = residual / scale
        inverse = unit / jnp.where(largest > 0, scale * (unit**2).sum(axis=1, keepdims=True), 1)  # e_n / |e_n|^2
        assert found.cross is not None
        rows = found.cross[:, :, None] * inverse
        rows = rows.reshape(len(rows), -1)
        outer = inverse[:, :, None, None] * found.train.reshape(len(inverse), 1, len(inverse), 1) * inverse
        train = outer.reshape(inverse.size, inverse.size)
        cross = rows[inverse.size :]
        return symmetric_part(train), cross if len(cross) else None

    def change(self, kernels: Kernels, residual: Float[Array, "N C"]) -> Float[Array, "m k"]:
        """`K(x', x) e`, without a division by residuals, so that damped it is defined for zero residuals too."""
        factor = residual[:, :, None]
        return self._inner().change(whiten_kernels(kernels, factor), jnp.ones_like(residual[:, :1]))

    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """What `of` inverts, in the residuals' coordinates."""
        return self._inner().inspect(whiten_kernels(kernels, self._factor(kernels)[0]))

    def _remedy(self, kernels: Kernels) -> str:
        return "some residuals are zero, or " + self.of._remedy(kernels)

    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Any, ...]:
        """Those of `of`, for backward signals `e_n^T delta_n` and the residual 1."""
        factor = residual[:, :, None]
        ones = jnp.ones((len(residual), 1), residual.dtype)
        weighted = whiten_kernels(kernels, factor.astype(kernels.layers[0].theta.train.dtype))
        return self._inner().cotangents(weighted, whiten_records(tuple(records), factor), ones)

    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Float[np.ndarray, "P P"]:
        """The matrix of `of` for layers whose rows are weighted by the residuals, `[N, P]`."""
        if self.residual is None:
            raise ValueError(_missing())
        residual = np.asarray(self.residual)
        return self._inner().dense([_weighted(layer, residual) for layer in layers], samples)

    def _inner(self) -> Fisher:
        return dataclasses.replace(self.of, damping=self.damping)

    def _factor(self, kernels: Kernels) -> tuple[Any, Any]:
        """`E` as `[N, C, 1]`, and `e`."""
        if self.residual is None:
            raise ValueError(_missing())
        if self.residual.shape != (kernels.samples, kernels.outputs):
            raise ValueError(
                f"the residual has shape {list(self.residual.shape)}, the kernels are for [{kernels.samples}, "
                f"{kernels.outputs}] (N, C); pass at(f - y) of the same inputs"
            )
        return self.residual[:, :, None], self.residual

    def _replace(self, **changes: Any) -> EmpiricalFisher:
        """Without validation, so that traced values pass."""
        fisher = object.__new__(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(fisher, field.name, changes.get(field.name, getattr(self, field.name)))
        return fisher

    def _flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        leaves = (self.damping if self.is_damped else None, self.residual)
        return leaves, (self.is_damped, self.of)

    @classmethod
    def _unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> EmpiricalFisher:
        is_damped, of = static
        fisher = object.__new__(cls)
        for name, value in (("damping", leaves[0] if is_damped else 0.0), ("of", of), ("residual", leaves[1])):
            object.__setattr__(fisher, name, value)
        return fisher


def _missing() -> str:
    return "the empirical Fisher depends on the residual, got none; use fisher.at(f - y)"


def _weighted(layer: DenseLayer, residual: np.ndarray) -> DenseLayer:
    samples, outputs = residual.shape

    def weigh(rows: np.ndarray) -> np.ndarray:
        return np.einsum("nc,nck->nk", residual, rows.reshape(samples, outputs, -1))

    deltas = None if layer.deltas is None else weigh(layer.deltas)
    return DenseLayer(weigh(layer.jacobian), layer.features, deltas)
