"""Intervals and tests against SciPy's one-sample and Welch's t tests."""

import numpy as np
import scipy.stats
from tried.row import Row

from ntkng.statistics import log_log_slope
from ntkng.testing.fit import exponent

SPREADS = {"even": (1, 1, 1), "falling": (1, 0.3, 0.1), "mixed": (1, 0.01, 1)}


def rows():
    return [_slopes(), _welch(), _coverage()]


def _slopes():
    """The interval of the slope is SciPy's, of a line fitted to each seed."""
    rng, worst = np.random.default_rng(0), 0.0
    for spread in SPREADS.values():
        for networks in (2, 3, 16):
            x = np.array([1.0, 3.0, 7.0])
            y = -0.5 * x[:, None] + np.array(spread)[:, None] * rng.normal(size=(3, networks))
            lines = [scipy.stats.linregress(x, column).slope for column in y.T]
            low, high = scipy.stats.ttest_1samp(lines, 0).confidence_interval()
            found = log_log_slope(np.exp(x), np.exp(y)).interval()
            worst = max(worst, np.abs(np.array(found) - [low, high]).max() / (high - low))
    return Row("slopes in size", "2 to 16 networks, even, falling and mixed noise; of the interval's length",
               "scipy.stats.linregress for each network, ttest_1samp", worst, 1e-10)  # fmt: skip


def _welch():
    """Between two widths the slope is a difference of means."""
    rng, worst = np.random.default_rng(1), 0.0
    for spread in (1.0, 0.1, 1e-3):
        for counts in ((2, 2), (3, 17), (64, 8)):
            groups = [rng.normal(size=counts[0]), spread * rng.normal(size=counts[1])]
            found = exponent(dict(zip((64, 512), groups, strict=True)), None)
            truth = scipy.stats.ttest_ind(*groups, equal_var=False)
            worst = max(worst, abs(found.p_values()[0] / truth.pvalue - 1), abs(found.degrees[0] / truth.df - 1))
    return Row("fits in powers of the width", "2 to 64 networks a width, spreads 1 to 1e-3 of each other; p-value, degrees",
               "Welch's test, scipy.stats.ttest_ind", worst, 1e-6)  # fmt: skip


def _coverage():
    """Share of intervals of normal logarithms that miss the slope, in a thousand runs each."""
    rng, worst = np.random.default_rng(2), 0.0
    sizes = np.array([64.0, 128.0, 256.0])
    for spread in SPREADS.values():
        for networks in (2, 8):
            quantile = scipy.stats.t.ppf(0.975, networks - 1)
            noise = np.exp(np.array(spread)[:, None] * rng.normal(size=(1000, 3, networks)))
            found = [log_log_slope(sizes, one / np.sqrt(sizes)[:, None]) for one in noise]
            held = np.mean([abs(one.value + 0.5) <= quantile * one.standard_error for one in found])
            worst = max(worst, abs(held - 0.95))
    return Row("95 % intervals of slopes", "2 and 8 networks, even, falling and mixed noise; share that holds, minus 95 %",
               "drawn with a known slope", worst, 0.03)  # fmt: skip
