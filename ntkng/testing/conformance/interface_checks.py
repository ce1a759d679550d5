"""Checks of what every Fisher approximation must be as an object, and of symmetries that any curvature matrix has."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from ntkng.fisher import Fisher
from ntkng.kernels import Gram, Kernels
from ntkng.report import Claim, Report
from ntkng.testing.conformance.cases import Case, dampings, error, identity_blocks, with_damping
from ntkng.testing.conformance.oracle import oracle

BOUND = 1e-9


def interface(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """A frozen dataclass and a pytree; a negative damping is refused; kernels have the right shapes."""
    del cases
    leaves, tree = jax.tree.flatten(fisher)
    rebuilt = jax.tree.unflatten(tree, leaves)
    frozen = dataclasses.is_dataclass(fisher) and type(fisher).__dataclass_params__.frozen  # type: ignore[attr-defined]
    try:
        with_damping(fisher, -1.0)
        refused = False
    except ValueError:
        refused = True
    return Report(
        "interface",
        (
            Claim.holds("subclass", isinstance(fisher, Fisher), "derives from ntkng.Fisher"),
            Claim.holds(
                "frozen", frozen, "is a frozen dataclass", note="decorate it: @dataclasses.dataclass(frozen=True)"
            ),
            Claim.holds("pytree", rebuilt == fisher, "survives jax.tree.flatten and unflatten"),
            Claim.holds("negative damping", refused, "refuses a negative damping with ValueError"),
        ),
    )


def symmetric_positive(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """`K` is symmetric, and positive semi-definite where the dense curvature matrix is."""
    claims = []
    for case in cases:
        truth = oracle(case)
        for own in dampings(fisher):
            train = np.asarray(own.kernel(case.finite(own)).train)
            name = f"damping {own.damping:g}, {case}"
            claims.append(Claim.below(f"K = K^T, {name}", error(train, train.T), BOUND, "asymmetry over largest entry"))
            matrix = own.dense(truth.layers, case.samples)
            if np.linalg.eigvalsh(matrix)[0] < -BOUND * np.abs(matrix).max():
                continue  # an indefinite curvature matrix promises nothing
            values = np.linalg.eigvalsh((train + train.T) / 2)
            smallest = float(values[0] / np.abs(values).max())
            claims.append(Claim.above(f"K >= 0, {name}", smallest, -BOUND, "smallest over largest eigenvalue"))
    return Report("symmetry and definiteness", tuple(claims))


def sample_order(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """Training inputs in another order give the same kernel in that order."""
    claims = []
    for case in cases[:2]:
        for own in dampings(fisher):
            kernels = case.finite(own)
            order = np.roll(np.arange(case.samples), 1)
            rows = (order[:, None] * case.outputs + np.arange(case.outputs)).ravel()
            here, there = own.kernel(kernels), own.kernel(_permuted(kernels, order, case.outputs))
            cross = np.asarray(here.cross)[:, rows]
            pairs = (("K", here.train[np.ix_(rows, rows)], there.train), ("K'", cross, there.cross))
            for name, expected, value in pairs:
                name = f"{name}, damping {own.damping:g}, {case}"
                claims.append(Claim.below(name, error(value, expected), BOUND, "difference over largest entry"))
    return Report("order of the samples", tuple(claims))


def independent_outputs(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """Grams `G kron I_C` written out give `K kron I_C`: nothing forgets or repeats the outputs."""
    claims = []
    if fisher.unit_sampling() is not None:  # sampled units are not Grams
        return Report("independent outputs", (Claim.holds("not applicable", True, "needs units, which are not Grams"),))
    for case in [case if case.outputs > 1 else dataclasses.replace(case, outputs=2) for case in cases[:2]]:
        for own in dampings(fisher):
            kernels = case.infinite(own)
            short, full = own.kernel(kernels), own.kernel(_expanded(kernels))
            for name, expected, value in (("K", short.train, full.train), ("K'", short.cross, full.cross)):
                name = f"{name}, damping {own.damping:g}, {case}"
                found = error(value, identity_blocks(np.asarray(expected), case.outputs))
                note = "" if found < BOUND else "the kron with 1_{C x C} of the input Gram, or a trace over outputs"
                claims.append(Claim.below(name, found, BOUND, "difference over largest entry", note=note))
    return Report("independent outputs", tuple(claims))


def compiled(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """`jax.jit` of the kernel gives the same, with the damping as an argument."""
    claims = []
    case = cases[0]
    for own in dampings(fisher):
        kernels = case.finite(own)
        with jax.enable_x64(True):
            eager, fused = own.kernel(kernels), jax.jit(lambda own, kernels: own.kernel(kernels))(own, kernels)
        found = error(fused.train, eager.train)
        claims.append(Claim.below(f"K, damping {own.damping:g}", found, BOUND, "difference over largest entry"))
    return Report("compilation", tuple(claims))


def _permuted(kernels: Kernels, order: np.ndarray, outputs: int) -> Kernels:
    """The kernels of the training inputs in another order."""

    def move(gram: Gram | None) -> Gram | None:
        if gram is None:
            return None
        size = len(gram.train) // len(order)
        rows = (order[:, None] * size + np.arange(size)).ravel()
        return Gram(gram.train[np.ix_(rows, rows)], None if gram.cross is None else gram.cross[:, rows])

    layers = []
    for layer in kernels.layers:
        units = layer.units
        if units is not None:
            units = dataclasses.replace(units, train=units.train[:, order])
        grams = {part: move(getattr(layer, part)) for part in ("theta", "inner", "backward")}
        layers.append(dataclasses.replace(layer, **grams, units=units))
    return dataclasses.replace(kernels, layers=tuple(layers))


def _expanded(kernels: Kernels) -> Kernels:
    """Infinite-width kernels with `kron I_C` carried out; the input Grams have no outputs."""

    def expand(gram: Gram | None) -> Gram | None:
        return None if gram is None else gram.map(lambda part: identity_blocks(part, kernels.outputs))

    layers = tuple(
        dataclasses.replace(layer, theta=expand(layer.theta), backward=expand(layer.backward))
        for layer in kernels.layers
    )
    return dataclasses.replace(kernels, layers=layers)
