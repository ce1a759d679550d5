"""Intervals and tests hold what they promise where the noise is uneven or skewed, and no column is left out."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from ntkng.statistics import log_log_slope, mean
from ntkng.testing import exponent, limit, slope_report
from ntkng.testing.decision import equality_claims

DOCS = Path(__file__).resolve().parents[2] / "docs"
SIZES = np.array([64, 128, 256, 512])


@pytest.fixture(scope="module")
def levels():
    sys.path.append(str(DOCS))  # as for a script that is run there
    spec = importlib.util.spec_from_file_location("levels", DOCS / "levels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("networks", [2, 5])
@pytest.mark.parametrize("noise", ["even", "falls like 1/M", "large at the first"])
def test_intervals_of_slopes_hold_with_uneven_noise(levels, noise, networks):
    """Exact for normal logarithms; with one variance for all sizes the last noise gave 80 %."""
    runs = 1000
    allowed = scipy.stats.binom(runs, 0.05).isf(1e-4), scipy.stats.binom(runs, 0.05).ppf(1e-4)
    missed = runs * (1 - levels.coverage(noise, 4, networks, runs))
    assert allowed[1] <= missed <= allowed[0]


def test_the_page_has_the_tables_of_the_script(levels):
    page = levels.PAGE.read_text(encoding="utf-8")
    tables = {name: page.split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0] for name in ("coverage", "levels")}
    lines = [line for name in tables for line in tables[name].splitlines()[2:]]
    assert len(tables["coverage"].splitlines()) == 2 + 3 * len(levels.NOISE)
    shares = [float(cell.strip(" %")) for line in tables["coverage"].splitlines()[2:] for cell in line.split("|")[3:-1]]
    assert 94 < min(shares) <= max(shares) < 96  # the promise
    for test, noise in (("limit, kinked", "lognormal, 0.5"), ("slope", "lognormal, 1")):
        row = next(line for line in lines if line.startswith(f"| {test} | {noise} |"))
        assert row.split("|")[3].strip() == f"{100 * levels.level(test, noise, levels.MANY[0]):.1f} %", (
            "run docs/levels.py"
        )


def test_slopes_are_means_of_the_seeds_own():
    draw = np.random.default_rng(0)
    errors = SIZES[:, None] ** -0.7 * np.exp(0.2 * draw.normal(size=(4, 6)))
    own = [np.polyfit(np.log(SIZES), np.log(column), 1)[0] for column in errors.T]
    found, expected = log_log_slope(SIZES, errors), mean(own)
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-9)
    whole = np.polyfit(np.log(np.repeat(SIZES, 6)), np.log(errors).ravel(), 1)[0]
    assert found.value == pytest.approx(whole, rel=1e-12)
    line = scipy.stats.linregress(np.log(SIZES), np.log(errors[:, 0]))
    curve = log_log_slope(SIZES, errors[:, 0])
    assert (curve.value, curve.standard_error) == pytest.approx((line.slope, line.stderr), rel=1e-12)


def columns(*exponents, networks=20):
    draw = np.random.default_rng(0)
    return {
        w: w ** np.array(exponents) * np.exp(0.05 * draw.normal(size=(networks, len(exponents))))
        for w in SIZES.tolist()
    }


def test_no_column_is_left_out():
    report = slope_report(columns(-0.5, 0.0), correction=None)
    assert [claim.verdict for claim in report.claims] == ["pass", "fail"]
    assert [claim.name for claim in report.claims] == ["error/0", "error/1"]
    assert slope_report(columns(-0.5, -0.5), correction=None)
    single = columns(-0.5)
    assert (
        slope_report(single, correction=None).claims
        == slope_report({w: v[:, 0] for w, v in single.items()}, correction=None).claims
    )
    with pytest.raises(ValueError, match="as many quantities at every width"):
        slope_report({**columns(-0.5, -0.5), 64: np.ones((20, 3))}, correction=None)
    with pytest.raises(ValueError, match="as many quantities at every width"):
        slope_report({w: v[:, :, None] for w, v in single.items()}, correction=None)


def test_samples_of_one_quantity_need_no_column():
    draw = np.random.default_rng(1)
    samples = {w: draw.normal(size=8) for w in SIZES.tolist()}
    with_column = {w: v[:, None] for w, v in samples.items()}
    assert limit(samples, (1.0,)).value == limit(with_column, (1.0,)).value
    assert exponent(samples, None).value == exponent(with_column, None).value


@pytest.mark.parametrize("effect", [0.0, -0.1, np.nan])
def test_effects_are_positive(effect):
    found = limit({w: np.random.default_rng(w).normal(size=8) for w in SIZES.tolist()}, (1.0,))
    with pytest.raises(ValueError, match="effect must be > 0"):
        equality_claims(["a"], found, ["s"], effect=effect, family=1, false_alarm=0.01)
