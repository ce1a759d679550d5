"""The laziness figure: its claims hold, and fail under theories that are wrong by a little."""

import pandas as pd
import pytest

from analyses import karakida_laziness as analysis
from analyses.karakida_theory import RIGHT, WRONG
from ntkng.fisher import FISHERS

WIDTHS, NETWORKS = (256, 1024), 4


def table(fisher, theory):
    rows = [
        {"fisher": fisher, "width": width, "network": network, **row}
        for width in WIDTHS for network in range(NETWORKS)
        for row in analysis.movements(fisher, width, network, 0, theory)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def failed(fisher, theory):
    claims = analysis.make_claims(table(fisher, theory), quick=True)
    return {claim.name.split("/", 1)[1] for claim in claims if not claim}


@pytest.mark.parametrize(
    "fisher",
    [
        "BlockDiagonal",
        *(pytest.param(f.__name__, marks=pytest.mark.slow) for f in FISHERS if f.__name__ != "BlockDiagonal"),
    ],
)
def test_laziness_claims_have_power(fisher):
    assert not failed(fisher, RIGHT)
    assert "displacement/size" in failed(fisher, WRONG["alpha off by 5 %"])
    assert "displacement/size" in failed(fisher, WRONG["first layer dropped"])


def test_kernels_that_move_fail():
    """Changes that do not fall with the width, or displacements that grow, are no laziness."""
    found = table("BlockDiagonal", RIGHT)
    for what in analysis.KERNELS:
        frozen = found.assign(**{what: 0.1})
        names = {claim.name for claim in analysis.make_claims(frozen[frozen["step"] > 0], quick=True) if not claim}
        assert names == {f"BlockDiagonal/{what}/slope"}
    growing = found.assign(displacement=found["displacement"] * found["width"] ** 0.25)
    names = {claim.name for claim in analysis.make_claims(growing, quick=True) if not claim}
    assert "BlockDiagonal/displacement/slope" in names
