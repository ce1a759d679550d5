"""What a wrong ratio suggests: the usual mistakes and the factors that they leave behind."""

from __future__ import annotations

import math

CLOSE = 0.02  # relative distance within which a ratio is taken for a candidate
SAME = 1e-9  # mistakes whose factors coincide, such as N L / (N (L - 1) + 1) and (L + 1) / L at N = 4, L = 3, are all named


def likely_cause(ratio: float, *, samples: int = 1, outputs: int = 1, depth: int = 0) -> str:
    """The mistake, or mistakes, whose factor is nearest to `ratio` = measured / expected; empty where none fits.

    Args:
        ratio: measured over expected `alpha`, kernel, or change of the function.
        samples: N.
        outputs: C.
        depth: L.
    """
    if not math.isfinite(ratio):
        return "not finite: a singular system, or a step size that diverges"
    candidates = [
        (-1.0, "the sign of the step"),
        (0.0, "nothing moves"),
        (2.0, "a factor 2: something is counted twice"),
    ]
    candidates += [(0.5, "a factor 1/2: a mean of two, or a derivative at half scale")]
    if samples > 1:
        candidates += [
            (float(samples), f"a factor N = {samples}: 1/N is missing"),
            (1 / samples, f"a factor 1/N, N = {samples}: 1/N twice"),
        ]
    if outputs > 1:
        candidates += [
            (float(outputs), f"a factor C = {outputs}: outputs summed"),
            (1 / outputs, f"a factor 1/C, C = {outputs}: outputs averaged"),
        ]
    if depth > 1:
        candidates += [
            ((depth - 1) / depth, f"one of L = {depth} layers is missing"),
            ((depth + 1) / depth, "one layer is counted twice"),
        ]
        if samples > 1:
            paper = samples * depth / (samples * (depth - 1) + 1)
            candidates += [(paper, "the factor of the last layer: N L in place of N (L - 1) + 1")]
            candidates += [(1 / paper, "the factor of the last layer: N (L - 1) + 1 in place of N L")]
    value, _ = min(candidates, key=lambda candidate: abs(candidate[0] - ratio))
    if abs(value - ratio) <= CLOSE * max(1.0, abs(value)):
        return ", or ".join(cause for other, cause in candidates if abs(other - value) < SAME)
    return f"off by {100 * (ratio - 1):+.2g} %" if 0.5 < ratio < 2 else ""
