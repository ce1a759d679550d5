"""Every assertion passes on what is right, and fails with its table on what is wrong by a little.

Networks are stood in for by random numbers with the moments that the theory gives them, so that the truth is known.
"""

import dataclasses
import re

import jax
import numpy as np
import pytest

import ntkng
from ntkng.kernels import Gram
from ntkng.testing import (
    SMOOTH,
    assert_isotropic,
    assert_kernels_match,
    assert_lazy,
    assert_same_rate,
    assert_trajectories_match,
    assert_width_slope,
    required_seeds,
    small_problem,
    trajectory_report,
)
from ntkng.testing.fit import limit, ratio
from ntkng.testing.laziness import NTK
from ntkng.testing.width_sweep import seeds_at
from ntkng.trajectory import Trajectory

WIDTHS = (64, 128, 256, 512)
SAMPLES, TESTS, OUTPUTS, STEPS, SEEDS = 4, 6, 2, 3, 32
rng = np.random.default_rng(5)
Y, MAP = rng.normal(size=(SAMPLES, OUTPUTS)), rng.normal(size=(TESTS, SAMPLES)) / 2


def closed_forms(start, start_test, alpha=1.0, contraction=0.5):
    """`f_t` on both input sets for an isotropic approximation at `eta = (1 - contraction)`, `[seeds, T, n, C]`."""
    decay = (1 - (1 - contraction) * alpha) ** np.arange(STEPS + 1)[:, None, None]
    residual = (start - Y)[:, None]
    return Y + decay * residual, start_test[:, None] - (1 - decay) * (MAP @ residual)


def sweep(seed=0, alpha=1.0, seeds=SEEDS):
    """Predictions by width, and "simulations" that leave them by `b/M` on average and by `1/sqrt(M)` at random."""
    draw = np.random.default_rng(seed)
    simulated, predicted = {}, {}
    for width in WIDTHS:
        count = seeds_at(width, WIDTHS, seeds)
        start, start_test = (draw.normal(size=(count, n, OUTPUTS)) for n in (SAMPLES, TESTS))
        truth = closed_forms(start, start_test)
        noisy = []
        for path in truth:
            noise = draw.normal(size=(count, 1, 1, 1)) / np.sqrt(width) + 3 / width
            noisy.append(path + 0.3 * noise * (path - path[:, :1]))
        times, simple = np.arange(STEPS + 1.0), {"displacement": 1 + 0.1 * draw.normal(size=(count, STEPS + 1)) ** 2}
        simulated[width] = Trajectory(times, noisy[0], Y, noisy[1], fisher="Exact", source="simulation", **simple)
        wrong = closed_forms(start, start_test, alpha)
        predicted[width] = Trajectory(times, wrong[0], Y, wrong[1], fisher="Exact")
    return simulated, predicted


def table(error):
    """The message of a failed assertion has its columns, and a likely cause."""
    text = str(error.value)
    for column in ("what", "measured", "bound", "likely cause"):
        assert column in text, text
    assert "claims do not hold" in text
    return text


def test_trajectories_match():
    report = assert_trajectories_match(*sweep(), powers=SMOOTH)
    assert len(report.claims) == 2 * STEPS
    assert all(claim.p_value is not None and claim.uncertainty is not None for claim in report.claims)


@pytest.mark.parametrize("alpha", [0.95, 1.05])
def test_trajectories_with_alpha_off_by_five_percent(alpha):
    with pytest.raises(AssertionError) as error:
        assert_trajectories_match(*sweep(alpha=alpha), powers=SMOOTH)
    text = table(error)
    assert "Exact/train/step 1" in text
    assert re.search(r"off by [+-]\d", text)
    assert "p = " in text
    assert "±" in text


@pytest.mark.parametrize(("alpha", "cause"), [(2.0, "factor 1/2"), (1 / SAMPLES, "1/N is missing")])
def test_likely_causes_of_factors(alpha, cause):
    with pytest.raises(AssertionError) as error:
        assert_trajectories_match(*sweep(alpha=alpha), powers=SMOOTH)
    assert cause in table(error)


