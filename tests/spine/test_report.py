"""Claims decide their verdicts; reports survive a round trip and never pass by accident."""

import json
import math
import re
from pathlib import Path

import jax.numpy as jnp
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


def test_a_report_without_a_pass_is_not_ok():
    passed, found = Claim.holds("a", True, "s"), Claim.finding("b", math.nan, "s")
    assert not Report("nothing")
    assert not Report("findings", (found,))
    assert Report("one", (passed, found))
    for left in (Claim.undecided("c", 1.0, "s", "why"), Claim.ill_posed("c", 1.0, "s", "why")):
        assert not Report("left open", (passed, left))
        assert Report("left open", (passed, left)).failures == (left,)


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


@pytest.mark.parametrize("odd", [math.inf, math.nan])
def test_what_json_lacks_survives(odd):
    claims = (
        Claim.below("a", 0.9, 1.0, "s", uncertainty=math.inf, p_value=odd),
        Claim.finding("b", odd, "s", uncertainty=None if odd == math.inf else odd),
    )
    report = Report("t", claims, {"value": odd})
    back = Report.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False)))
    assert repr(back) == repr(report)
    assert back.to_markdown() == report.to_markdown()
    assert back.to_dict() == report.to_dict()
    assert all(isinstance(c.uncertainty, float | None) for c in back.claims)


def test_provenance_is_plain():
    facts = {
        "x64": np.bool_(True), "seeds": np.int64(3), "rate": np.float32(0.5), "widths": np.array([64, 128]), "odd": np.nan,
        "nested": {"a": (np.int32(1), jnp.arange(2), jnp.bfloat16(0.5))}, 3: np.array(2.5), "path": Path("a"), "none": None,
    }  # fmt: skip
    plain = Report("t", (), facts).to_dict()["provenance"]
    expected = {
        "x64": True, "seeds": 3, "rate": 0.5, "widths": [64, 128], "odd": "nan", "nested": {"a": [1, [0, 1], 0.5]}, "3": 2.5,
        "path": "a", "none": None,
    }  # fmt: skip
    assert json.dumps(plain) == json.dumps(expected)  # true is not 1
    assert Report.from_dict(Report("t", (), facts).to_dict()).to_dict()["provenance"] == plain


def test_no_claim_hides_behind_another():
    one, two = (Report(t, (Claim.holds("x", t == "A", "s"),)) for t in "AB")
    for join in (lambda: merge("m", [one, two]), lambda: one + two, lambda: Report("t", one.claims + two.claims)):
        with pytest.raises(ValueError, match=r"first 'x'.*prefixed"):
            join()
    assert not merge("m", [one.prefixed("a"), two.prefixed("b")])


def test_merged_reports_keep_their_provenance():
    one = Report("A", (Claim.holds("a", True, "s"),), {"seed": 1, "widths": np.arange(2), "x": 1})
    two = Report("B", (Claim.holds("b", True, "s"),), {"seed": 2, "widths": [0, 1], "device": "gpu"})
    facts = {"seed": {"A": 1, "B": 2}, "widths": [0, 1], "x": 1, "device": "gpu"}
    assert Report("", (), merge("m", [one, two]).provenance).to_dict()["provenance"] == facts
    assert (one + two).provenance["seed"] == facts["seed"]
    assert merge("m", [one, two], {"x": 5}).provenance["x"] == 5
    same = merge("m", [one, Report("A", (), {"seed": 3})])
    assert same.provenance["seed"] == {"A": 1, "A (2)": 3}
    assert merge("m", []).provenance == {}


LINES = "first\nsecond\r\nthird\x0bfourth\u2028fifth"


def test_cells_stay_in_their_rows():
    claims = (
        Claim.holds(f"a|{LINES}", True, LINES), Claim.holds("b", True, "s", source="Smith | Jones \\| \\\\| x\\"),
        Claim("c`d`` |", "s", 1.0, "|x| < 3", "pass", note=LINES),
    )  # fmt: skip
    text = Report(f"t\n{LINES}", claims).to_markdown()
    table = [line for line in text.splitlines() if line.startswith("|")]
    rows = [
        re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1] for line in table
    ]  # an even number of backslashes escapes no pipe
    assert [len(row) for row in rows] == [5] * 5
    assert "fifth" in table[2]
    assert text.startswith("## t first second")
    assert "\n  second" in text.split("|\n\n")[1]  # the note continues its item


def test_estimates():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    estimate = mean(values)
    assert estimate.value == 2.5
    assert estimate.interval()[1] - 2.5 == pytest.approx(3.182446 * values.std(ddof=1) / 2, rel=1e-6)
    widths = np.array([64, 256, 1024])
    slope = log_log_slope(widths, np.stack([widths**-0.5, 2 * widths**-0.5], axis=1))
    assert slope.value == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="one number a seed"):
        mean(np.ones((3, 2)))
    with pytest.raises(ValueError, match="sizes > 0"):
        log_log_slope(widths - 64, np.ones((3, 2)))
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
