"""Unit-wise Fisher matrix: the claims hold, and fail under theories that are wrong by a little."""

import numpy as np
import pytest

from analyses import karakida_unit_wise as unit_wise
from analyses.karakida_theory import RIGHT, WRONG, Theory, comparison_claims
from analyses.karakida_unit_wise_limit import REFERENCE, Case, alpha_per_unit, preconditioned, sampled
from analyses.karakida_unit_wise_runs import KAPPA, finite_alphas, train
from analyses.threads import one_blas_thread
from ntkng.fisher import UnitWise

WIDTH, POINTS = 512, 2**9
WRONG = {**WRONG, "alpha too small": Theory(scale=0.95), "last hidden layer dropped": Theory(dropped=1)}
ERF, RELU = Case("erf", 1, POINTS), Case("relu", 1, POINTS)


def failed(claims):
    return {claim.name.split("/")[-1] for claim in claims if not claim}


@pytest.mark.parametrize(
    "case", [ERF, pytest.param(Case("erf", 3, POINTS), marks=pytest.mark.slow)], ids=lambda c: c.name
)
@one_blas_thread()
def test_alpha(case):
    alphas = {width: finite_alphas(case, width, KAPPA, 8, 0) for width in (128, WIDTH)}

    def claims(theory):
        return unit_wise._alpha_claims({case: unit_wise.compare_alpha(case, alphas, theory)})

    assert not failed(claims(RIGHT))
    for wrong in WRONG.values():
        assert failed(claims(wrong)) == {"alpha"}
    few = {width: values[:2] for width, values in alphas.items()}  # an error bar that would hide an error
    wide = {width: values * (1 + 0.2 * np.arange(2)) for width, values in few.items()}
    assert "resolution" in failed(unit_wise._alpha_claims({case: unit_wise.compare_alpha(case, wide, RIGHT)}))


@pytest.mark.slow
@pytest.mark.parametrize("case", [ERF, RELU], ids=lambda case: case.name)
@one_blas_thread()
def test_training(case):
    path, width = train(case, WIDTH, KAPPA, 8, 0), WIDTH
    bounds = dict(zip(("bound", "test_bound"), (2 * b for b in unit_wise.BOUNDS[case.activation]), strict=True))

    def claims(theory):
        held = unit_wise.hold_case(case, width, KAPPA, path, theory)
        return comparison_claims("run", held, **bounds, factor=unit_wise.FACTOR[case.activation], source="")

    assert not failed(claims(RIGHT))
    for name, wrong in WRONG.items():
        if name != "alpha too small" or case is ERF:  # narrow relu networks are slower than the limit
            assert "factor" in failed(claims(wrong)), name


def test_kernel_at_any_width():
    """The sum over layers with one sample of units is the kernel of a network of that width."""
    coarse = Case("erf", 1, 2**6)
    whole = UnitWise(KAPPA).kernel(sampled(coarse))
    found = preconditioned(coarse, REFERENCE, KAPPA, RIGHT)
    np.testing.assert_allclose(found.train, whole.train, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.cross, whole.cross, rtol=1e-10, atol=1e-10)
    last = preconditioned(coarse, 0, KAPPA, RIGHT).alpha
    assert preconditioned(coarse, 3 * REFERENCE, KAPPA, RIGHT).alpha - last == pytest.approx(3 * (whole.alpha - last))
    per_unit = alpha_per_unit(coarse, KAPPA, RIGHT).value
    assert per_unit == pytest.approx((whole.alpha - last) / (2 * REFERENCE))


def test_limit_of_vanishing_damping():
    import pandas as pd

    def claims(theory, smallest=unit_wise.SMALLEST):
        rows = []
        for case in (ERF, RELU):
            alpha = alpha_per_unit(case, smallest[case.activation], theory)
            rows.append({"panel": "alpha against damping", "activation": case.activation, "outputs": 1, "source": "predicted",
                         "kappa": smallest[case.activation], "value": alpha.value, "half_width": alpha.half_width()})  # fmt: skip
        return failed(unit_wise._limit_claims(pd.DataFrame(rows)))

    assert not claims(RIGHT)
    for wrong in (Theory(scale=0.95), Theory(scale=1.05), Theory(dropped=0)):
        assert claims(wrong) == {"vanishing damping"}
    assert claims(RIGHT, {"erf": KAPPA, "relu": 0.1}) == {"vanishing damping"}  # not without the limit
