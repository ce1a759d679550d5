"""Claims decide their verdicts; reports survive a round trip and never pass by accident."""

import json
import math

import numpy as np
import pytest

import ntkng
from ntkng.report import Claim, Report, merge
from ntkng.statistics import log_log_slope, mean


def test_verdicts():
    assert Claim.below("a", 0.1, 0.2, "s").verdict == "pass"
    assert Claim.below("a", 0.2, 0.2, "s").verdict == "fail"
    assert Claim.above("a", 0.3, 0.2, "s")
    assert Claim.within("a", 1.0, 1.0, 2.0, "s")
    assert not Claim.holds("a", False, "s")
    assert Claim.finding("a", math.nan, "s")
    assert Claim.ill_posed("a", 1.0, "s", "pole").verdict == "ill-posed"
    assert not Claim.ill_posed("a", 1.0, "s", "pole")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_passes(value):
    assert not Claim.above("a", value, 0.0, "s")
    assert not Claim.within("a", value, 0.0, 1.0, "s")
    assert value == -math.inf or not Claim.below("a", value, 1.0, "s")


def test_empty_report_is_not_ok():
    assert not Report("nothing")
    assert Report("one", (Claim.holds("a", True, "s"),))


def test_round_trip(tmp_path):
    report = Report(
        "t", (Claim.below("x", 0.1, 0.2, "s | t", uncertainty=0.01, p_value=0.4), Claim.finding("y", math.inf, "s"))
    )
    report.to_json(tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    assert Report.from_dict(data).claims[1].value == math.inf
    assert Report.from_dict(data).claims[0] == report.claims[0]
    assert "± 0.01" in report.to_markdown()
    assert merge("m", [report.prefixed("p"), report])["p/x"].value == 0.1


def test_estimates():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    estimate = mean(values)
    assert estimate.value == 2.5
    assert estimate.interval()[1] - 2.5 == pytest.approx(3.182446 * values.std(ddof=1) / 2, rel=1e-6)
    widths = np.array([64, 256, 1024])
    slope = log_log_slope(widths, np.stack([widths**-0.5, 2 * widths**-0.5], axis=1))
    assert slope.value == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="finite errors > 0"):
        log_log_slope(widths, np.array([1.0, 0.0, 1.0]))


def test_compare_fails_when_it_should():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 50))
    problem = ntkng.Problem(ntkng.mlp(50, width=512), x, x[:, 0], x[:3] + 0.1, x[:3, 0])
    fisher = ntkng.BlockDiagonal()
    run = ntkng.simulate(problem, fisher, 0, step_size=1 / 6, steps=4, seeds=3)

    def report(**changes):
        settings = {"step_size": 1 / 6, "steps": 4, "initial": (run.train[:, 0], run.test[:, 0]), **changes}
        return ntkng.compare(run, ntkng.closed_form(problem, fisher, **settings), bound=0.05)

    assert report()
    assert not report(step_size=1.3 / 6)
    with pytest.raises(ValueError, match="different times"):
        report(steps=5)
    broken = ntkng.Trajectory(**{**vars(run), "train": np.full_like(run.train, np.nan)})
    assert not ntkng.compare(broken, ntkng.closed_form(problem, fisher, step_size=1 / 6, steps=4), bound=0.05)
