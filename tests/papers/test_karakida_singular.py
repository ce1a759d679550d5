"""Tri-diagonal pattern at depths 3s + 2: the claims hold, and fail under theories that are wrong by a little."""

import numpy as np
import pytest

from analyses import karakida_singular as singular
from analyses.karakida_theory import RIGHT, Theory, comparison_claims

WIDTH, SEEDS = 512, 10


@pytest.fixture(scope="module")
def paths():
    return {depth: singular.train(depth, WIDTH, SEEDS, 0) for depth in singular.SINGULAR}


def failed(claims):
    return {claim.name.split("/")[-1] for claim in claims if not claim}


def training(depth, path, theory):
    held, scale = singular.hold_case(depth, WIDTH, path, 0, theory), np.sqrt(2048 / WIDTH)
    bounds = {
        "bound": scale * singular.BOUND,
        "test_bound": scale * singular.TEST_BOUND,
        "factor": scale * singular.FACTOR,
    }
    yield from comparison_claims("run", held, **bounds, source="")
    yield from singular.moved_claims(depth, WIDTH, path, 0, theory)


@pytest.mark.parametrize("depth", singular.SINGULAR)
def test_training(paths, depth):
    assert not failed(training(depth, paths[depth], RIGHT))
    for scale in (0.95, 1.05):
        assert "factor" in failed(training(depth, paths[depth], Theory(scale=scale)))
    for layer in range(depth):
        assert "parameters" in failed(training(depth, paths[depth], Theory(dropped=layer)))


def test_isotropy():
    for depth in (2, 4, 5):
        assert not failed(singular.isotropy_claims(list(singular.isotropy(depth, 0, RIGHT))))
        for scale in (1 - 1e-5, 1.05):
            assert "alpha" in failed(singular.isotropy_claims(list(singular.isotropy(depth, 0, Theory(scale=scale)))))
    assert "alpha" in failed(singular.isotropy_claims(list(singular.isotropy(4, 0, Theory(dropped=0)))))


def test_limit():
    rows = [row for depth in singular.SINGULAR for row in singular.limit(depth, 0)]
    assert not failed(singular.limit_claims(rows))
    wrong = [{**row, "distance": row["distance"] + 1e-5} for row in rows]  # a limit that is slightly off
    assert failed(singular.limit_claims(wrong)) == {"limit of K", "limit of K'"}
