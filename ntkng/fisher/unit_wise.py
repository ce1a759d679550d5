r"""Unit-wise Fisher matrix: one block per unit, with damping relative to the blocks' own scale.

Keep the block of each unit `i` of each layer `l`. With `Theta_{l,i} = (delta_{l,i} delta_{l,i}^T) o (A_{l-1} kron 1_{C x C})`,

    K(x', x) = sum_{l,i} Theta'_{l,i} (Theta_{l,i} + N rho_l I)^{-1}

(Karakida and Osawa 2020, section 4.4, undamped). For one output and without damping each unit gives the projector onto the
samples on which it is active, so that `alpha = sum_l M_l gamma_l + 1`, `gamma = P(phi'(u) != 0)`: 1 for smooth activations,
1/2 for ReLU. With several outputs a block has rank N at most, the sum is isotropic in expectation only, and
`alpha = sum_l M_l gamma_l / C + 1`.

Undamped it is useless at a finite step size: the step holds `1/delta`, `delta` is nearly Gaussian, and `1/delta` has no
variance. The damping is therefore relative to the layer's mean block, whatever the width is:

    N rho_l = kappa * mean(delta_l^2) * tr(A_{l-1}) / N,      mean over samples, outputs and units

(any positive number where that is 0: such a layer does not move).

At infinite width `K_l = M_l E[D' A' D (D A D + N rho_l I)^{-1}]` (one output; `D = diag(delta)`), an expectation over the
Gaussian processes of `ntkng.kernels.unit_sampling`, with an error bar.

Where weights are shared over positions (Conv, or Dense with spatial axes) the units are the channels, at finite width only,
with `Theta_{l,i}` of `ntkng.fisher.channel_blocks`; in the damping, `mean(delta_l^2)` is over positions too, and `tr(A_{l-1})`
sums over them. Layers with other weights (ConvLocal, ConvTranspose, attention) are refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning, inspect
from ntkng.fisher import channel_blocks, unit_blocks
from ntkng.fisher.base import Fisher
from ntkng.fisher.dense import DenseLayer
from ntkng.fisher.relative_damping import positive_shift
from ntkng.fisher.solves import project, solve, symmetric_part
from ntkng.kernels.kernels import Gram, Kernels, LayerKernels, sum_
from ntkng.kernels.units import UnitSampling, has_units, unit_signals
from ntkng.layers import affine, affine_gram
from ntkng.layers.record import LayerRecord
from ntkng.precision import in_float64
from ntkng.statistics import Estimate, mean
from ntkng.validation import positive

SAMPLING = UnitSampling()


@dataclasses.dataclass(frozen=True)
class UnitWise(Fisher):
    """One block per unit (see the module).

    Attributes:
        damping: `kappa > 0`, relative to the layer's mean block; or `rho` where not `relative`.
        relative: how to read `damping`.
        sampling: of the units of infinitely wide layers.

    Raises:
        ValueError: no damping.
    """

    damping: Any = 1e-2
    relative: bool = True
    sampling: UnitSampling = SAMPLING

    isotropic: ClassVar[bool] = False
    needs_factors: ClassVar[bool] = True

    def _check_damping(self) -> Any:
        """As for others, and not 0."""
        return positive(
            "the damping of the unit-wise Fisher (its undamped step holds 1/delta, without variance)", self.damping
        )

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Checks of `ntkng.testing.check_fisher` that a relative damping cannot pass."""
        if not self.relative:
            return {}
        return {"large_damping": "the damping is relative to each layer's mean block, so that rho K has another limit"}

    @property
    def needs_curvature(self) -> Literal["nowhere", "somewhere"]:
        """A damping that is relative to the mean block vanishes where all blocks do."""
        return "somewhere" if self.relative else "nowhere"

    def unit_sampling(self) -> UnitSampling:
        """How to sample the units that the kernels must hold."""
        return self.sampling

    # -- theory ------------------------------------------------------------------------------------------------------

    def _kernel(self, kernels: Kernels) -> tuple[Float[Array, "n n"], Float[Array, "m n"] | None]:
        layers = [layer.map(lambda part: part.mean(axis=0)) for layer in self._layers(kernels)]
        train = symmetric_part(sum_(layer.train for layer in layers))
        return train, None if layers[0].cross is None else sum_(layer.cross for layer in layers)

    @in_float64
    def alpha(self, kernels: Kernels) -> Estimate:
        """`tr K / n` with the standard error of the sampling, from the spread over scramblings.

        Raises:
            ValueError: kernels of a finite network, which are not sampled: use `kernel(kernels).alpha`.
        """
        if kernels.source != "analytic":
            raise ValueError("only analytic kernels are sampled, got empirical ones; use kernel(kernels).alpha")
        traces = [jnp.einsum("gnn->g", layer.train) for layer in self._layers(kernels)]
        return mean(np.asarray(sum_(traces)) / kernels.size)

    def undamped_alpha(self, kernels: Kernels) -> float:
        """The limit `sum_l M_l gamma_l / C + 1` of `alpha` for vanishing damping."""
        total = 1.0
        for layer in kernels.layers:
            if not layer.is_output:
                total += layer.dimensions[1] * _units(layer).active / kernels.outputs
        return total

    def _layers(self, kernels: Kernels) -> list[Gram]:
        """Every layer's part of `K` and `K'`, one after another (see `_next`)."""
        parts, last = [], None
        for layer in kernels.layers:
            parts.append(self._layer(layer, kernels, last))
            last = parts[-1].train
        return parts

    def _layer(self, layer: LayerKernels, kernels: Kernels, last: Array | None) -> Gram:
        """The layer's part of `K` and `K'`, once per group of sampled units, on a leading axis."""
        inner = _inner(layer, kernels.samples).map(jnp.asarray)
        shift = _next(self._shift(layer, kernels), last)
        if layer.positions > 1:
            return channel_blocks.kernel(inner, _units(layer), shift).map(lambda part: part[None])
        if not layer.is_output:
            return unit_blocks.kernel(inner, _units(layer), shift, independent=kernels.block < kernels.outputs)
        identity = jnp.eye(kernels.block, dtype=inner.train.dtype)  # delta: every output is a unit with the block A
        return inner.map(lambda gram: jnp.kron(project(gram, inner.train, shift), identity)[None])

    def _shift(self, layer: LayerKernels, kernels: Kernels) -> Any:
        """`N rho_l`."""
        if not self.relative:
            return kernels.samples * self.damping
        trace = _inner(layer, kernels.samples).train.trace()
        return positive_shift(self.damping * _mean_square(layer, kernels) * trace / kernels.samples)

    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """For every layer the block of a unit of average scale, `mean(delta^2) A + N rho_l I`."""
        found = []
        for layer in kernels.layers:
            block = _mean_square(layer, kernels) * _inner(layer, kernels.samples).train
            name = f"the average unit's block of layer {layer.name}"
            found.append(inspect(name, block, float(self._shift(layer, kernels))))
        return tuple(found)

    # -- parameters --------------------------------------------------------------------------------------------------

    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Any, ...]:
        """`D_l[:, i] = Q_i (Q_i A Q_i + N rho_l I)^{-1} E_i^T r` for unit `i` (see `ntkng.fisher.unit_blocks`)."""
        parts: list[Array] = []
        for layer, record in zip(kernels.layers, records, strict=True):
            parts.append(self._cotangent(layer, record, kernels, residual, parts[-1] if parts else None))
        return tuple(parts)

    def _cotangent(
        self, layer: LayerKernels, record: LayerRecord, kernels: Kernels, residual: Array, last: Array | None
    ) -> Array:
        if not has_units(record):
            raise ValueError(_unsupported(layer))
        if layer.positions > 1:
            return self._channel_cotangent(layer, record, kernels, residual, last)
        inner = _inner(layer, kernels.samples).train
        shift, residual = _next(self._shift(layer, kernels), last), residual.astype(inner.dtype)
        if layer.is_output:
            cotangent = solve(inner, shift, residual)
        else:
            cotangent = unit_blocks.cotangents(inner, record.deltas, shift, residual)
        return cotangent.astype(record.deltas.dtype)

    def _channel_cotangent(
        self, layer: LayerKernels, record: LayerRecord, kernels: Kernels, residual: Array, last: Array | None
    ) -> Array:
        dtype = layer.theta.train.dtype
        seen = affine.view(record.astype(dtype))
        inner, deltas = affine_gram.input_gram(seen, seen), unit_signals(record.astype(dtype))
        shift = kernels.samples * self.damping
        if self.relative:
            shift = positive_shift(self.damping * (deltas**2).mean() * inner.trace() / kernels.samples)
        step = channel_blocks.cotangents(inner, deltas, _next(shift, last), residual.astype(dtype))
        rows = step.reshape(-1, step.shape[-1])
        return affine.as_outputs(record, rows.astype(record.deltas.dtype))

    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Float[np.ndarray, "P P"]:
        """`J^T J / N` with everything outside of the units' blocks set to 0, plus `rho_l I`."""
        import scipy.linalg

        blocks = []
        for layer in layers:
            if layer.features is None or layer.deltas is None:
                raise ValueError("the unit-wise Fisher needs the factors of every layer, got one with a Jacobian only")
            units = layer.deltas.shape[-1]
            scale = np.mean(layer.deltas**2) * np.sum(layer.features**2) / samples**2 if self.relative else 1.0
            scale = positive_shift(scale)
            for part in np.split(layer.jacobian, units, axis=1):
                blocks.append(part.T @ part / samples + float(self.damping) * scale * np.eye(part.shape[1]))
        return np.asarray(scipy.linalg.block_diag(*blocks))


