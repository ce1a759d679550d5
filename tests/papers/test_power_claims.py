"""The power table: planted errors are errors, right theories are not, and the claims about rates fail when they should."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analyses import power_curve, power_detection
from analyses.binomial import interval, not_above
from analyses.karakida_theory import RIGHT, Theory
from analyses.planted import altered
from analyses.power_checks import SETTINGS, _exact_outcomes, isotropy_check
from analyses.power_faults import FAULTS, longer
from analyses.power_problems import ISOTROPIC
from analyses.power_theories import Planted, planted
from ntkng.fisher import KFAC
from ntkng.testing.conformance.cases import cases
from ntkng.testing.conformance.dense_checks import dense_step, dense_training

ERRORS = planted()
RELEVANT = Planted(RIGHT, tuple(SETTINGS))


def failed(claims):
    return {claim.name for claim in claims if not claim}


def test_there_are_enough_errors():
    assert len(ERRORS) >= 30
    assert len(FAULTS) >= 5
    for error in ERRORS.values():
        assert error.settings
        assert set(error.settings) <= set(SETTINGS)
    assert {fault.setting for fault in FAULTS.values()} <= set(SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Exact", "KFAC, damped"])
def test_exact_checks_pass_right_theories_and_fail_wrong_ones(name):
    right = _exact_outcomes(name, RELEVANT)
    assert set(right.values()) == {"pass"}
    general = {key: error for key, error in ERRORS.items() if name in error.settings and error.general}
    assert general
    for key, error in general.items():
        found = _exact_outcomes(name, error)
        only_test_inputs = (
            key == "f_0 of test inputs left out"
        )  # a difference of constants, which this check does not see
        assert "fail" in found.values() or only_test_inputs, (key, found)


@pytest.mark.parametrize("name", ISOTROPIC)
def test_isotropy_sees_the_smallest_planted_error_of_alpha(name):
    assert isotropy_check(SETTINGS[name], RIGHT)
    assert not isotropy_check(SETTINGS[name], Theory(scale=1.0025))


def test_an_altered_approximation_keeps_its_other_side():
    own, kernels = KFAC(0.1), SETTINGS["KFAC"].kernels()
    stepping = altered(own, does=longer)
    assert np.array_equal(stepping.kernel(kernels).train, own.kernel(kernels).train)
    assert dataclasses.replace(stepping, damping=0.2).right == KFAC(0.2)
    assert (stepping.name, stepping.needs_factors) == ("KFAC", True)


def test_faults_that_only_finite_networks_show():
    stale = FAULTS["stale kernels after a step"]
    own, case = SETTINGS[stale.setting].fisher, cases((2,))
    assert dense_step(own, case)
    assert not dense_training(own, case, stale.simulate)


# -- claims ------------------------------------------------------------------------------------------------------------


def detections(outcome="fail", size=0.05):
    rows = []
    for run in range(4):
        for check, result in (("trajectory", outcome if run == 3 else "fail"), ("kernels", "pass")):
            rows.append({"side": "theory", "setting": "Exact", "error": "wrong", "size": size, "run": run,
                         "check": check, "outcome": result})  # fmt: skip
        rows.append({**rows[-1], "side": "simulation", "check": "rate", "outcome": "refused", "size": 1.0})
    return pd.DataFrame(rows)


def test_detection_claims():
    assert not failed(power_detection.make_claims(detections(), (1, 1)))
    for missed in ("pass", "undecided"):
        report = failed(power_detection.make_claims(detections(missed), (1, 1)))
        assert report == {"detected/theory/wrong"}
    assert not failed(power_detection.make_claims(detections("pass", size=0.02), (1, 1)))  # too small to be claimed
    assert failed(power_detection.make_claims(detections())) == {"planted/theory", "planted/simulation"}


def clean_table(alarms=0, least=0.01, runs=100):
    rows = []
    largest, networks = max(power_curve.LARGEST), max(power_curve.NETWORKS)
    for run in range(runs):
        for size in (0.0, *power_curve.SIZES):
            seen = run < alarms if size == 0 else size >= least
            rows.append({"setting": "Exact", "largest": largest, "run": run, "check": "trajectory", "networks": networks,
                         "alpha off by": size, "seconds": 1.0, "outcome": "fail" if seen else "pass", "expected": 0.01})  # fmt: skip
    return pd.DataFrame(rows)


def test_curve_claims():
    assert not failed(power_curve.make_claims(clean_table()))
    assert not failed(power_curve.make_claims(clean_table(alarms=2)))  # two of a hundred, where one is expected
    assert failed(power_curve.make_claims(clean_table(alarms=10))) == {
        "false alarms/trajectory/Exact",
        "false alarms/all",
    }
    blind = failed(power_curve.make_claims(clean_table(least=0.1)))
    assert blind == {"alpha/Exact/widths to 512, 32 networks"}


def test_smallest_error_is_where_detection_crosses():
    found = pd.DataFrame({"size": [0.0, 0.01, 0.02, 0.04], "rate": [0.01, 0.5, 0.9, 1.0]})
    assert power_curve.crossing(found) == pytest.approx(0.03)
    assert power_curve.crossing(found.assign(rate=[0, 1, 1, 1])) == 0.01
    assert power_curve.crossing(found.assign(rate=[0, 1, 1, 0.9])) == np.inf


def test_rates_from_counts():
    assert interval(0, 200) == pytest.approx((0.0, 1 - 0.025 ** (1 / 200)))
    low, high = interval(2, 200)
    assert low < 0.01 < high
    assert not_above("alarms", 5, 200, 0.01, 1, "rate")
    assert not not_above("alarms", 8, 200, 0.01, 1, "rate")
    assert not_above("alarms", 0, 12, 0.01, 14, "rate")
    assert not not_above("alarms", 4, 12, 0.01, 14, "rate")


@pytest.mark.slow
def test_every_error_is_detected_in_one_run():
    rows = power_detection.detect("Exact", 0, 123)
    table = pd.DataFrame([{**row, "setting": "Exact", "run": 0} for row in rows])
    summary = power_detection.summary(table)
    assert (summary[summary["size"] >= 0.05]["rate"] == 1).all()
