"""The figures of mini-batches and of the empirical Fisher: their claims hold, and fail under theories that are wrong by a little."""

import numpy as np
import pytest

from analyses import karakida_empirical_fisher as empirical
from analyses import karakida_mini_batch as batches
from analyses.karakida_theory import RIGHT, WRONG
from ntkng.fisher import KFAC, BlockDiagonal, EmpiricalFisher, Exact

WIDTH, SEEDS = 1024, 8
SCALE = np.sqrt(2048 / WIDTH)


def failed(claims):
    return {claim.name.rsplit("/", 1)[-1] for claim in claims if not claim}


def batch_failures(fisher, theory):
    runs = {fisher.name if not fisher.is_damped else "Exact, damped": batches.run(fisher, WIDTH, SEEDS, 0, theory)}
    return failed(batches.claims_of(runs, SCALE, 0))


@pytest.mark.slow
@pytest.mark.parametrize("fisher", [BlockDiagonal(), KFAC()], ids=lambda f: f.name)
def test_mini_batch_claims_have_power(fisher):
    assert not batch_failures(fisher, RIGHT)
    assert batch_failures(fisher, WRONG["alpha off by 5 %"])
    assert batch_failures(fisher, WRONG["first layer dropped"]) >= {"train", "factor"}


@pytest.mark.slow
def test_own_kernel_claims_of_batches_have_power():
    def failures(theory):
        cases = {"Exact": Exact(), "Exact, damped": batches.damped(0)}
        return {claim.name for claim in batches.own_kernel_claims(cases, 0, theory) if not claim}

    assert not failures(RIGHT)
    both = {f"Exact/small step/{on}" for on in ("train", "test")}
    damped = {f"Exact, damped/small step/{on}" for on in ("train", "test")}
    assert failures(WRONG["alpha off by 5 %"]) == both | damped
    assert failures(WRONG["rho in place of N rho"]) == damped
    assert failures(WRONG["first layer dropped"]) == both | damped  # off the batch, too, K' is what counts


def test_empirical_spectrum_claims_have_power():
    def failures(theory):
        rows = list(empirical.spectrum(0, theory))
        return {claim.name for claim in empirical.spectrum_claims(rows) if not claim}

    assert not failures(RIGHT)
    every = {f"{name}/{of}/eigenvalues" for name in ("true", "EmpiricalFisher") for of in ("Exact", "BlockDiagonal")}
    assert failures(WRONG["alpha off by 5 %"]) == every
    assert failures(WRONG["first layer dropped"]) == {name for name in every if "BlockDiagonal" in name}


@pytest.mark.slow
def test_damped_empirical_claims_have_power():
    def failures(theory):
        return {claim.name for claim in empirical.own_kernel_claims(0, theory) if not claim}

    assert not failures(RIGHT)
    every = {f"damped {name}/small step/{on}" for name in empirical.fishers(0) for on in ("train", "test")}
    for theory in WRONG.values():
        assert failures(theory) == every  # with any damping a dropped layer shows in K, too


@pytest.mark.slow
def test_empirical_flow_and_training_claims_have_power():
    def flow_failures(theory):
        runs = {count: empirical.flow(count, WIDTH, 0, theory) for count in (16, 32)}
        from ntkng.statistics import Estimate

        return failed(empirical.flow_claims(runs, Estimate(1.0, 0.0, 1), SCALE))

    assert not flow_failures(RIGHT)
    assert "factor" in flow_failures(WRONG["alpha off by 5 %"])
    for theory in (RIGHT, *WRONG.values()):
        runs = {n: empirical.train(f, WIDTH, SEEDS, 0, theory) for n, f in empirical.fishers(0).items()}
        names = {claim.name.split("/")[0] for claim in empirical.train_claims(runs, SCALE) if not claim}
        assert bool(names) == (theory is not RIGHT)  # which ones is for the claims on small steps, sharp at any width


def test_the_reason():
    """In the residuals' coordinates the empirical Fisher is isotropic; one over the squared residuals is what makes `K` not so."""
    layers = empirical.kernels(0)
    equal = np.where(np.arange(empirical.SAMPLES) % 2, 2.0, -2.0)[:, None]
    found = EmpiricalFisher().at(equal).kernel(layers)
    assert found.off_isotropy < 1e-10  # residuals of one size
    assert found.alpha == pytest.approx(1 / 4)
    unequal = equal * (1 + np.arange(empirical.SAMPLES)[:, None])
    assert EmpiricalFisher().at(unequal).kernel(layers).off_isotropy > 0.5
