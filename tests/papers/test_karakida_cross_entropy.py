"""The cross-entropy figure: its claims hold, and fail under theories that are wrong by a little."""

import functools

import numpy as np
import pytest

from analyses import karakida_cross_entropy as analysis
from analyses.karakida_theory import RIGHT, WRONG
from ntkng.fisher import KFAC, BlockDiagonal, Exact

WIDTH, COUNTS, SEEDS = 1024, (32, 64), 8
SCALE = np.sqrt(2048 / WIDTH)


def failed(claims):
    return {claim.name.rsplit("/", 1)[-1] for claim in claims if not claim}


def flow_failures(fisher, theory):
    flows = {count: analysis.flow(fisher, count, WIDTH, SEEDS, 0, theory) for count in COUNTS}
    return failed(analysis.flow_claims(fisher.name, flows, analysis.slope(flows), SCALE))


def step_failures(fisher, theory):
    return failed(analysis.step_claims({fisher.name: analysis.steps(fisher, WIDTH, SEEDS, 0, theory)}, SCALE))


@pytest.mark.slow
@pytest.mark.parametrize("fisher", [BlockDiagonal(), KFAC()], ids=lambda fisher: fisher.name)
def test_flow_claims_have_power(fisher):
    failures = functools.partial(flow_failures, fisher)
    assert not failures(RIGHT)
    assert failures(WRONG["alpha off by 5 %"]) >= {"factor", "law"}
    assert failures(WRONG["first layer dropped"]) >= {"train", "factor", "law"}


@pytest.mark.slow
def test_step_claims_have_power():
    failures = functools.partial(step_failures, BlockDiagonal())
    assert not failures(RIGHT)
    assert failures(WRONG["alpha off by 5 %"]) >= {"factor"}
    assert failures(WRONG["first layer dropped"]) >= {"train", "factor"}
    damped = functools.partial(step_failures, analysis.stepped((), 0)["Exact, damped"])
    assert not damped(RIGHT)
    assert all(damped(theory) for theory in WRONG.values())


def test_isotropy_claims_have_power():
    def failures(theory):
        return {claim.name for claim in analysis.isotropy_claims(0, theory) if not claim}

    assert not failures(RIGHT)
    every = {f"{loss}/{fisher.name}/alpha" for loss in analysis.CLASSES for fisher in analysis.FISHERS}
    assert failures(WRONG["alpha off by 5 %"]) >= every
    # without one layer the exact Fisher is still isotropic with alpha = 1; the others count layers
    coupled = {f"{loss}/{name}/alpha" for loss in analysis.CLASSES for name in ("Exact", "BlockTriDiagonal")}
    assert failures(WRONG["first layer dropped"]) >= every - coupled


def test_own_kernel_claims_have_power():
    """Here a dropped layer shows for the exact Fisher too: its `K` stays the identity, its `K'` does not."""

    def failures(theory):
        return {claim.name for claim in analysis.own_kernel_claims((Exact(),), 0, theory) if not claim}

    assert not failures(RIGHT)
    both = {f"softmax/Exact/small step/{on}" for on in ("train", "test")}
    damped = {f"softmax/Exact, damped/small step/{on}" for on in ("train", "test")}
    assert failures(WRONG["alpha off by 5 %"]) == both | damped
    assert failures(WRONG["rho in place of N rho"]) == damped
    assert failures(WRONG["first layer dropped"]) >= {"softmax/Exact/small step/test"} | damped
