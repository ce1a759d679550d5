"""K-FAC with low input dimension: the claims hold, and fail under theories that are wrong by a little."""

import pytest

from analyses import karakida_forster as forster
from analyses.karakida_theory import RIGHT, Theory, comparison_claims, hold

WIDTH, SEEDS = 1024, 6
WRONG = [Theory(scale=0.95), Theory(scale=1.05), Theory(dropped=0), Theory(dropped=1)]


def failed(claims):
    return {claim.name.split("/")[-1] for claim in claims if not claim}


@pytest.mark.parametrize("name", forster.INPUTS)
def test_training(name):
    path = forster.train(name, WIDTH, SEEDS, 0)
    setting = forster.problem(forster.inputs(0)[1][name], WIDTH)

    def claims(theory):
        held = hold(setting, forster.FISHER, forster.layer_kernels(name, 0), path, theory)
        return comparison_claims("run", held, bound=1.42 * forster.BOUND, test_bound=1.42 * forster.TEST_BOUND,
                                 factor=forster.FACTOR, source="")  # fmt: skip

    assert not failed(claims(RIGHT))
    for wrong in WRONG:
        assert "factor" in failed(claims(wrong))


def test_spectrum():
    dimension = forster.inputs(0)[0].dimension

    def claims(theory):
        spectra = {name: forster.spectrum(forster.layer_kernels(name, 0), theory) for name in forster.INPUTS}
        predicted = forster.FISHER.predicted_alpha(theory.kernels(forster.layer_kernels("Forster", 0)))
        yield from forster.isotropy_claims(spectra, theory.scale * predicted, dimension)
        yield from forster.one_step_claims(spectra, dimension)

    assert not failed(claims(RIGHT))
    for wrong in (*WRONG, Theory(dropped=2), Theory(scale=1 + 1e-7)):
        assert {"alpha", "library", "one step"} <= failed(claims(wrong))


def test_position():
    """Inputs on the sphere instead of radial isotropic position do not pass."""
    transform, splits = forster.inputs(0)
    leverages = {name: forster.leverage(splits[name].x) for name in forster.INPUTS}
    assert not failed(forster.position_claims(transform, leverages, 0))
    swapped = {"Forster": leverages["sphere"], "sphere": leverages["Forster"]}
    assert failed(forster.position_claims(transform, swapped, 0)) == {"leverages", "sphere"}
