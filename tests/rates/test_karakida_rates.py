"""The figure of rates: its claims hold, and fail under theories that are wrong by a little."""

import numpy as np
import pytest

from analyses import karakida_rates as analysis
from analyses.karakida_theory import RIGHT, WRONG
from ntkng.fisher import KFAC, BlockDiagonal, Exact, UnitWise
from ntkng.trajectory import Trajectory

WIDTH, NETWORKS = 512, 10
SCALE = np.sqrt(1024 / WIDTH)


def failed(fisher, theory, contraction=0.5):
    one = analysis.rate(fisher, contraction, WIDTH, NETWORKS, 0, theory)
    return [claim.name for claim in analysis.make_claims([one], SCALE) if not claim]


@pytest.mark.slow
@pytest.mark.parametrize("fisher", [BlockDiagonal(), Exact(), KFAC(), UnitWise(1e-2)], ids=lambda f: f.name)
def test_rate_claims_have_power(fisher):
    for contraction in (0.5, 1.5):
        assert not failed(fisher, RIGHT, contraction)
        assert failed(fisher, WRONG["alpha off by 5 %"], contraction)
    if fisher.name != "Exact":  # without one layer its K is the identity still
        assert failed(fisher, WRONG["first layer dropped"])


@pytest.mark.slow
def test_descent_claims_have_power():
    def failures(theory):
        held = [analysis.descent(WIDTH, index, 0, theory) for index in range(NETWORKS)]
        modes = [row for index in range(NETWORKS) for row in analysis.mode_rows(WIDTH, index, 0, theory)]
        return [claim.name for claim in analysis.descent_claims(held, modes, SCALE) if not claim]

    assert not failures(RIGHT)
    assert failures(WRONG["alpha off by 5 %"])
    assert failures(WRONG["first layer dropped"])


@pytest.mark.parametrize("step", [0.3, 0.9, 1.4])
def test_effective_step_of_a_known_rate(step):
    """Exact for a geometric residual, of either sign."""
    residual = (1 - step) ** np.arange(9)[:, None, None] * np.random.default_rng(0).normal(size=(2, 1, 5, 1))
    path = Trajectory(times=np.arange(9.0), train=residual, targets=np.zeros((5, 1)))
    np.testing.assert_allclose(analysis.effective_step(path, step, 3), step, rtol=1e-12)
