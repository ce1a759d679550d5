"""A verdict uses the whole interval, and what is not a finite number never passes."""

import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng.report import Claim

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [(0.9, 5.0, "undecided"), (0.9, 0.05, "pass"), (1.1, 0.05, "fail"), (1.1, 0.2, "undecided"), (0.9, INF, "undecided"),
     (0.9, 0.0, "pass"), (1.0, 0.0, "fail"), (0.9, 0.1, "undecided"), (0.9, None, "pass"), (-50, INF, "undecided")],
)  # fmt: skip
def test_an_interval_that_crosses_the_bound_is_undecided(value, half, verdict):
    assert Claim.below("a", value, 1.0, "s", uncertainty=half).verdict == verdict
    assert Claim.above("a", -value, -1.0, "s", uncertainty=half).verdict == verdict
    assert bool(Claim.below("a", value, 1.0, "s", uncertainty=half)) == (verdict == "pass")


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [(0.5, 0.5, "pass"), (0.5, 0.6, "undecided"), (0.5, INF, "undecided"), (1.5, 0.4, "fail"), (1.5, 0.6, "undecided"),
     (-9, 20, "undecided"), (0.0, 0.0, "pass"), (-0.1, 0.0, "fail"), (1.5, 0.5, "undecided")],
)  # fmt: skip
def test_two_sided_bounds(value, half, verdict):
    assert Claim.within("a", value, 0, 1, "s", uncertainty=half).verdict == verdict


def test_the_note_says_what_would_decide():
    claim = Claim.below("a", 0.9, 1.0, "s", uncertainty=0.3, note="mine")
    assert "about 9 times as many" in claim.note
    assert claim.note.startswith("mine; ")
    assert Claim.below("a", 0.9, 1.0, "s", uncertainty=0.03, note="mine").note == "mine"
    assert "no number of networks" in Claim.below("a", 1.0, 1.0, "s", uncertainty=0.1).note
    assert "more networks" in Claim.below("a", 0.9, 1.0, "s", uncertainty=INF).note
    with pytest.raises(ValueError, match="what would decide"):
        Claim.undecided("a", 1.0, "s", "")


@pytest.mark.parametrize("value", [NAN, INF, -INF, np.ma.masked, np.float32("nan"), jnp.float32(-np.inf)])
@pytest.mark.parametrize("half", [None, 1.0, INF, NAN])
def test_what_is_not_finite_fails(value, half):
    made = (
        Claim.below("a", value, INF, "s", uncertainty=half), Claim.above("a", value, -INF, "s", uncertainty=half),
        Claim.within("a", value, -INF, INF, "s", uncertainty=half), Claim.holds("a", value, "s"),
        Claim.tested("a", value, True, "b", "s", p_value=0.5),
    )  # fmt: skip
    assert {claim.verdict for claim in made} == {"fail"}
    with pytest.raises(ValueError, match="never passes"):
        Claim("a", "s", value, "b", "pass")
    assert Claim.below("a", 1.0, NAN, "s").verdict == Claim.above("a", 1.0, NAN, "s").verdict == "fail"


@pytest.mark.parametrize("half", [NAN, -1.0, -INF])
def test_uncertainties_are_half_widths(half):
    with pytest.raises(ValueError, match="half-width >= 0"):
        Claim.below("a", 0.5, 1.0, "s", uncertainty=half)
    with pytest.raises(ValueError, match="half-width >= 0"):
        Claim.finding("a", 0.5, "s", uncertainty=half)


@pytest.mark.parametrize("value", ["0.5", None, [1.0, 2.0], np.ones(2), 1j, np.datetime64("2020-01-01"), object()])
def test_what_is_no_number_is_named(value):
    for make in (
        lambda: Claim.below("a", value, 1.0, "s"),
        lambda: Claim.holds("a", value, "s"),
        lambda: Claim.finding("a", 1.0, "s", uncertainty=value if value is not None else "none"),
    ):
        with pytest.raises(TypeError, match="must be one real number"):
            make()


@pytest.mark.parametrize(
    "value", [np.float32(0.5), jnp.bfloat16(0.5), np.array([0.5]), Fraction(1, 2), jnp.float32(0.5)]
)
def test_numbers_of_all_kinds_become_floats(value):
    claim = Claim.below("a", value, 1.0, "s", uncertainty=value / 2, p_value=value)
    assert (claim.value, claim.uncertainty, claim.p_value, claim.verdict) == (0.5, 0.25, 0.5, "pass")
    assert all(type(number) is float for number in (claim.value, claim.uncertainty, claim.p_value))
    assert Claim.holds("a", np.bool_(True), "s")


def test_comparisons_use_the_spread_of_the_networks():
    times, targets = np.arange(2.0), np.zeros((2, 1))

    def pair(errors):
        start = np.ones((len(errors), 1, 2, 1))
        end = np.array(errors)[:, None, None, None] * np.ones((1, 1, 2, 1))
        path = [np.concatenate([start, last], axis=1) for last in (end, np.zeros_like(end))]
        return [ntkng.Trajectory(times, values, targets, values, loss="mse") for values in path]

    def verdict(errors, bound):
        return ntkng.compare(*pair(errors), bound=bound, test_bound=bound).claims[1].verdict

    assert verdict([0.9, 0.1], 0.6) == "undecided"
    assert verdict([0.5, 0.5001, 0.4999], 0.6) == "pass"
    assert verdict([0.7, 0.7001, 0.6999], 0.6) == "fail"
    assert verdict([0.5, np.nan], 0.6) == "fail"
