"""The claims of the main paper's figures fail when the theory is wrong by a little."""

import dataclasses

import numpy as np
import pytest

import ntkng
from analyses import karakida_depth, karakida_isotropy, karakida_step_size, karakida_width
from analyses.karakida_problems import kernels, problem

SAMPLES = 12


def failed(claims):
    return {claim.name for claim in claims if not claim}


def depth_table(change=None):
    import pandas as pd

    rows = []
    for depth in (2, 3):
        layer_kernels = kernels("synthetic", depth=depth, samples=SAMPLES)
        layer_kernels = layer_kernels if change is None else change(layer_kernels)
        rows += [
            karakida_depth.measure(fisher, depth, "infinite", layer_kernels) for fisher in karakida_depth.APPROXIMATIONS
        ]
    return pd.DataFrame(rows)


def test_depth_claims():
    assert not failed(karakida_depth.make_claims(depth_table()))
    dropped = depth_table(lambda k: dataclasses.replace(k, layers=k.layers[1:]))
    assert {"BlockDiagonal/infinite/alpha", "KFAC/infinite/alpha"} <= failed(karakida_depth.make_claims(dropped))
    off = depth_table()
    off["alpha"] *= 1.05
    names = failed(karakida_depth.make_claims(off))
    assert {f"{f.name}/infinite/alpha" for f in karakida_depth.APPROXIMATIONS} <= names


def isotropy_table(scale=1.0, damping=0.0):
    import pandas as pd

    layer_kernels = kernels("synthetic", samples=SAMPLES)
    rows = []
    for cls in (ntkng.GradientDescent, ntkng.Exact, ntkng.BlockDiagonal, ntkng.BlockTriDiagonal, ntkng.KFAC):
        fisher = cls() if cls is ntkng.GradientDescent else cls(damping)
        kernel = fisher.kernel(layer_kernels)
        kernel = dataclasses.replace(kernel, train=scale * kernel.train)
        rows += karakida_isotropy.spectrum("synthetic", "infinite", fisher.name, kernel)
    return pd.DataFrame(rows)


def test_isotropy_claims():
    assert not failed(karakida_isotropy.make_claims(isotropy_table()))
    for wrong in (isotropy_table(scale=1.05), isotropy_table(scale=SAMPLES), isotropy_table(damping=1e-3)):
        names = failed(karakida_isotropy.make_claims(wrong))
        assert {f"synthetic/infinite/{f}/spectrum" for f in ("Exact", "BlockDiagonal", "KFAC")} <= names


@pytest.fixture(scope="module")
def steps():
    import pandas as pd

    rows = []
    for width in (128, 1024):
        for network in range(6):
            found = karakida_step_size.losses("BlockDiagonal", karakida_step_size.FACTORS, width, network, 0)
            rows += [{"fisher": "BlockDiagonal", "width": width, "network": network, **row} for row in found]
    return pd.DataFrame(rows)


def step_claims(table):
    minima = {"BlockDiagonal": karakida_step_size.locations(table)}
    return karakida_step_size.make_claims(table[table["width"] == 1024], minima)


def test_step_size_claims(steps):
    assert not failed(step_claims(steps))
    wrong = steps.copy()  # a theory whose alpha is 5 % too large or small labels the same steps by other factors
    for alpha in (0.95, 1.05):
        for claim in step_claims(wrong.assign(before=steps["before"], after=shifted(steps, alpha))):
            if claim.name.endswith("/alpha"):
                assert not claim


def shifted(table, alpha):
    """Losses that steps at `alpha` times the true `1/alpha` would give, by the theory's parabola as a change."""
    ratio = (1 - alpha * table["factor"]) ** 2 - (1 - table["factor"]) ** 2
    return table["after"] + ratio * table["before"]


def test_width_claims():
    import pandas as pd

    widths = np.array([128, 512, 2048])
    for power, ok in ((-0.5, True), (-0.2, False), (0.0, False)):
        noise = np.random.default_rng(0).normal(size=(3, 5)) * 0.05
        values = 0.2 * (widths[:, None] / 128.0) ** power * np.exp(noise)
        rows = [
            {"fisher": "Exact", "width": int(w), "network": i, "train": v, "test": v}
            for w, row in zip(widths, values, strict=True)
            for i, v in enumerate(row)
        ]
        wrong = failed(karakida_width.make_claims(pd.DataFrame(rows)))
        assert {"Exact/train/slope", "Exact/test/slope"}.isdisjoint(wrong) == ok


def test_problems_are_cached():
    assert problem("synthetic", 64) is problem("synthetic", 64)