def _next(shift: Any, last: Array | None) -> Any:
    """`shift`, but not before `last` is known.

    On a CPU two batched Cholesky factorisations side by side can wait for ever for each other's threads (JAX 0.10.2, two cores):
    each holds a thread of XLA's pool and needs another one. So a layer starts when the one before it is done.
    """
    return shift if last is None else shift + 0 * last.ravel()[0].astype(jnp.result_type(shift))


def _inner(layer: LayerKernels, samples: int) -> Any:
    if layer.inner is None or layer.backward is None or len(layer.inner.train) != samples * layer.positions:
        raise ValueError(_unsupported(layer))
    return layer.inner


def _units(layer: LayerKernels) -> Any:
    if layer.units is None:
        raise ValueError(
            f"these kernels hold no units of layer {layer.name}; compute them with analytic(..., units=UnitSampling()) "
            "or empirical(..., units=True)"
        )
    return layer.units


def _unsupported(layer: LayerKernels) -> str:
    if layer.dimensions != (0, 0) and layer.positions > 1:
        return (
            f"these kernels hold no units of layer {layer.name}, whose weights are shared over {layer.positions} positions; "
            "compute them with empirical(..., units=True)"
        )
    return (
        f"the unit-wise Fisher is defined here for Dense and Conv layers, which layer {layer.name} is not; "
        "use BlockDiagonal for this network"
    )


def _mean_square(layer: LayerKernels, kernels: Kernels) -> Any:
    """`mean(delta_l^2)` over samples, outputs, units and positions, from the trace of `B_l`."""
    if layer.backward is None:
        raise ValueError(_unsupported(layer))
    # at infinite width the stored Gram is that of one of the C independent outputs
    trace = layer.backward.train.trace() * (kernels.outputs // kernels.block)
    return trace / (kernels.samples * kernels.outputs * layer.dimensions[1] * layer.positions)
