"""The laziness figure: its claims hold, and fail under theories that are wrong by a little."""

import numpy as np
import pandas as pd
import pytest

from analyses import karakida_laziness as analysis
from analyses.karakida_theory import RIGHT, WRONG
from ntkng.fisher import FISHERS

WIDTHS, NETWORKS = (512, 2048), 4


def table(fisher, theory):
    rows = [
        {"fisher": fisher, "width": width, "network": network, **row}
        for width in WIDTHS for network in range(NETWORKS * (analysis.MORE if fisher == "GradientDescent" else 1))
        for row in analysis.movements(fisher, width, network, 0, theory)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def failed(fisher, theory):
    claims = analysis.make_claims(table(fisher, theory), quick=True)
    return {claim.name.split("/", 1)[1] for claim in claims if not claim}


@pytest.mark.slow
@pytest.mark.parametrize("fisher", [f.__name__ for f in FISHERS])
def test_laziness_claims_have_power(fisher):
    assert failed(fisher, RIGHT) <= {"displacement/slope"}  # two widths and four networks fix it poorly
    assert "displacement/size" in failed(fisher, WRONG["alpha off by 5 %"])
    assert "displacement/size" in failed(fisher, WRONG["first layer dropped"])


def test_kernels_that_move_fail():
    """Changes that do not fall with the width, or displacements that grow, are no laziness."""
    rng, rows = np.random.default_rng(0), []
    for width in (128, 512, 2048):
        for network in range(NETWORKS):
            noise = np.exp(0.05 * rng.normal(size=1 + len(analysis.KERNELS)))
            changes = dict(zip(analysis.KERNELS, noise[1:] / np.sqrt(width), strict=True))
            for step in (1, analysis.STEPS):
                rows.append({"fisher": "Exact", "width": width, "network": network, "step": step, "predicted": 3.0,
                             "displacement": 3 * noise[0] ** 0.1, **changes})  # fmt: skip
    found = pd.DataFrame(rows)

    def failures(table):
        return {claim.name for claim in analysis.make_claims(table) if not claim}

    assert not failures(found)
    for what in analysis.KERNELS:
        assert failures(found.assign(**{what: 0.1})) == {f"Exact/{what}/slope"}
    growing = found.assign(displacement=found["displacement"] * (found["width"] / 2048) ** 0.25)
    assert failures(growing) >= {"Exact/displacement/slope"}
    assert failures(found.assign(predicted=3.0 * 1.05)) == {"Exact/displacement/size"}
