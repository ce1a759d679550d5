r"""Isotropy: `K = alpha I`, an identity of linear algebra, so the bound is that of rounding.

The identity holds for the infinite-width kernels and, as long as the ranks allow, for a finite network's own kernels alike.
A solve with a matrix of condition number `kappa` and size `n` leaves a relative error of about `n kappa eps`; the bound is
`SAFETY` times that, taken over the matrices that the approximation inverts. There is nothing random in it: false alarms do
not occur, and every error in `alpha` above the bound is seen.
"""

from __future__ import annotations

import numpy as np

from ntkng.arguments import require_type
from ntkng.fisher import Fisher
from ntkng.kernels import Kernels
from ntkng.precision import in_float64
from ntkng.report import Claim, Report
from ntkng.testing.causes import likely_cause
from ntkng.testing.failure import require

SAFETY = 100


def assert_isotropic(
    fisher: Fisher, kernels: Kernels, *, alpha: float | None = None, bound: float | None = None
) -> Report:
    """Assert `K = alpha I` on the training inputs, with the predicted `alpha`.

    Args:
        fisher: the approximation, usually undamped.
        kernels: analytic, or those of one finite network.
        alpha: expected value; `None` takes `fisher.predicted_alpha(kernels)`.
        bound: relative; `None` derives it from the condition numbers (see the module). Give one for approximations that are
            isotropic in a limit only.

    Returns:
        The report of the claims.

    Raises:
        AssertionError: off-isotropy, `alpha` or an eigenvalue outside of the bound, with a table.
        ValueError: no `alpha` is given and the approximation predicts none.
    """
    __tracebackhide__ = True
    return require(isotropy_report(fisher, kernels, alpha=alpha, bound=bound))


@in_float64
def isotropy_report(
    fisher: Fisher, kernels: Kernels, *, alpha: float | None = None, bound: float | None = None
) -> Report:
    """The claims behind `assert_isotropic`."""
    require_type("fisher", fisher, Fisher, "give an approximation such as ntkng.Exact() first")
    require_type("kernels", kernels, Kernels, "compute them with ntkng.analytic or ntkng.empirical")
    alpha = fisher.predicted_alpha(kernels) if alpha is None else float(alpha)
    if alpha is None:
        raise ValueError(
            f"{fisher!r} predicts no alpha for these kernels, so it does not claim to be isotropic; pass alpha=..., "
            "or use it without damping"
        )
    bound = rounding_bound(fisher, kernels) if bound is None else bound
    kernel = fisher.kernel(kernels)
    values = np.asarray(kernel.eigenvalues())
    ratio = kernel.alpha / alpha
    cause = likely_cause(ratio, samples=kernels.samples, outputs=kernels.outputs, depth=len(kernels.layers))
    name, facts = fisher.name, {"source": "Karakida and Osawa 2020, section 3"}
    alpha_claim = Claim.below(
        f"{name}/alpha", abs(ratio - 1), bound, f"tr K / n is alpha = {alpha:g} (found {kernel.alpha:g}, relative error)",
        note="" if abs(ratio - 1) < bound else cause, **facts,
    )  # fmt: skip
    off = Claim.below(
        f"{name}/off-isotropy", kernel.off_isotropy, bound, "|K - alpha_hat I|_F / |K|_F vanishes",
        note="" if kernel.off_isotropy < bound else "K is not a multiple of I: damping, a rank, or a wrong layer", **facts,
    )  # fmt: skip
    spread = float(np.abs(values / alpha - 1).max())
    eigenvalues = Claim.below(
        f"{name}/eigenvalues", spread, bound * np.sqrt(len(values)), f"every eigenvalue of K is alpha = {alpha:g}",
        note="" if spread < bound else cause, **facts,
    )  # fmt: skip
    return Report(f"isotropy of {name}, {kernels.source} kernels", (alpha_claim, off, eigenvalues))


def rounding_bound(fisher: Fisher, kernels: Kernels) -> float:
    """`SAFETY n kappa eps`, with the largest condition number `kappa` of what the approximation inverts."""
    found = fisher.inspect(kernels)
    epsilon = float(np.finfo(np.asarray(kernels.layers[0].theta.train).dtype).eps)
    condition = max((matrix.condition for matrix in found), default=1.0)
    return float(min(1.0, SAFETY * kernels.size * len(kernels.layers) * condition * epsilon))