def test_too_few_networks_are_no_pass():
    simulated, predicted = sweep(seeds=4)
    with pytest.raises(AssertionError, match="undecided: too few networks"):
        assert_trajectories_match(simulated, predicted, powers=SMOOTH, effect=0.001)
    assert_trajectories_match(simulated, predicted, powers=SMOOTH, effect=None, test_effect=None)


def test_diverged_simulations_fail():
    simulated, predicted = sweep()
    lost = np.array(simulated[512].train)
    lost[0, -1] = np.nan
    simulated[512] = dataclasses.replace(simulated[512], train=lost)
    with pytest.raises(AssertionError, match="step size too large"):
        assert_trajectories_match(simulated, predicted)


def test_false_alarms_are_as_rare_as_stated():
    alarms = sum(not trajectory_report(*sweep(seed), powers=SMOOTH, false_alarm=0.1, effect=None, test_effect=None)
                 for seed in range(100))  # fmt: skip
    assert alarms <= 20, alarms  # P(more than 20 of 100 at 10 %) is 1e-3


def test_one_width_needs_a_bound():
    simulated, predicted = sweep()
    with pytest.raises(ValueError, match="pass mappings"):
        assert_trajectories_match(simulated[512], predicted[512])
    assert_trajectories_match(simulated[512], predicted[512], bound=0.2)
    with pytest.raises(AssertionError):
        assert_trajectories_match(simulated[512], predicted[512], bound=1e-4)


def test_ratio_has_no_uncertainty_where_there_is_none():
    draw = np.random.default_rng(0)
    bottom = {width: draw.uniform(1, 3, size=(8, 2)) for width in WIDTHS}
    found = ratio({width: 0.1 * values for width, values in bottom.items()}, bottom, (1.0,))
    np.testing.assert_allclose(found.value, 0.1, rtol=1e-12)
    assert (found.standard_error < 1e-8).all()
    plain = limit({width: 0.1 * values for width, values in bottom.items()}, (1.0,))
    assert (plain.standard_error > 1e-3).all()


def test_same_rate():
    simulated, _ = sweep()
    assert_same_rate({"Exact": simulated, "KFAC": sweep(1)[0]}, 0.5, powers=SMOOTH)
    for contraction in (0.475, 0.525):  # eta alpha off by 5 %
        with pytest.raises(AssertionError) as error:
            assert_same_rate({"Exact": simulated}, contraction, powers=SMOOTH)
        assert "alpha or the step size" in table(error)
    with pytest.raises(ValueError, match="contraction"):
        assert_same_rate({"Exact": simulated}, 0.0)


def power_law(exponent, floor=0.0, networks=24):
    draw = np.random.default_rng(1)
    return {w: w**exponent * np.exp(0.2 * draw.normal(size=networks)) + floor for w in (64, 128, 256, 512, 1024)}


def test_width_slope():
    assert_width_slope(power_law(-0.5), correction=None)
    assert_width_slope(power_law(-1.0), correction=None)
    for wrong in (power_law(-0.3), power_law(-0.5, floor=0.05), power_law(0.0)):
        with pytest.raises(AssertionError) as error:
            assert_width_slope(wrong, correction=None)
        assert "a floor" in table(error)
    with pytest.raises(AssertionError, match="too few networks or widths"):
        assert_width_slope({w: v[:2] for w, v in power_law(-0.5).items() if w < 512}, correction=0.5)


def lazy_runs(kernel_exponent=-0.5, distance_exponent=0.0):
    simulated, _ = sweep()
    draw = np.random.default_rng(2)
    for width, run in simulated.items():
        count = len(run.train)
        start = np.eye(4) * np.ones((count, 1, 1))
        change = 0.5 * width**kernel_exponent * np.exp(0.1 * draw.normal(size=(count, 1, 1))) * np.eye(4)
        moved = width**distance_exponent * np.exp(0.1 * draw.normal(size=(count, 2)))
        simulated[width] = dataclasses.replace(
            run, observed={NTK: np.stack([start, start + change], axis=1)}, displacement=moved
        )
    return simulated


