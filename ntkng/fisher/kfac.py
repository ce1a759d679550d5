r"""K-FAC: each layer's block is a Kronecker product of an input factor and a backward factor.

Layer l's block is `(B + rho_B I) kron (A + rho_A I)`. Without positions the factors are `A = a^T a / N` (`K x K`) and
`B = delta^T delta / N` (`M x M`, summed over outputs). In function space, by Woodbury, only Grams appear:

    K(x', x) = N sum_l (P'_A kron 1_{C x C}) o P'_B,
    P'_A = A' (A + N rho_A I)^{-1},   P'_B = B' (B + N rho_B I)^{-1}

(`o`: elementwise; `A`, `B` here the `N x N` and `N C x N C` Grams; Karakida and Osawa 2020, section 4.3). Undamped, with
nonsingular Grams of the hidden layers, each hidden layer gives `N I`. The output layer's true factor is `B_L = I_C`, and it
gives `I`, so `alpha = N (L - 1) + 1`; the paper scales that factor to `I_C / N`, so that `alpha = N L`.

A layer whose weights are shared over S positions (Conv, or Dense with spatial axes) has the gradient
`J[(n, c)] = sum_s delta[n, c, s] (outer) a[n, s]`, which is no Kronecker product, and two conventions are in use:

- `"expand"` (KFC, Grosse and Martens 2016): positions count as samples, `A = sum_{n,s} a a^T / N` and
  `B = sum_{n,c,s} delta delta^T / (N S)`. Then `K_l = N S sum_{s,s'} (P'_A kron 1) o P'_B` with Grams over samples and
  positions; it is `N S^2 I` only if these are nonsingular, which takes `N S <= K` and `N C S <= M`;
- `"reduce"` (Eschenhagen et al. 2023): `a` is averaged, `delta` summed over positions first. `K` is not isotropic.

So with shared weights isotropy is the exception: `predicted_alpha` is `None`, and `kernel(...)` has the spectrum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import Conditioning, inspect, moving
from ntkng.fisher import kronecker
from ntkng.fisher.base import Fisher
from ntkng.fisher.dense import DenseLayer
from ntkng.fisher.kfac_step import cotangent
from ntkng.fisher.relative_damping import root_of_ratio
from ntkng.fisher.solves import symmetric_part
from ntkng.kernels.kernels import Kernels, LayerKernels, sum_
from ntkng.layers.affine_gram import kronecker_gram
from ntkng.layers.record import LayerRecord
from ntkng.precision import is_concrete

LEVERAGE = 1e-8  # differences of leverages up to which they count as equal


@dataclasses.dataclass(frozen=True)
class KFAC(Fisher):
    """Kronecker-factored approximation (see the module).

    Attributes:
        damping: `rho`; it is split over the factors by `split`.
        split: `"pi"` is `rho_A = pi sqrt(rho)`, `rho_B = sqrt(rho) / pi`, `pi^2 = (tr A / dim A) / (tr B / dim B)`
            (Martens and Grosse 2015, section 6.3; where a factor vanishes so does the layer's gradient, and any split will do);
            `"equal"` is `rho_A = rho_B = sqrt(rho)`.
        last_layer: `"fisher"`: the true factor `I_C` of the output layer, `alpha = N (L - 1) + 1`; `"paper"`: `I_C / N`,
            `alpha = N L`.
        singular: what to do undamped with a singular factor: `"raise"` an error, or use its `"pseudo-inverse"` (then
            `K` is not isotropic in general).
        sharing: convention for layers with positions, `"expand"` or `"reduce"`.
    """

    split: Literal["pi", "equal"] = "pi"
    last_layer: Literal["fisher", "paper"] = "fisher"
    singular: Literal["raise", "pseudo-inverse"] = "raise"
    sharing: Literal["expand", "reduce"] = "expand"

    needs_factors = True
    reference = ("karakida-osawa-2020", "martens-grosse-2015", "grosse-martens-2016", "eschenhagen-2023")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in (
            ("split", ("pi", "equal")),
            ("last_layer", ("fisher", "paper")),
            ("singular", ("raise", "pseudo-inverse")),
            ("sharing", ("expand", "reduce")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")

    @property
    def is_pseudo(self) -> bool:
        """Whether pseudo-inverses are used."""
        return self.singular == "pseudo-inverse" and not self.is_damped

    @property
    def inverts_singular_grams(self) -> bool:
        """Also by pseudo-inverses."""
        return self.is_damped or self.is_pseudo

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Checks of `ntkng.testing.check_fisher` that the paper's factor of the output layer cannot pass."""
        if self.last_layer == "fisher":
            return {}
        return {
            "large_damping": "the output layer's factor, its damping included, is divided by N: it is no Fisher matrix"
        }

    # -- theory ------------------------------------------------------------------------------------------------------

    def predicted_alpha(self, kernels: Kernels) -> float | None:
        """`N (L - 1) + 1` or `N L`, undamped and where all factors are nonsingular; see the module for shared weights.

        With pseudo-inverses the hidden layer of input rank `d` contributes `d` where the leverages of the samples are equal
        (see `ntkng.forster`). Where they are not there is no `alpha`, as in other output coordinates (cross-entropy).
        """
        if self.is_damped or any(layer.is_whitened_output for layer in kernels.layers):
            return None
        if self.is_pseudo:
            return self._alpha_by_leverages(kernels) if is_concrete(kernels) else None
        if any(layer.positions > 1 for layer in kernels.layers) and not self._is_regular(kernels):
            return None
        return sum(
            self.output_scale(kernels.samples) if layer.is_output else kernels.samples * layer.positions**2
            for layer in kernels.layers
        )

    def _alpha_by_leverages(self, kernels: Kernels) -> float | None:
        """Sum over layers of `N diag(A A^+)`, where that is constant and every other factor is nonsingular."""
        total = 0.0
        for layer in kernels.layers:
            inner, backward = (np.asarray(gram.train) for gram in _grams(layer))
            if layer.positions > 1:
                return None
            values, vectors = np.linalg.eigh(inner)
            kept = moving(values)
            leverages = (vectors[:, kept] ** 2).sum(axis=1)
            least = 1 - LEVERAGE if layer.is_output else leverages.mean() - LEVERAGE
            is_even = leverages.min() > least and leverages.max() < leverages.mean() + LEVERAGE
            if not is_even or not (layer.is_output or not inspect("B", backward).is_singular):
                return None
            total += self.output_scale(kernels.samples) if layer.is_output else kernels.samples * leverages.mean()
        return float(total)

    def _is_regular(self, kernels: Kernels) -> bool:
        """Whether the Grams over samples and positions are all nonsingular."""
        if self.sharing == "reduce" or not is_concrete(kernels):
            return False
        return not any(found.is_singular for found in self.inspect(kernels))

    def _kernel(self, kernels: Kernels) -> tuple[Float[Array, "n n"], Float[Array, "m n"] | None]:
        train = symmetric_part(sum_(self._layer(layer, kernels, "train") for layer in kernels.layers))
        if kernels.layers[0].theta.cross is None:
            return train, None
        return train, sum_(self._layer(layer, kernels, "cross") for layer in kernels.layers)

    def _layer(self, layer: LayerKernels, kernels: Kernels, which: Literal["train", "cross"]) -> Array:
        inner, backward = _grams(layer)
        samples, positions = kernels.samples, layer.positions
        rho_inner, rho_backward = self.dampings(layer, kernels)
        inner_part, backward_part = getattr(inner, which), getattr(backward, which)
        if self._is_reduced(layer):
            first = kronecker.reduced_form(inner_part, inner.train, positions, False, samples, rho_inner)
            second = kronecker.reduced_form(backward_part, backward.train, positions, True, samples, rho_backward)
            return kronecker_gram(first, second, positions) / samples
        first = kronecker.expanded_form(inner_part, inner.train, samples, rho_inner, self.is_pseudo)
        if layer.is_output:  # delta is the identity: the factor is I_C, or I_C / N
            second = self.output_scale(samples) * backward_part / (1 + rho_backward)
        else:
            # the C x C factor of whitened outputs is inverted on its range, though their Gram has rank C at most
            divisor, pseudo = samples * positions, self.is_pseudo or layer.is_whitened_output
            second = kronecker.expanded_form(backward_part, backward.train, divisor, rho_backward, pseudo)
            second = second * (self.output_scale(samples) if layer.is_whitened_output else 1)
        return kronecker_gram(first, second, positions) / samples

    def _is_reduced(self, layer: LayerKernels) -> bool:
        return self.sharing == "reduce" and layer.positions > 1

    def output_scale(self, samples: int) -> int:
        """What the output layer adds to `alpha`: 1, or N in the paper's scaling of its factor."""
        return 1 if self.last_layer == "fisher" else samples

    def dampings(self, layer: LayerKernels, kernels: Kernels) -> tuple[Any, Any]:
        """`rho_A` and `rho_B`, from the traces of the factors."""
        if not self.is_damped:
            return 0, 0
        inner, backward = (gram.train for gram in _grams(layer))
        traces = [jnp.trace(inner), jnp.trace(backward)]
        divisors = [kernels.samples, kernels.samples * layer.positions]
        if self._is_reduced(layer):
            traces = [
                _reduced(inner, layer.positions, False).trace(),
                _reduced(backward, layer.positions, True).trace(),
            ]
            divisors = [kernels.samples, kernels.samples]
        # at infinite width the stored Gram is that of one of the C independent outputs
        traces[1] = traces[1] * (kernels.outputs // kernels.block)
        return self.factor_damping(traces[0] / divisors[0], traces[1] / divisors[1], layer.dimensions)

    def factor_damping(self, trace_inner: Any, trace_backward: Any, dimensions: tuple[int, int]) -> tuple[Any, Any]:
        """`(rho_A, rho_B)` from the traces of the `K x K` and `M x M` factors, and `(K, M)`; `(0, 0)` undamped."""
        if not self.is_damped:
            return 0, 0
        root = self.damping**0.5
        if self.split == "equal":
            return root, root
        pi = root_of_ratio(trace_inner / dimensions[0], trace_backward / dimensions[1])
        return pi * root, root / pi

    # -- conditioning ------------------------------------------------------------------------------------------------

    def check(self, kernels: Kernels) -> None:
        """Refuse undamped use where `K` would not be isotropic, or not defined (see `singular`)."""
        if not self.is_damped and not self.is_pseudo:
            for layer in kernels.layers:
                if self._is_reduced(layer):
                    raise ValueError(
                        f"undamped K-FAC with sharing='reduce' is not defined for layer {layer.name}: its gradients have "
                        "parts on which the reduced factors vanish; use damping > 0 or singular='pseudo-inverse'"
                    )
        super().check(kernels)
        for layer in kernels.layers:
            if layer.is_whitened_output and not self.is_damped and not self.is_pseudo:
                rank = inspect("B", _grams(layer)[1].train).rank
                if rank < kernels.outputs:
                    raise ValueError(
                        f"the curvature of the loss, backward Gram B of layer {layer.name}, has numerical rank {rank}, expected "
                        f"{kernels.outputs}: some probabilities vanish on all samples; use damping > 0, or singular='pseudo-inverse'"
                    )

    def inspect(self, kernels: Kernels) -> tuple[Conditioning, ...]:
        """Every `A + N rho_A I`, and `B + N rho_B I` of the layers before the output (`N S` with positions)."""
        if self.is_pseudo:
            return ()
        found = []
        for layer in kernels.layers:
            grams, divisors = [gram.train for gram in _grams(layer)], [kernels.samples] * 2
            if self._is_reduced(layer):
                grams = [
                    _reduced(gram, layer.positions, total) for gram, total in zip(grams, (False, True), strict=True)
                ]
            else:
                divisors[1] *= layer.positions
            shifts = [n * rho for n, rho in zip(divisors, self.dampings(layer, kernels), strict=True)]
            found.append(_inspect("input Gram A", layer, grams[0], shifts[0]))
            if not layer.is_output and (self.is_damped or not layer.is_whitened_output):
                found.append(_inspect("backward Gram B", layer, grams[1], shifts[1]))
        return tuple(found)

    def _remedy(self, kernels: Kernels) -> str:
        if any(layer.positions > 1 for layer in kernels.layers):
            return (
                "with weights shared over S positions K-FAC is isotropic only if N S <= the length of a patch and "
                f"N C S <= the number of channels (got N = {kernels.samples}, C = {kernels.outputs}, S = "
                f"{max(layer.positions for layer in kernels.layers)}), which ordinary networks violate: use damping > 0, "
                "or singular='pseudo-inverse', and look at the spectrum of K; BlockDiagonal is isotropic for this network"
            )
        return (
            "K-FAC is isotropic only if N <= rank of each layer's inputs and N C <= the hidden widths "
            f"(got N = {kernels.samples}, C = {kernels.outputs}): use fewer samples, a bias (one more dimension), wider "
            "layers, damping > 0, or singular='pseudo-inverse'"
        )

    # -- parameters --------------------------------------------------------------------------------------------------

    def cotangents(
        self, kernels: Kernels, records: Sequence[LayerRecord], residual: Float[Array, "N C"]
    ) -> tuple[Any, ...]:
        """`D_l` with `D_l^T a = (B + rho_B I)^{-1} (sum_n r delta (outer) a / N) (A + rho_A I)^{-1}`, each factor inverted by
        the smaller of its two systems (see `ntkng.fisher.kfac_step`)."""
        return tuple(
            cotangent(self, layer, record, residual) for layer, record in zip(kernels.layers, records, strict=True)
        )

    def dense(self, layers: Sequence[DenseLayer], samples: int) -> Float[np.ndarray, "P P"]:
        """Block-diagonal matrix of `(B + rho_B I) kron (A + rho_A I)`, `M x M` and `K x K` factors."""
        import scipy.linalg

        blocks = []
        for layer in layers:
            inner, backward = layer.kronecker_factors(samples, reduce=self.sharing == "reduce")
            sizes = (len(inner), len(backward))
            rho_inner, rho_backward = self.factor_damping(np.trace(inner), np.trace(backward), sizes)
            inner, backward = inner + rho_inner * np.eye(sizes[0]), backward + rho_backward * np.eye(sizes[1])
            if layer.is_output:
                backward = backward / self.output_scale(samples)
            blocks.append(np.kron(backward, inner))
        return np.asarray(scipy.linalg.block_diag(*blocks))


def _reduced(gram: Array, positions: int, total: bool) -> Array:
    half = kronecker.reduce_rows(jnp.asarray(gram), positions, total)
    return kronecker.reduce_rows(half.T, positions, total)


def _grams(layer: LayerKernels) -> tuple[Any, Any]:
    if layer.inner is not None and layer.backward is not None:
        return layer.inner, layer.backward
    if layer.positions > 1 and layer.dimensions != (0, 0):
        fix = "compute the kernels with factors=True"
    else:
        fix = "use BlockDiagonal for this network"
    raise ValueError(f"K-FAC needs Kronecker factors, which these kernels do not have for layer {layer.name}; {fix}")


def _inspect(what: str, layer: LayerKernels, gram: Any, shift: Any) -> Conditioning:
    return inspect(f"{what} of layer {layer.name}", gram, float(shift))
