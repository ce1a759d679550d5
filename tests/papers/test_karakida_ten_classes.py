"""The ten-class figure: its claims hold, and fail under theories that are wrong by a little."""

import numpy as np
import pytest

from analyses import karakida_ten_classes as analysis
from analyses.karakida_theory import RIGHT, WRONG
from ntkng.fisher import BlockDiagonal, Exact

WIDTH = 768
SCALE = np.sqrt(2048 / WIDTH)


@pytest.mark.slow
def test_ten_class_claims_have_power():
    def failures(theory):
        one = analysis.run(BlockDiagonal(), WIDTH, 1, 0, theory)
        return {claim.name.split("/")[1] for claim in analysis.make_claims("BlockDiagonal", one, SCALE) if not claim}

    assert not failures(RIGHT)
    assert failures(WRONG["alpha off by 5 %"]) >= {"factor"}
    assert failures(WRONG["first layer dropped"]) >= {"train", "factor"}


@pytest.mark.slow
def test_isotropy_of_ten_outputs_has_power():
    def failures(theory):
        claims = analysis.isotropy_claims((Exact(), BlockDiagonal()), 600, 0, theory)
        return {claim.name for claim in claims if not claim}

    assert not failures(RIGHT)
    assert failures(WRONG["alpha off by 5 %"]) >= {"Exact/spectrum", "BlockDiagonal/spectrum", "Exact/small step/train"}
    assert failures(WRONG["first layer dropped"]) == {"BlockDiagonal/spectrum", "Exact/small step/test"}
