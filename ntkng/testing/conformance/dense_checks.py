"""Checks of a Fisher approximation against the dense oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkng.fisher import Fisher
from ntkng.layers import pullback
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.testing.causes import likely_cause
from ntkng.testing.conformance.cases import Case, dampings, error
from ntkng.testing.conformance.oracle import flatten, oracle, oracle_at, unflatten
from ntkng.trajectory import Trajectory

BOUND = 1e-8  # solves with condition numbers of up to 1e5, squared by the normal equations of the dense side
TRAINING_STEPS = 3


def dense_kernel(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """`K` and `K'` in function space are `(1/N) J (G + rho I)^{-1} J^T` with the dense curvature matrix `G`."""
    claims = []
    for case in cases:
        truth = oracle(case)
        for own in dampings(fisher):
            train, cross = truth.kernel(own)
            kernel = own.kernel(case.finite(own))
            for name, value, expected in (("K", kernel.train, train), ("K'", kernel.cross, cross)):
                claims.append(_claim(f"{name}, {_at(case, own)}", value, expected, case))
    return Report("kernel against the dense oracle", tuple(claims))


def dense_step(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """The parameter step is `(G + rho I)^{-1} J^T r / N`."""
    claims = []
    for case in cases:
        truth = oracle(case)
        for own in dampings(fisher):
            claims.append(_claim(f"step, {_at(case, own)}", step(case, own), truth.step(own), case))
    return Report("parameter step against the dense oracle", tuple(claims))


def step_moves_function(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """The two sides belong together: `J step = K r` and `J' step = K' r`, whatever the curvature matrix is."""
    claims = []
    for case in cases:
        truth = oracle(case)
        for own in dampings(fisher):
            moved, kernel = step(case, own), own.kernel(case.finite(own))
            sides = (("K r", truth.jacobian, kernel.train), ("K' r", np.concatenate(truth.test, axis=1), kernel.cross))
            for name, jacobian, gram in sides:
                claims.append(_claim(f"{name}, {_at(case, own)}", jacobian @ moved, gram @ truth.residual, case))
    return Report("parameter step moves the function as the kernel says", tuple(claims))


def dense_training(fisher: Fisher, cases: tuple[Case, ...], train: Callable[..., Trajectory] = simulate) -> Report:
    """`train` is the dense algorithm, step by step: curvature and Jacobians are renewed at every step."""
    claims = []
    for case in cases:
        for own in dampings(fisher):
            kernel = own.kernel(case.finite(own))
            eta = 0.3 / float(np.abs(np.asarray(kernel.eigenvalues())).max())
            run = train(case.problem, own, step_size=eta, steps=TRAINING_STEPS, parameters=case.parameters)
            dense, dense_test = train_densely(case, own, eta)
            for name, value, expected in (("f(x)", run.train, dense), ("f(x')", run.test, dense_test)):
                moved = np.asarray(value)[0] - expected[0], expected - expected[0]
                claims.append(_claim(f"{name}, {_at(case, own)}", moved[0], moved[1], case, 100 * BOUND))
    return Report(f"{TRAINING_STEPS} steps of training against the dense oracle", tuple(claims))


def train_densely(case: Case, fisher: Fisher, step_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Functions on train and test inputs, `[T, N, C]` and `[T, M, C]`, by dense steps."""
    parameters, functions = case.parameters, []
    for index in range(TRAINING_STEPS + 1):
        with jax.enable_x64(True):
            functions.append([np.asarray(case.network.apply(parameters, jnp.asarray(x))) for x in _inputs(case)])
        if index < TRAINING_STEPS:
            vector = flatten(case.network, parameters) - step_size * oracle_at(case, parameters).step(fisher)
            parameters = unflatten(case.network, parameters, vector)
    return tuple(np.stack(path) for path in zip(*functions, strict=True))  # type: ignore[return-value]


def step(case: Case, fisher: Fisher) -> np.ndarray:
    """The engine's parameter step `(G + rho I)^{-1} J^T r / N` as one vector."""
    with jax.enable_x64(True):
        parameters = jax.tree.map(jnp.asarray, case.parameters)
        outputs, records = case.network.linearise(parameters, jnp.asarray(case.problem.x))
        cotangents = fisher.cotangents(case.finite(fisher), records, outputs - case.problem.y)
        parts = [pullback(record, d) for record, d in zip(records, cotangents, strict=True)]
        return flatten(case.network, case.network.join(parts))


def _inputs(case: Case) -> tuple[np.ndarray, np.ndarray]:
    assert case.problem.x_test is not None
    return case.problem.x, case.problem.x_test


def _at(case: Case, fisher: Fisher) -> str:
    return f"damping {fisher.damping:g}, {case}"


def _claim(name: str, value: Any, expected: Any, case: Case, bound: float = BOUND) -> Claim:
    found = error(value, expected)
    note = ""
    if not found < bound:
        ratio = np.nan
        if np.shape(value) == expected.shape:
            ratio = float((np.asarray(value) * expected).sum() / (expected**2).sum())
        note = (
            likely_cause(ratio, samples=case.samples, outputs=case.outputs, depth=case.depth)
            if np.isfinite(ratio)
            else (
                f"shape {np.shape(value)}, expected {expected.shape}"
                if np.shape(value) != expected.shape
                else "not finite"
            )
        )
    return Claim.below(name, found, bound, "largest difference over largest entry", note=note)
