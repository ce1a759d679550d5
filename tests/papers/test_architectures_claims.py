"""The claims about other architectures hold, and fail when the theory is wrong by a little."""

import numpy as np
import pandas as pd
import pytest

from analyses import architectures_depth, architectures_isotropy, architectures_kfac, architectures_trajectories
from analyses.architectures_networks import ARCHITECTURES, kernels, network
from analyses.karakida_theory import RIGHT, WRONG, Theory
from paper_repro.registry import paper

OFF, DROPPED = WRONG["alpha off by 5 %"], WRONG["first layer dropped"]
SMALL = "residual_mlp"


def failed(claims):
    return {claim.name for claim in claims if not claim}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_depths_written_out_are_those_of_the_networks(name):
    assert network(name, 8).depth == ARCHITECTURES[name].depth


@pytest.mark.parametrize("name", [pytest.param("pooled_cnn", marks=pytest.mark.slow), "layer_norm_mlp"])
def test_spectra(name):
    def claims(theory):
        return failed(
            architectures_isotropy.spectrum_claims(pd.DataFrame(architectures_isotropy.spectra(name, 0, theory)))
        )

    assert not claims(RIGHT)
    assert claims(OFF) == {f"{name}/{fisher}/spectrum" for fisher in ("Exact", "BlockDiagonal", "BlockTriDiagonal")}
    assert f"{name}/BlockDiagonal/spectrum" in claims(DROPPED)


def test_small_steps():
    def claims(theory):
        step = architectures_isotropy.small_step(SMALL, 24, 0, theory)
        return failed(architectures_isotropy.step_claims([{"architecture": SMALL, **step}]))

    assert not claims(RIGHT)
    for wrong in (OFF, DROPPED):
        assert claims(wrong) == {f"{SMALL}/small step/train", f"{SMALL}/small step/test"}
    step = {"architecture": SMALL, "alpha": 1.05 * ARCHITECTURES[SMALL].depth, "train": 0.0, "test": 0.0}
    assert failed(architectures_isotropy.step_claims([step])) == {f"{SMALL}/small step/alpha"}


def test_depth():
    def claims(theory):
        return failed(
            architectures_depth.make_claims(
                pd.DataFrame([architectures_depth.measure(b, 24, 0, theory) for b in (0, 1)])
            )
        )

    assert not claims(RIGHT)
    for wrong in (OFF, DROPPED):
        assert claims(wrong) == {"infinite/spectrum", "finite against infinite"}
    # the claims about networks, were they to gain another constant per layer
    rows = pd.DataFrame({"blocks": [0, 4], "layers": [2, 6], "infinite": [2.0, 6.0], "smallest": [2.0, 6.0],
                         "largest": [2.0, 6.0], "finite": [2.0, 6.3]})  # fmt: skip
    assert failed(architectures_depth.make_claims(rows)) == {
        "finite/small step", "finite/layers per block", "finite against infinite"
    }  # fmt: skip


@pytest.mark.parametrize("theory", [RIGHT, OFF, DROPPED], ids=["right", "alpha", "dropped"])
def test_trajectories(theory):
    width = architectures_trajectories.WIDTHS[SMALL][1][-1]
    rows = architectures_trajectories.distances(SMALL, width, 6, 0, theory)
    claims = architectures_trajectories.largest_width_claims(SMALL, pd.DataFrame(rows).assign(width=width))
    names = failed(claims)
    assert names >= {f"{SMALL}/factor"} if theory != RIGHT else not names
    if theory == DROPPED:
        assert f"{SMALL}/train/distance" in names


@pytest.mark.parametrize(("power", "holds"), [(-0.5, True), (0.0, False), (0.3, False)])
def test_slopes(power, holds):
    """Distances that do not fall with the width fail, and so do those whose fall is not significant."""
    rng = np.random.default_rng(0)
    rows = [
        {"architecture": SMALL, "width": width, "network": i, "factor": 1.0,
         **{on: 0.01 * (width / 1024) ** power * np.exp(0.2 * rng.normal()) for on in ("train", "test")}}
        for width in (64, 256, 1024) for i in range(4)
    ]  # fmt: skip
    names = failed(architectures_trajectories.make_claims(pd.DataFrame(rows)))
    assert names == (set() if holds else {f"{SMALL}/train/slope", f"{SMALL}/test/slope"})


def test_kfac():
    module, samples = architectures_kfac, architectures_kfac.SAMPLES
    names = (SMALL, "pooled_cnn")
    layers = {name: kernels(name, samples=samples, factors=True) for name in names}
    table = pd.DataFrame([row for name in names for row in module.spectra(name, layers[name])])
    assert not failed(module.spectrum_claims(table))
    wrong = failed(module.spectrum_claims(table, OFF))
    isotropic = {f"{name}/infinite/block-diagonal/spectrum" for name in names}
    assert wrong == {f"{SMALL}/infinite/undamped, expand/spectrum", *isotropic}
    dropped = pd.DataFrame([row for name in names for row in module.spectra(name, DROPPED.kernels(layers[name]))])
    assert failed(module.spectrum_claims(dropped)) == wrong
    # findings: neither pass nor fail, and far from isotropic
    for variant in ("undamped, reduce", "damped, expand", "damped, reduce"):
        assert module.off_isotropy(table, "pooled_cnn", "infinite", variant) > 0.1
    answers = [{"architecture": name, **module.ask(layers[name])} for name in names]
    assert not failed(module.answer_claims(answers))
    silent = [dict(answer, alpha=31.0, refusal="", singular=[]) for answer in answers]
    assert failed(module.answer_claims(silent)) == {
        f"{SMALL}/predicted alpha", "pooled_cnn/predicted alpha", "pooled_cnn/refusal"
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theory", "holds"), [(RIGHT, True), (OFF, False), (DROPPED, False), (Theory(scale=0.95), False)]
)
def test_kfac_steps(theory, holds):
    drawn = architectures_kfac.finite("pooled_cnn", 0)
    steps = [{"architecture": "pooled_cnn", **found} for found in architectures_kfac.small_steps(*drawn, theory)]
    names = failed(architectures_kfac.step_claims(steps))
    assert (not names) if holds else len(names) == 4


def test_figures_are_registered():
    assert [spec.key for spec in paper("architectures").figures] == [
        "trajectories",
        "isotropy",
        "residual_depth",
        "kfac",
    ]