def test_lazy():
    assert_lazy(lazy_runs(), correction=None)
    with pytest.raises(AssertionError) as error:
        assert_lazy(lazy_runs(kernel_exponent=-0.3), correction=None)
    assert "|Theta_t - Theta_0|" in table(error)
    with pytest.raises(AssertionError) as error:
        assert_lazy(lazy_runs(distance_exponent=0.2), correction=None)
    assert "|theta_t - theta_0|" in table(error)
    with pytest.raises(ValueError, match="observe_ntk"):
        assert_lazy(sweep()[0])


@pytest.fixture(scope="module")
def kernels():
    problem = small_problem(64)
    return ntkng.analytic(problem.network, problem.x, problem.x_test)


def finite(kernels, bias=0.0, seed=0):
    """Grams of "finite networks" for both outputs, with relative fluctuations of `1/sqrt(M)` and a bias of `1/M`."""
    draw, found = np.random.default_rng(seed), {}
    for width in (64, 128, 256):
        count = seeds_at(width, (64, 128, 256), 128)
        factor = 1 + draw.normal(size=(count, 1, 1)) / np.sqrt(width) + 2 / width + bias

        def spread(gram, factor=factor):
            return gram.map(lambda part: factor * np.kron(np.asarray(part), np.eye(OUTPUTS)))

        layers = tuple(
            dataclasses.replace(
                layer,
                theta=spread(layer.theta),
                inner=layer.inner.map(lambda part, factor=factor: factor * np.asarray(part)),
                backward=spread(layer.backward),
            )
            for layer in kernels.layers
        )
        found[width] = dataclasses.replace(kernels, layers=layers, nngp=None, source="empirical")
    return found


def test_kernels_match(kernels):
    assert_kernels_match(finite(kernels), kernels)
    for bias in (-0.1, 0.1):
        with pytest.raises(AssertionError) as error:
            assert_kernels_match(finite(kernels, bias), kernels)
        text = table(error)
        assert "theta/train" in text
        assert "off by" in text


def test_kernels_match_each_other(kernels):
    assert_kernels_match(kernels, kernels)
    first = kernels.layers[0]
    for change, name in (
        (lambda gram: Gram(1.0001 * gram.train, gram.cross), "theta/train"),
        (lambda gram: Gram(gram.train, gram.cross[::-1]), "theta/cross"),
    ):
        wrong = dataclasses.replace(first, theta=change(first.theta))
        with pytest.raises(AssertionError) as error:
            assert_kernels_match(dataclasses.replace(kernels, layers=(wrong, *kernels.layers[1:])), kernels)
        assert f"{first.name}/{name}" in table(error)


@pytest.mark.parametrize("cls", [ntkng.Exact, ntkng.BlockDiagonal, ntkng.BlockTriDiagonal, ntkng.KFAC])
def test_isotropic(cls, kernels):
    assert_isotropic(cls(), kernels)
    alpha = cls().predicted_alpha(kernels)
    for wrong in (1.001 * alpha, alpha / 2):
        with pytest.raises(AssertionError) as error:
            assert_isotropic(cls(), kernels, alpha=wrong)
        assert f"{cls.__name__}/alpha" in table(error)
    with pytest.raises(AssertionError, match="off-isotropy"):
        assert_isotropic(cls(damping=1e-3), kernels, alpha=alpha)
    with pytest.raises(ValueError, match="predicts no alpha"):
        assert_isotropic(ntkng.GradientDescent(), kernels)


def test_wrong_factor_of_the_last_layer_is_named(kernels):
    with pytest.raises(AssertionError, match="the factor of the last layer"):
        assert_isotropic(ntkng.KFAC(last_layer="paper"), kernels, alpha=9.0)


def test_required_seeds_shrink_the_detectable_effect():
    from ntkng.testing import detectable_effect

    def found(networks):
        draw = np.random.default_rng(3)
        return limit({w: draw.normal(size=(seeds_at(w, WIDTHS, networks), 1)) / np.sqrt(w) for w in WIDTHS}, (1.0,))

    pilot = found(32)
    wanted = detectable_effect(pilot, 6)[0] / 2
    more = required_seeds(32, pilot, wanted, family=6)
    assert 100 < more < 160  # four times as many for half the effect
    assert detectable_effect(found(more), 6)[0] < 1.25 * wanted


def test_jax_x64_stays_as_it_is():
    assert not jax.config.jax_enable_x64
