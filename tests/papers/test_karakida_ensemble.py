"""The ensemble figure: its claims hold, and fail under theories that are wrong by a little."""

import functools

import numpy as np
import pytest

from analyses import karakida_ensemble as analysis
from analyses.karakida_theory import RIGHT, WRONG
from ntkng.ensemble import ensemble
from ntkng.fisher import KFAC, BlockDiagonal, GradientDescent
from ntkng.trajectory import Trajectory

NETWORKS = 256


@functools.cache
def sample(fisher):
    """Draws from the right law itself, in the place of networks: what is tested here is the power of the scores."""
    setting, layers = analysis.problem(512), analysis.kernels(512)
    eta = analysis.CONTRACTION / float(fisher.kernel(layers).eigenvalues()[-1])
    law = ensemble(setting, fisher, layers, step_size=eta, steps=analysis.STEPS)
    rng, parts = np.random.default_rng(1), []
    for on in ("train", "test"):
        values, vectors = np.linalg.eigh(law.covariance(on)[-1])
        draws = rng.normal(size=(NETWORKS, len(values))) * np.sqrt(np.maximum(values, 0)) @ vectors.T
        parts.append((law.mean(on)[-1, :, 0] + draws)[:, None, :, None])
    return eta, Trajectory(times=law.times[-1:], train=parts[0], targets=setting.y, test=parts[1])


def failed(fisher, theory):
    eta, drawn = sample(fisher)
    layers = theory.kernels(analysis.kernels(512))
    law = ensemble(
        analysis.problem(512), fisher, layers, step_size=theory.scale * eta, steps=analysis.STEPS
    )  # fmt: skip
    claims = analysis.make_claims(fisher.name, analysis.score(drawn, law))
    return {claim.name.split("/", 1)[1] for claim in claims if not claim}


@pytest.mark.parametrize("fisher", [BlockDiagonal(), KFAC(), GradientDescent()], ids=lambda f: f.name)
def test_ensemble_claims_have_power(fisher):
    assert not failed(fisher, RIGHT)
    assert failed(fisher, WRONG["alpha off by 5 %"]) >= {"train/spread"}
    assert failed(fisher, WRONG["first layer dropped"]) & {"train/spread", "train/means", "train/covariances"}


@pytest.mark.slow
def test_networks_follow_the_law():
    """Two hundred small networks, at a width where their deviation is below the sampling error."""
    simulated, law = analysis.run(BlockDiagonal(), 128, 200, 0, RIGHT)
    claims = list(analysis.make_claims("BlockDiagonal", analysis.score(simulated, law)))
    assert not [claim.name for claim in claims if not claim]


def test_inputs_lie_on_a_sphere_and_are_independent():
    x = analysis.embed(analysis.POSITIONS)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), np.sqrt(x.shape[1]))
    assert np.linalg.cond(x @ x.T) < 100
