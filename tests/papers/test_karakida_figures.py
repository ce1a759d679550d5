"""The dynamics figure: its claims hold, and fail under theories that are wrong by a little."""

import matplotlib
import numpy as np
import pytest

from analyses import karakida_dynamics
from analyses.karakida_theory import RIGHT, WRONG, Theory
from ntkng.fisher import KFAC, BlockDiagonal, BlockTriDiagonal, Exact, GradientDescent
from paper_repro.registry import paper

matplotlib.use("Agg")
WIDTH, SEEDS = 512, 6
SCALE = np.sqrt(karakida_dynamics.WIDTH / WIDTH)
LOST_SAMPLES = Theory(scale=karakida_dynamics.SAMPLES["synthetic"])  # Theta instead of Theta / N


def failed(fisher, theory, multiple="1/(2 alpha)"):
    one = karakida_dynamics.run("synthetic", fisher, multiple, WIDTH, SEEDS, 0, theory)
    claims = [*karakida_dynamics._comparison(one, SCALE)]
    if fisher.name != "GradientDescent":
        claims.append(karakida_dynamics._decay(one, SCALE))
    return {claim.name.rsplit("/", 1)[-1] for claim in claims if not claim}


@pytest.mark.parametrize("fisher", [Exact(), BlockDiagonal(), BlockTriDiagonal(), KFAC()], ids=lambda f: f.name)
def test_dynamics_claims_have_power(fisher):
    assert not failed(fisher, RIGHT)
    assert not failed(fisher, RIGHT, "1/alpha")
    assert failed(fisher, WRONG["alpha off by 5 %"]) & {"factor", "rate"}
    assert failed(fisher, LOST_SAMPLES) >= {"train", "factor"}
    lost_layer = failed(fisher, WRONG["first layer dropped"])
    # without the first of three layers both couple all layers: K = I as before, only the test function is wrong
    assert "train" in lost_layer or fisher in (Exact(), BlockTriDiagonal())


def test_gradient_descent_needs_the_number_of_samples_and_all_layers():
    assert not failed(GradientDescent(), RIGHT)
    assert failed(GradientDescent(), LOST_SAMPLES) >= {"train", "test"}
    assert failed(GradientDescent(), WRONG["first layer dropped"]) >= {"train", "factor"}


def test_every_figure_of_the_paper_is_registered():
    keys = [spec.key for spec in paper("karakida-osawa-2020").figures]
    assert keys[:5] == ["dynamics", "step_size", "width", "isotropy", "depth"]
    assert len(set(keys)) == len(keys)
