r"""Checks of training against the closed form.

At a finite width a network leaves its linearisation by an amount that is proportional to how far it has to go: with targets
`y = f_0 - s d` the relative deviation of `f_t` from the closed form *of the network's own kernels* is `O(s)`, at any width.
`(10 E(s/10) - E(s)) / 9` removes the linear term. What is left is `O(s^2)` and rounding, so the comparison is sharp, with
nothing random in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkng.closed_form import closed_form
from ntkng.fisher import Fisher
from ntkng.problem import Problem
from ntkng.report import Claim, Report
from ntkng.simulate import simulate
from ntkng.testing.causes import likely_cause
from ntkng.testing.conformance.cases import Case, dampings
from ntkng.testing.decision import FALSE_ALARM
from ntkng.testing.trajectories import SMOOTH, trajectory_report
from ntkng.testing.width_sweep import SEEDS, width_sweep
from ntkng.trajectory import Trajectory

SCALE = 1e-4
STEPS = 3
BOUND = 1e-5
MORE = 6


def small_residual(fisher: Fisher, cases: tuple[Case, ...], predict: Callable[..., Trajectory] = closed_form) -> Report:
    """Training over a vanishing distance follows the closed form `predict` of the network's own kernels."""
    claims = []
    for case in cases:
        for own in dampings(fisher):
            kernels = case.finite(own)
            values = np.abs(np.asarray(own.kernel(kernels).eigenvalues()))
            eta = 0.5 / float(values.max())
            coarse, fine = (_deviation(case, own, kernels, eta, scale, predict) for scale in (SCALE, SCALE / 10))
            for on in ("train", "test"):
                (error, change), (finer, _) = coarse[on], fine[on]
                rest = (10 * finer - error) / 9
                size = float(np.linalg.norm(change))
                value = float(np.linalg.norm(rest)) / size if size > 0 else float("inf")
                ratio = 1 + float((rest * change).sum()) / size**2 if size > 0 else float("nan")
                note = (
                    ""
                    if value < BOUND
                    else likely_cause(ratio, samples=case.samples, outputs=case.outputs, depth=case.depth)
                )
                name = f"{on}, damping {own.damping:g}, {case}"
                claims.append(Claim.below(name, value, BOUND, "|f - closed form| over the predicted change", note=note))
    return Report("training over a vanishing distance against the closed form", tuple(claims))


def _deviation(
    case: Case, fisher: Fisher, kernels, eta: float, scale: float, predict: Callable[..., Trajectory]
) -> dict[str, tuple[Float, Float]]:
    """`(f - p, p - p_0)` on both input sets, in units of the distance."""
    problem = case.problem
    with jax.enable_x64(True):
        start = np.asarray(case.network.apply(case.parameters, jnp.asarray(problem.x)))
    moved = Problem(problem.network, problem.x, start + scale * problem.y, problem.x_test, problem.y_test)
    run = simulate(moved, fisher, step_size=eta, steps=STEPS, parameters=case.parameters)
    initial = np.asarray(run.train)[0, 0], np.asarray(run.test)[0, 0]
    predicted = predict(moved, fisher, kernels, step_size=eta, steps=STEPS, initial=initial)
    found = {}
    for on in ("train", "test"):
        f, p = np.asarray(getattr(run, on))[0], np.asarray(getattr(predicted, on))
        found[on] = ((f - p) / scale, (p - p[:1]) / scale)
    return found


def infinite_width(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """Slow: finite networks of growing width approach the infinite-width closed form; a statistical test.

    Where the usual number of networks cannot see the wanted effect (gradient descent, whose change is unlike along different
    eigenvectors), fresh ones decide, `MORE` times as many. Either test has half of the false-alarm rate.
    """
    case = dataclasses.replace(cases[0], depth=3, outputs=2, activation="erf")

    def problem(width: int) -> Problem:
        return dataclasses.replace(case, width=width).problem

    def test(seeds: int, key: int) -> Report:
        sweep = width_sweep(problem, dampings(fisher)[0], seeds=seeds, key=key)
        # two test inputs only: the test set asks for no effect
        return trajectory_report(
            sweep.simulated, sweep.predicted, powers=SMOOTH, test_effect=None, false_alarm=FALSE_ALARM / 2
        )

    report = test(SEEDS, 0)
    if any(claim.verdict == "undecided" for claim in report.claims):
        report = test(MORE * SEEDS, 1)
    return report
