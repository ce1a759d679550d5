r"""K-FAC: each layer's block is a Kronecker product of an input factor and a backward factor.

Layer l's block is `(B_l + rho_B I) kron (A_{l-1} + rho_A I)` with the factors `A = a^T a / N` (`K x K`) and
`B = delta^T delta / N` (`M x M`, summed over outputs). In function space, by Woodbury, only Grams appear:

    K(x', x) = N sum_l (P'_A kron 1_{C x C}) o P'_B,
    P'_A = A' (A + N rho_A I)^{-1},   P'_B = B' (B + N rho_B I)^{-1}

(`o`: elementwise; `A`, `B` here the `N x N` and `N C x N C` Grams; Karakida and Osawa 2020, section 4.3). Undamped, with
nonsingular Grams of the hidden layers, each hidden layer gives `N I`. The output layer's true factor is `B_L = I_C`, and it
gives `I`, so `alpha = N (L - 1) + 1`; the paper scales that factor to `I_C / N`, so that `alpha = N L`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning, inspect
from ntkng.fisher.base import Fisher
from ntkng.fisher.dense import DenseLayer
from ntkng.fisher.solves import project, pseudo_inverse, solve
from ntkng.kernels.kernels import Kernels, LayerKernels, sum_
from ntkng.layers.affine import kronecker_gram
from ntkng.layers.record import LayerRecord


@dataclasses.dataclass(frozen=True)
class KFAC(Fisher):
    """Kronecker-factored approximation (see the module).

    Attributes:
        damping: `rho`; it is split over the factors by `split`.
        split: `"pi"` is `rho_A = pi sqrt(rho)`, `rho_B = sqrt(rho) / pi`, `pi^2 = (tr A / dim A) / (tr B / dim B)`
            (Martens and Grosse 2015, section 6.3); `"equal"` is `rho_A = rho_B = sqrt(rho)`.
        last_layer: `"fisher"`: the true factor `I_C` of the output layer, `alpha = N (L - 1) + 1`; `"paper"`: `I_C / N`,
            `alpha = N L`.
        singular: what to do undamped with a singular factor: `"raise"` an error, or use its `"pseudo-inverse"` (then
            `K` is not isotropic in general).
    """

    split: Literal["pi", "equal"] = "pi"
    last_layer: Literal["fisher", "paper"] = "fisher"
    singular: Literal["raise", "pseudo-inverse"] = "raise"

    reference = ("karakida-osawa-2020", "martens-grosse-2015")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in (
            ("split", ("pi", "equal")),
            ("last_layer", ("fisher", "paper")),
            ("singular", ("raise", "pseudo-inverse")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")

    # -- theory ------------------------------------------------------------------------------------------------------

    def predicted_alpha(self, kernels: Kernels) -> float | None:
        """`N (L - 1) + 1` or `N L`, undamped and where all factors are nonsingular."""
        if self.is_damped or self.singular == "pseudo-inverse":
            return None
        return sum(
            self._output_scale(kernels.samples) if layer.is_output else kernels.samples for layer in kernels.layers
        )

    def _kernel(self, kernels: Kernels) -> tuple[Float[Array, "n n"], Float[Array, "m n"] | None]:
        layers = [self._layer(layer, kernels) for layer in kernels.layers]
        train = sum_(train for train, _ in layers)
        train = (train + train.T) / 2
        return train, None if layers[0][1] is None else sum_(cross for _, cross in layers)

    def _layer(self, layer: LayerKernels, kernels: Kernels) -> tuple[Array, Array | None]:
        inner, backward = _factors(layer)
        shift_inner, shift_backward = self._shifts(layer, kernels)
        parts = [(inner.train, backward.train)]
        if inner.cross is not None and backward.cross is not None:
            parts.append((inner.cross, backward.cross))
        results: list[Array | None] = []
        for inner_part, backward_part in parts:
            first = self._project(inner_part, inner.train, shift_inner)
            if layer.is_output:
                second = backward_part / (kernels.samples * (1 + shift_backward / kernels.samples))
                scale: float = kernels.samples * self._output_scale(kernels.samples)
            else:
                second = self._project(backward_part, backward.train, shift_backward)
                scale = kernels.samples
            results.append(scale * kronecker_gram(first, second))
        return results[0], results[1] if len(results) == 2 else None  # type: ignore[return-value]

    def _project(self, cross: Array, gram: Array, shift: Any) -> Array:
        if self.singular == "pseudo-inverse" and not self.is_damped:
            return cross @ pseudo_inverse(gram)
        return project(cross, gram, shift)

    def _solve(self, gram: Array, shift: Any, right: Array) -> Array:
        if self.singular == "pseudo-inverse" and not self.is_damped:
            return pseudo_inverse(gram) @ right
        return solve(gram, shift, right)

    def _output_scale(self, samples: int) -> int:
        return 1 if self.last_layer == "fisher" else samples

    def _shifts(self, layer: LayerKernels, kernels: Kernels) -> tuple[Any, Any]:
        """`N rho_A` and `N rho_B`."""
        if not self.is_damped:
            return 0, 0
        inner, backward = _factors(layer)
        trace_inner = jnp.trace(inner.train) / kernels.samples
        # at infinite width the stored Gram is that of one of the C independent outputs
        trace_backward = jnp.trace(backward.train) * (kernels.outputs // kernels.block) / kernels.samples
        rho_inner, rho_backward = self.factor_damping(trace_inner, trace_backward, layer.dimensions)
        return kernels.samples * rho_inner, kernels.samples * rho_backward

    def factor_damping(self, trace_inner: Any, trace_backward: Any, dimensions: tuple[int, int]) -> tuple[Any, Any]:
        """`(rho_A, rho_B)` from the traces of the factors `a^T a / N` and `delta^T delta / N` and their sizes `(K, M)`."""
        root = self.damping**0.5
        if self.split == "equal":
            return root, root
        pi = ((trace_inner / dimensions[0]) / (trace_backward / dimensions[1])) ** 0.5
        return pi * root, root / pi

    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """Every `A + N rho_A I`, and `B + N rho_B I` of the layers before the output."""
        if self.singular == "pseudo-inverse" and not self.is_damped:
            return ()
        found = []
        for layer in kernels.layers:
            inner, backward = _factors(layer)
            shifts = self._shifts(layer, kernels)
            found.append(_inspect("input Gram A", layer, inner.train, shifts[0]))
            if not layer.is_output:
                found.append(_inspect("backward Gram B", layer, backward.train, shifts[1]))
        return tuple(found)

    def _remedy(self, kernels: Kernels) -> str:
        return (
            "K-FAC is isotropic only if N <= rank of each layer's inputs and N C <= the hidden widths "
            f"(got N = {kernels.samples}, C = {kernels.outputs}): use fewer samples, a bias (one more dimension), wider "
            "layers, damping > 0, or singular='pseudo-inverse'"
        )

    # -- parameters --------------------------------------------------------------------------------------------------

    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Any, ...]:
        """`D_l = N delta^T (B + N rho_B I)^{-1} R (A + N rho_A I)^{-1}`, `R` the residuals on the samples' own columns."""
        pairs = zip(kernels.layers, records, strict=True)
        return tuple(self._cotangent(layer, record, kernels, residual) for layer, record in pairs)

    def _cotangent(self, layer: LayerKernels, record: LayerRecord, kernels: Kernels, residual: Array) -> Array:
        inner, backward = _factors(layer)
        samples, outputs = residual.shape
        shift_inner, shift_backward = self._shifts(layer, kernels)
        residual = residual.astype(inner.train.dtype)
        if layer.is_output:  # delta is the identity, B = I_C: the backward solve is a division
            coefficients = self._solve(inner.train, shift_inner, residual) / (1 + shift_backward / samples)
            return (self._output_scale(samples) * coefficients).astype(record.deltas.dtype)
        inverse = self._solve(inner.train, shift_inner, jnp.eye(samples, dtype=inner.train.dtype))
        weighted = (residual[:, :, None] * inverse[:, None, :]).reshape(samples * outputs, samples)
        solved = samples * self._solve(backward.train, shift_backward, weighted)
        deltas = record.deltas.reshape(samples * outputs, -1)
        return jnp.matmul(solved.T.astype(deltas.dtype), deltas, precision="highest")

    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Float[np.ndarray, "P P"]:
        """Block-diagonal matrix of `(B + rho_B I) kron (A + rho_A I)`, `M x M` and `K x K` factors."""
        import scipy.linalg

        blocks = []
        for layer in layers:
            if layer.features is None or layer.deltas is None:
                raise ValueError("K-FAC needs the factors of every layer, got a layer with a Jacobian only")
            inner = layer.features.T @ layer.features / samples
            backward = layer.deltas.T @ layer.deltas / samples
            if self.is_damped:
                sizes = (len(inner), len(backward))
                rho_inner, rho_backward = self.factor_damping(np.trace(inner), np.trace(backward), sizes)
                inner, backward = inner + rho_inner * np.eye(sizes[0]), backward + rho_backward * np.eye(sizes[1])
            if layer.is_output:
                backward = backward / self._output_scale(samples)
            blocks.append(np.kron(backward, inner))
        return np.asarray(scipy.linalg.block_diag(*blocks))


def _factors(layer: LayerKernels) -> tuple[Any, Any]:
    if layer.inner is None or layer.backward is None:
        raise ValueError(
            f"K-FAC needs Kronecker factors, which layer {layer.name} has not; use BlockDiagonal for this network"
        )
    return layer.inner, layer.backward


def _inspect(what: str, layer: LayerKernels, gram: Any, shift: Any) -> Conditioning:
    array = np.asarray(gram)
    return inspect(f"{what} of layer {layer.name}", array + float(shift) * np.eye(len(array), dtype=array.dtype))
