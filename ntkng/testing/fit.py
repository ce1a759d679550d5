r"""Linear fits in powers of the width whose uncertainty does not lean on the noise model.

Samples are given per width: `S_M` networks, `Q` quantities each. The expectation of a smooth function of a wide network's
kernels has an expansion in powers of `1/M`,

    E z(M) = a_0 + a_1 M^{-p_1} + a_2 M^{-p_2} + ..,

whole powers for smooth activations, half powers where a kink (ReLU) lets the sign of a unit flip during training. The theory
is a statement about one coefficient (the limit `a_0`, or the exponent of a power law). Each coefficient is a fixed linear
combination `sum_M w_M zbar(M)` of the sample means: weights by weighted least squares, where only the *ratio* of the
variances is assumed, so that a wrong assumption costs power but not validity. The variance of the estimate,
`sum_M w_M^2 s_M^2 / S_M`, comes from the samples at each width, its degrees of freedom from Welch and Satterthwaite.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ntkng.statistics import Estimate

Samples = Mapping[int, Float[np.ndarray, "S Q"]]
ROUNDING = 1e-9  # relative quantities smaller than this are rounding errors of the float64 computation


Coefficients = Estimate  # arrays, one entry for each of the Q quantities; degrees of freedom of Welch and Satterthwaite


def limit(samples: Samples, powers: tuple[float, ...]) -> Estimate:
    """The limit of infinite width `a_0`, from the fit in `powers` of `1/M`; variances assumed in the ratio `1/M`.

    Raises:
        ValueError: fewer widths than coefficients, fewer than two samples at a width, values that are not finite.
    """
    widths = _widths(samples)
    design = np.stack([widths**-power for power in (0.0, *powers)], axis=1)
    return coefficient(samples, design, 0, 1 / widths)


def ratio(numerators: Samples, denominators: Samples, powers: tuple[float, ...]) -> Estimate:
    """The limit of `E numerator / E denominator`, `theta = a_0 / b_0` of the two fits.

    Its variance is that of `numerator - theta denominator` over `b_0^2`: what the two have in common cancels, so that a
    numerator which *is* `theta` times the denominator, network by network, leaves no uncertainty.

    Raises:
        ValueError: as `limit`; a limit of the denominators that is not positive.
    """
    top, bottom = limit(numerators, powers), limit(denominators, powers)
    if not (bottom.value > 0).all():
        raise ValueError("the scale has no positive limit of infinite width; use more networks, or larger widths")
    value = top.value / bottom.value
    rest = limit({width: numerators[width] - value * denominators[width] for width in numerators}, powers)
    return Estimate(value, rest.standard_error / bottom.value, rest.degrees)


def exponent(samples: Samples, correction: float | None) -> Estimate:
    """The exponent `s` of `E log z = log c + s log M + b M^{-correction}`; `correction=None` leaves out the last term.

    The samples are logarithms; their variances are assumed not to depend on the width.

    Raises:
        ValueError: as `limit`.
    """
    widths = _widths(samples)
    columns = [np.ones_like(widths), np.log(widths)] + ([] if correction is None else [widths**-correction])
    return coefficient(samples, np.stack(columns, axis=1), 1, np.ones_like(widths))


def coefficient(
    samples: Samples, design: Float[np.ndarray, "W k"], index: int, variances: Float[np.ndarray, "W"]
) -> Estimate:
    """Coefficient `index` of the weighted least-squares fit of the means by the columns of `design`."""
    groups = [np.asarray(samples[width], float) for width in sorted(samples)]
    groups = [group[:, None] if group.ndim == 1 else group for group in groups]
    if len({group.shape[1:] for group in groups}) > 1 or any(group.ndim != 2 for group in groups):
        shapes = [group.shape for group in groups]
        raise ValueError(
            f"samples must be [networks, quantities], with as many quantities at every width, got {shapes}"
        )
    counts = np.array([len(group) for group in groups])
    if len(groups) < design.shape[1]:
        raise ValueError(
            f"a fit of {design.shape[1]} coefficients needs at least as many widths, got {sorted(samples)}; "
            "add widths, or use fewer powers"
        )
    if counts.min() < 2:
        raise ValueError(f"an uncertainty needs at least 2 networks at every width, got {counts.tolist()}")
    if not all(np.isfinite(group).all() for group in groups):
        raise ValueError("samples have NaN or infinite entries; a simulation diverged")
    weighted = design.T * (counts / variances)
    weights = np.linalg.solve(weighted @ design, weighted)[index]
    parts = np.array([w**2 * group.var(axis=0, ddof=1) / len(group) for w, group in zip(weights, groups, strict=True)])
    value = np.einsum("w,wq->q", weights, np.array([group.mean(axis=0) for group in groups]))
    variance = parts.sum(axis=0)
    freedom = np.where(variance > 0, (parts**2 / (counts - 1)[:, None]).sum(axis=0), 1.0)
    degrees = np.where(variance > 0, variance**2 / freedom, np.inf)
    return Estimate(value, np.sqrt(variance + ROUNDING**2), degrees)


def _widths(samples: Samples) -> Float[np.ndarray, "W"]:
    return np.array(sorted(samples), dtype=float)
