"""Natural gradient flow in its Legendre form from starts far away."""

import mpmath
import numpy as np
from tried.row import Row

from ntkng.inductive_bias import LogisticProblem, legendre_flow


def error(start, t, columns=1.0):
    """Largest error of a margin, relative to the largest margin: two samples decide, and both margins solve one equation."""
    Z = np.array([[2.0, 1.0], [-1.0, 0.5]]) * columns
    w0 = start * np.linalg.solve(Z, [1.0, 0.4])
    found = Z @ legendre_flow(LogisticProblem(Z, np.ones(2)), w0, [t])[0]
    with mpmath.workdps(400):  # independent rows: r_n(t) = e^{-t} r_n(0), m_n = log(1 / r_n - 1)
        right = [float(mpmath.log(mpmath.exp(t) * (1 + mpmath.exp(mpmath.mpf(m))) - 1)) for m in Z @ w0]
    return float(np.abs(found - right).max() / np.abs(right).max())


def rows():
    """Starts and times."""
    truth = "`m = log(e^t / r(0) - 1)` in 400 digits"
    starts = max(error(s, t) for s in (-600.0, -30.0, 30.0, 600.0) for t in (1e-9, 1.0, 30.0))
    units = error(-3.0, 2.0, np.array([1e8, 1e-8]))
    return [
        Row("`legendre_flow`", "margins at the start -600 to 600, times 1e-9 to 30", truth, starts, 1e-12),
        Row("`legendre_flow`", "features 1e8 and 1e-8", truth, units, 1e-12),
    ]
