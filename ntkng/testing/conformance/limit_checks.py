"""Checks in limits where the answer is known: of the damping, of one sample, of a network that is linear."""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkng.closed_form import closed_form
from ntkng.fisher import Fisher
from ntkng.report import Claim, Report, merge
from ntkng.simulate import simulate
from ntkng.testing.conformance.cases import Case, dampings, error, undamped, with_damping
from ntkng.testing.conformance.dense_checks import dense_kernel, dense_step
from ntkng.testing.isotropy import isotropy_report

LARGE = 1e8
SMALL = (1e-6, 1e-8)
LINEAR_STEPS = 4


def large_damping(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """`rho K -> Theta / N`: the damping is added to the Fisher matrix, once, and beside Grams it is `N rho`."""
    claims = []
    for case in cases[:2]:
        own = with_damping(fisher, LARGE)
        kernels = case.finite(own)
        scaled, theta = LARGE * np.asarray(own.kernel(kernels).train), np.asarray(kernels.theta.train) / case.samples
        ratio = float(np.trace(scaled) / np.trace(theta))
        note = f"rho K is {ratio:.4g} times Theta / N" + (": rho stands where N rho belongs" if ratio > 1.5 else "")
        # factors damped by sqrt(rho) approach the limit like 1 / sqrt(rho)
        claims.append(
            Claim.below(str(case), error(scaled, theta), 1e-2, "|rho K - Theta / N| over largest entry", note=note)
        )
    return Report("limit of large damping", tuple(claims))


def small_damping(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """`K` at damping `rho` approaches the undamped `K` as `rho` vanishes, at least like `sqrt(rho)`."""
    bare = undamped(fisher)
    if bare is None:
        return Report("limit of small damping", (Claim.holds("not applicable", True, "exists with damping only"),))
    claims = []
    for case in cases[:2]:
        kernels = case.finite(bare)
        truth = bare.kernel(kernels).train
        far, near = (error(with_damping(fisher, rho).kernel(kernels).train, truth) for rho in SMALL)
        # the smaller damping is 100 times nearer, or 10 times where the factors are damped by sqrt(rho)
        statement = f"distance at rho = {SMALL[1]:g}, at most a fifth of that at {SMALL[0]:g} (or rounding)"
        claims.append(Claim.below(str(case), near, max(far / 5, 1e-6) if far < 0.5 else 0.0, statement))
    return Report("limit of small damping", tuple(claims))


def single_sample(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """One training input: the dense oracle at N = 1, where a misplaced `1/N` is invisible and a wrong shape is not."""
    single = tuple(dataclasses.replace(case, samples=1) for case in cases[:2])
    parts = {"kernel": dense_kernel(fisher, single), "step": dense_step(fisher, single)}
    return merge("one sample", [report.prefixed(name) for name, report in parts.items()])


def linear_network(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """One dense layer is linear in its parameters: simulation and infinite-width closed form agree at any width."""
    claims = []
    for outputs in (1, 2):
        case = dataclasses.replace(cases[0], depth=1, outputs=outputs)
        for own in dampings(fisher):
            kernels = case.infinite(own)
            eta = 0.5 / float(np.asarray(own.kernel(kernels).eigenvalues()).max())
            run = simulate(case.problem, own, 0, step_size=eta, steps=LINEAR_STEPS)
            start = np.asarray(run.train)[:, 0], np.asarray(run.test)[:, 0]
            predicted = closed_form(case.problem, own, kernels, step_size=eta, steps=LINEAR_STEPS, initial=start)
            for on in ("train", "test"):
                found = error(getattr(run, on), getattr(predicted, on))
                name = f"{on}, damping {own.damping:g}, C = {outputs}"
                claims.append(
                    Claim.below(name, found, 1e-9, f"difference over {LINEAR_STEPS} steps over largest entry")
                )
    return Report("network of one layer, simulation against closed form", tuple(claims))


def isotropic(fisher: Fisher, cases: tuple[Case, ...]) -> Report:
    """`K = alpha I` with the declared `predicted_alpha`, at both widths, if the class declares `isotropic`."""
    bare = undamped(fisher)
    title = "isotropy"
    if not fisher.isotropic:
        return Report(title, (Claim.holds("not applicable", True, "declares isotropic = False"),))
    if bare is None:
        return Report(title, (Claim.holds("not applicable", True, "exists with damping only"),))
    reports = []
    for case in cases:
        for kernels in (case.finite(bare), case.infinite(bare)):
            if bare.predicted_alpha(kernels) is None:
                note = "return alpha from predicted_alpha, or declare isotropic = False"
                reports.append(
                    Report("", (Claim.holds(f"predicts, {case}", False, "predicts alpha without damping", note=note),))
                )
            else:
                reports.append(isotropy_report(bare, kernels).prefixed(f"{kernels.source}, {case}"))
    return merge(title, reports)
