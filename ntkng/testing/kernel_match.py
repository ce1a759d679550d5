r"""Kernels of finite networks against those of infinite width, Gram by Gram.

The expectation of an empirical Gram over random networks approaches the infinite-width one like `1/M`. Measured per network
is the relative error of every row, in the direction of the row itself,

    g_n = <G^(n, :), G(n, :)> / |G(n, :)|^2 - 1,

for `Theta_l`, `A_{l-1}` and `B_l` of every layer, on (train, train) and (test, train), averaged over the outputs; and with
several outputs the same for the blocks between different outputs, which must vanish (`G kron I_C`). Means are extrapolated to
infinite width and tested against 0, two-sided, Bonferroni over all rows. A Gram that is not random (the first layer's inputs)
is compared to rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from ntkng.arguments import require_type
from ntkng.kernels import Gram, Kernels
from ntkng.origin import refuse_other_inputs
from ntkng.report import Claim, Report
from ntkng.statistics import Estimate
from ntkng.testing.causes import likely_cause
from ntkng.testing.decision import FALSE_ALARM, POWER, equality_claims
from ntkng.testing.failure import require
from ntkng.testing.fit import limit

EFFECT = 0.1
PARTS = ("theta", "inner", "backward")
ROUNDING = 1e-8  # of kernels computed by two float64 routes; ReLU kernels lose half the digits near equal inputs


def assert_kernels_match(
    measured: Mapping[int, Kernels] | Kernels,
    expected: Kernels,
    *,
    powers: tuple[float, ...] = (1.0,),
    false_alarm: float = FALSE_ALARM,
    effect: float | None = EFFECT,
    power: float = POWER,
    bound: float = ROUNDING,
) -> Report:
    """Assert that kernels are the expected ones, layer by layer.

    Args:
        measured: of finite networks, by width, each with a leading axis over networks (from
            `ntkng.testing.sample_kernels`): a statistical comparison; or one `Kernels` from another formula or program:
            compared to `bound`.
        expected: usually `ntkng.analytic(network, x, x_test)`.
        powers: of `1/M` in the expectation.
        false_alarm: chance that a correct theory fails, over all rows of all Grams together.
        effect: relative error of a row that a pass must have been able to see; `None` asks for nothing.
        power: with which it must be visible.
        bound: relative, for the comparison of two `Kernels`.

    Returns:
        The report, one claim a Gram: its worst row.

    Raises:
        AssertionError: with a table.
        TypeError: something else than kernels.
        ValueError: other layers, samples, outputs or inputs.
    """
    __tracebackhide__ = True
    if not isinstance(measured, Mapping):
        return require(equality_report(measured, expected, bound))
    return require(
        kernel_report(measured, expected, powers=powers, false_alarm=false_alarm, effect=effect, power=power)
    )


def kernel_report(
    measured: Mapping[int, Kernels],
    expected: Kernels,
    *,
    powers: tuple[float, ...] = (1.0,),
    false_alarm: float = FALSE_ALARM,
    effect: float | None = EFFECT,
    power: float = POWER,
) -> Report:
    """The claims behind `assert_kernels_match`, by width."""
    for kernels in measured.values():
        _check(kernels, expected)
    groups = {name: _rows(measured, name, gram, expected) for name, gram in _grams(expected)}
    found = {name: limit(samples, powers) for name, samples in groups.items()}
    family = sum(len(part.value) for part in found.values())
    claims = [
        _worst(name, part, expected, effect, family, false_alarm, power) for name, part in found.items()
    ]  # fmt: skip
    networks = {width: len(kernels.layers[0].theta.train) for width, kernels in measured.items()}
    return Report("finite kernels against infinite width, extrapolated", tuple(claims), {"networks": networks})


def equality_report(measured: Kernels, expected: Kernels, bound: float) -> Report:
    """Two kernels entry by entry, `max |G^ - G| / max |G|`."""
    _check(measured, expected)
    claims = []
    for name, gram in _grams(expected):
        other = _find(measured, name)
        value, ratio = np.inf, np.nan
        if other is not None and np.shape(other) == np.shape(gram):
            other = np.asarray(other)
            value = np.abs(other - gram).max() / np.abs(gram).max()
            ratio = float((other * gram).sum() / (gram * gram).sum())
        cause = (
            likely_cause(ratio, samples=expected.samples, outputs=expected.outputs) if np.isfinite(ratio) else "missing"
        )
        note = "" if value < bound else cause
        claims.append(Claim.below(name, value, bound, "largest difference over largest entry", note=note))
    return Report("kernels against kernels", tuple(claims))


def _check(measured: Kernels, expected: Kernels) -> None:
    for name, value in (("measured", measured), ("expected", expected)):
        require_type(f"{name} kernels", value, Kernels, "compute them with ntkng.analytic or ntkng.empirical")
    for name in ("x", "x_test"):
        got, wanted = (getattr(kernels.origin, name) for kernels in (measured, expected))
        refuse_other_inputs("measured kernels", name, got, wanted, "the expected ones")
    one, other = ((k.samples, k.outputs, len(k.layers)) for k in (measured, expected))
    if one != other:
        raise ValueError(
            f"kernels are for (N, C, L) = {one} and {other}; compare kernels of the same network and inputs"
        )


def _grams(kernels: Kernels) -> Iterator[tuple[str, Float[np.ndarray, "m n"]]]:
    """`("layer/theta/train", Gram)` for every Gram that the kernels hold."""
    for layer in kernels.layers:
        for part in PARTS:
            gram: Gram | None = getattr(layer, part)
            if gram is None or (part == "backward" and layer.is_output):
                continue
            for where in ("train", "cross"):
                value = getattr(gram, where)
                if value is not None:
                    yield f"{layer.name}/{part}/{where}", np.asarray(value, float)


def _find(kernels: Kernels, name: str) -> Float[np.ndarray, "*seeds m n"] | None:
    layer, part, where = name.rsplit("/", 2)
    gram = next((getattr(own, part) for own in kernels.layers if own.name == layer), None)
    value = None if gram is None else getattr(gram, where)
    return None if value is None else np.asarray(value, float)


def _rows(
    measured: Mapping[int, Kernels], name: str, gram: Float[np.ndarray, "m n"], expected: Kernels
) -> dict[int, Float[np.ndarray, "S Q"]]:
    squares = (gram**2).sum(axis=1)
    samples = {}
    for width, kernels in measured.items():
        found = _find(kernels, name)
        if found is None:
            raise ValueError(f"the measured kernels have no {name}; ask for the same inputs and factors")
        blocks = found.reshape(len(found), gram.shape[0], found.shape[1] // gram.shape[0], gram.shape[1], -1)
        outputs = blocks.shape[2]
        equal = np.einsum("smcnc,mn->sm", blocks, gram) / (outputs * squares) - 1
        parts = [equal]
        if outputs > 1:
            total = np.einsum("smcnd,mn->sm", blocks, gram)
            parts.append(total / (outputs * squares) - 1 - equal)
        samples[width] = np.concatenate(parts, axis=1)
    return samples


def _worst(name, found, expected, effect, family, false_alarm, power) -> Claim:
    """The row with the smallest p-value speaks for its Gram."""
    index = int(np.argmin(found.p_values()))
    worst = Estimate(*(array[[index]] for array in dataclasses.astuple(found)))
    value = float(worst.value[0])
    note = likely_cause(1 + value, samples=expected.samples, outputs=expected.outputs, depth=len(expected.layers))
    statement = f"relative error of the worst of {len(found.value)} rows, limit of infinite width"
    return equality_claims(
        [name], worst, [statement], effect=effect, family=family, false_alarm=false_alarm, power=power, notes=[note]
    )[0]
