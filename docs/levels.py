"""How often intervals hold and tests reject what is right, in `pages/what_a_pass_means.md`: `python docs/levels.py` (minutes).

Everything is drawn from laws whose truth is known. Each cell has its own random numbers, so that a test renews single cells.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.stats
from jaxtyping import Float
from markers import fill

from ntkng.statistics import log_log_slope, mean
from ntkng.testing.fit import exponent, limit
from ntkng.testing.width_sweep import WIDTHS, seeds_at

PAGE = Path(__file__).resolve().parent / "pages" / "what_a_pass_means.md"
RUNS = 20_000
NETWORKS = (2, 3, 4, 8, 16)
MANY = (4, 8, 16, 32, 64, 128)
SLOPE = -0.5
LEVEL = 0.01
FAIR = (
    1.5  # a level of up to this many times the stated one is called held; at 20,000 runs chance adds 0.1 to it at most
)

# standard deviations of the logarithms at each of n sizes
NOISE: dict[str, Callable[[int], Float[np.ndarray, "W"]]] = {
    "even": lambda n: np.full(n, 0.3),
    "falls like 1/M": lambda n: 0.5 ** np.arange(n),
    "grows like M": lambda n: 0.1 * 2.0 ** np.arange(n),
    "large at the first": lambda n: np.where(np.arange(n) == 0, 2, 0.1),
    "large at every other": lambda n: np.where(np.arange(n) % 2 == 0, 1, 0.2),
}
LOGNORMAL = {"normal": 0.0, "lognormal, 0.3": 0.3, "lognormal, 0.5": 0.5, "lognormal, 1": 1.0}


def generator(*cell: object) -> np.random.Generator:
    """Random numbers of one cell."""
    return np.random.default_rng(zlib.crc32(repr(cell).encode()))


def coverage(noise: str, sizes: int, networks: int, runs: int = RUNS) -> float:
    """Share of 95 % intervals of `log_log_slope` that hold the slope."""
    rng, hits = generator("coverage", noise, sizes, networks), 0
    widths, spread = 64 * 2.0 ** np.arange(sizes), NOISE[noise](sizes)[:, None]
    quantile = None
    for _ in range(runs):
        found = log_log_slope(widths, widths[:, None] ** SLOPE * np.exp(spread * rng.normal(size=(sizes, networks))))
        if quantile is None:  # the same in every run, and slow
            quantile = found.half_width() / found.standard_error
        hits += abs(found.value - SLOPE) <= quantile * found.standard_error
    return hits / runs


def standardised(sigma: float, rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Mean 0 and variance 1: normal, or lognormal with standard deviation `sigma` of the logarithm."""
    normal = rng.normal(size=shape)
    if sigma == 0:
        return normal
    factor = np.exp(sigma**2 / 2)
    return (np.exp(sigma * normal) - factor) / (factor * np.sqrt(np.exp(sigma**2) - 1))


def level(test: str, noise: str, networks: int, runs: int = RUNS) -> float:
    """Share of runs in which a test at `LEVEL` rejects what is right; `networks` at the largest width, more below."""
    rng, sigma = generator("level", test, noise, networks), LOGNORMAL[noise]
    if test == "mean":
        found = [mean(sample) for sample in standardised(sigma, rng, runs, networks)]
        scores = np.abs([one.value / one.standard_error for one in found])
        return float((scores > scipy.stats.t.isf(LEVEL / 2, networks - 1)).mean())
    counts = {width: seeds_at(width, WIDTHS, networks) for width in WIDTHS}
    if test == "slope":  # one-sided, of logarithms that are normal where the errors are lognormal
        spread = dict(zip(WIDTHS, sigma * 2.0 ** -np.arange(len(WIDTHS)), strict=True))
        samples = {w: SLOPE * np.log(w) + spread[w] * rng.normal(size=(n, runs)) for w, n in counts.items()}
        found = exponent(samples, 0.5)
        return float((scipy.stats.t.sf((found.value - SLOPE) / found.standard_error, found.degrees) < LEVEL).mean())
    powers = {"limit, smooth": (1.0,), "limit, kinked": (0.5, 1.0)}[test]
    samples = {width: standardised(sigma, rng, count, runs) / np.sqrt(width) for width, count in counts.items()}
    return float((limit(samples, powers).p_values() < LEVEL).mean())


def coverages() -> str:
    """One row a noise and number of sizes, one column a number of networks."""
    head = " | ".join(f"{count} networks" for count in NETWORKS)
    rows = [f"| noise of the logarithm | sizes | {head} |", "|---|---|" + "---|" * len(NETWORKS)]
    rows += [coverage_row(noise, sizes) for noise in NOISE for sizes in (3, 4, 6)]
    return "\n".join(rows)


def coverage_row(noise: str, sizes: int) -> str:
    """One line of the first table."""
    cells = [f"{100 * coverage(noise, sizes, count):.1f} %" for count in NETWORKS]
    return f"| {noise} | {sizes} | {' | '.join(cells)} |"


def levels() -> str:
    """One row a test and law, one column a number of networks, and from how many on the level holds."""
    head = " | ".join(f"{count} networks" for count in MANY)
    rows = [f"| test | values | {head} | holds from |", "|---|---|" + "---|" * (len(MANY) + 1)]
    tests = ("limit, smooth", "limit, kinked", "slope", "mean")
    rows += [level_row(test, noise) for test in tests for noise in LOGNORMAL if (test, noise) != ("slope", "normal")]
    return "\n".join(rows)


def level_row(test: str, noise: str) -> str:
    """One line of the second table."""
    found = [level(test, noise, count) for count in MANY]
    held = [all(later <= FAIR * LEVEL for later in found[index:]) for index in range(len(MANY))]
    start = str(MANY[held.index(True)]) if True in held else f"> {MANY[-1]}"
    return f"| {test} | {noise} | {' | '.join(f'{100 * value:.1f} %' for value in found)} | {start} |"


def filled(text: str) -> str:
    """The page with its tables renewed."""
    for name, make in {"coverage": coverages, "levels": levels}.items():
        text = fill(text, name, make())
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
