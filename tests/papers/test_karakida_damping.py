"""Damped training: the claims hold, and fail under theories that are wrong by a little."""

import dataclasses

import numpy as np
import pytest

from analyses import karakida_damping as damping
from analyses import karakida_pi_rule, karakida_poles
from analyses.karakida_theory import RIGHT, Theory
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact
from ntkng.kernels import analytic

WIDTH, SEEDS = 1024, 10


def failed(claims):
    return {claim.name.split("/")[-1] for claim in claims if not claim}


@pytest.fixture(scope="module")
def setting():
    problem = damping.problem(WIDTH, 0)
    return problem, analytic(problem.network, problem.x, problem.x_test)


KINDS = [pytest.param(kind, marks=[] if kind is KFAC else [pytest.mark.slow]) for kind in damping.KAPPAS]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_training(setting, kind):
    for index, kappa in enumerate(damping.KAPPAS[kind]):
        path = damping.train(kind, kappa, *setting, SEEDS, 0)

        def broken(theory, kappa=kappa, path=path):
            run = damping.hold_case(kind, kappa, *setting, path, theory)
            return failed(damping.training_claims([run], np.sqrt(2048 / WIDTH)))

        assert not broken(RIGHT)
        assert "factor" in broken(Theory(scale=0.95))
        assert "factor" in broken(Theory(scale=1.05))
        for layer in range(
            damping.DEPTH if index == 2 else 0
        ):  # little damping: the exact Fisher is I whatever the layers
            assert broken(Theory(dropped=layer)) & {"train", "test", "factor"}
        if index > 0:
            assert broken(Theory(has_samples=False)) & {"train", "test", "factor"}


def test_poles():
    spectra, example = karakida_poles.spectrum(0), karakida_poles.diverging(0)
    assert not failed(karakida_poles.claims(spectra, example))
    shifted = [{**row, "verdict": "converges"} for row in spectra]  # an analysis that passes over poles
    assert "rho = 0.001" in failed(karakida_poles.claims(shifted, example))
    silent = dataclasses.replace(example.predicted, stability=None)
    names = failed(karakida_poles.claims(spectra, dataclasses.replace(example, predicted=silent)))
    assert names == {"comparison", "spectral radius"}
    small, large = min(karakida_poles.DAMPINGS), max(karakida_poles.DAMPINGS)
    rows = [row for row in spectra if small <= row["rho"] <= large]
    for kind in (Exact, BlockDiagonal, BlockTriDiagonal):
        verdicts = {row["verdict"] for row in rows if row["fisher"] == kind.__name__}
        assert ("ill-posed" in verdicts) == (kind is BlockTriDiagonal)


@pytest.mark.slow
def test_pi_rule():
    rows = karakida_pi_rule.rows(lambda width: damping.problem(width, 0), (64, 256, 1024), 8, 0)
    assert not failed(karakida_pi_rule.claims(rows))
    for power, name in (
        (0.5, "layer 1"),
        (-0.5, "layer 3"),
        (0.25, "layer 2"),
    ):  # a rule without the size of one factor
        wrong = [{**row, "pi": row["pi"] * row["width"] ** power, "limit": row["limit"] * row["width"] ** power}
                 for row in rows]  # fmt: skip
        assert name in failed(karakida_pi_rule.claims(wrong))
    off = [{**row, "limit": 1.2 * row["limit"]} for row in rows]
    assert {"error", "error falls"} <= failed(karakida_pi_rule.claims(off))
