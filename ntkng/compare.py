"""Compare a simulation with the closed form: distances, and a report with verdicts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkng.arguments import require_type
from ntkng.report import Claim, Report
from ntkng.statistics import Estimate, mean
from ntkng.trajectory import Trajectory

ROUNDING = 64  # roundings of a function that are no difference


def relative_distance(simulated: Trajectory, predicted: Trajectory, on: str = "train") -> Float[np.ndarray, "*seeds T"]:
    """`|f_t - f_t^closed| / |r_0|` at each time; `r_0` is the residual on the training inputs, for the test set too.

    For cross-entropy, probabilities take the place of the functions, and `r_0 = p_0 - y`. Where there is nothing to learn, `r_0`
    being rounding of `f_0`, a difference that is rounding too is a distance of 0, any other one is infinitely far.

    Raises:
        TypeError: something else than trajectories.
        ValueError: different times, shapes, losses or targets, or no test functions.
    """
    for name, value in (("simulated", simulated), ("predicted", predicted)):
        require_type(name, value, Trajectory, "make one with ntkng.simulate or ntkng.closed_form")
    if on not in ("train", "test"):
        raise ValueError(f"on must be 'train' or 'test', got {on!r}")
    if not np.array_equal(np.asarray(simulated.times), np.asarray(predicted.times)):
        raise ValueError("the trajectories have different times; ask both for the same steps")
    if np.shape(simulated.targets) != np.shape(predicted.targets) or not np.allclose(
        np.asarray(simulated.targets), np.asarray(predicted.targets)
    ):
        raise ValueError("the trajectories have different targets; compare runs of one problem")
    if simulated.loss != predicted.loss:
        raise ValueError(f"the trajectories have different losses, {simulated.loss!r} and {predicted.loss!r}")
    one, other = simulated.predictions(on), predicted.predictions(on)
    if np.shape(one)[-3:] != np.shape(other)[-3:]:
        raise ValueError(f"shapes do not fit: simulated {np.shape(one)}, predicted {np.shape(other)}")
    difference = np.linalg.norm(one - other, axis=(-2, -1))
    scale = np.linalg.norm(simulated.residual[..., 0, :, :], axis=(-2, -1))[..., None]
    precision = max(np.finfo(np.result_type(path.train, np.float32)).eps for path in (simulated, predicted))
    rounding = ROUNDING * precision * np.linalg.norm(other, axis=(-2, -1))
    start = ROUNDING * precision * np.linalg.norm(np.asarray(simulated.targets, dtype=np.float64))
    is_there = np.broadcast_to(scale <= start, difference.shape)
    stays = np.where(difference <= rounding, 0.0, np.where(np.isnan(difference), np.nan, np.inf))
    return np.where(is_there, stays, difference / np.where(is_there, 1.0, scale))


def compare(
    simulated: Trajectory,
    predicted: Trajectory,
    *,
    bound: float,
    test_bound: float | None = None,
    source: str = "",
) -> Report:
    """Check `max_t |f_t - f_t^closed| / |r_0|`, averaged over seeds, against a bound.

    With two seeds or more the whole 95 % interval of the mean must lie below the bound; the interval of two is 13 standard
    errors long on either side, that of six 2.6.

    Args:
        simulated: from `simulate`.
        predicted: from `closed_form`, started at the simulation's initial functions.
        bound: on the training inputs.
        test_bound: on the test inputs; `None` reports without claiming.
        source: of the statement, for the report.

    Returns:
        A `Report`. Where the closed form's step size is ill-posed (see `Stability`), so is the verdict; a simulation
        that diverged fails.
    """
    for name, value in (("simulated", simulated), ("predicted", predicted)):
        require_type(name, value, Trajectory, "make one with ntkng.simulate or ntkng.closed_form")
    name = simulated.fisher or "trajectory"
    claims = [_claim(f"{name}/train", simulated, predicted, "train", bound, source)]
    if simulated.test is not None and predicted.test is not None:
        claims.append(_claim(f"{name}/test", simulated, predicted, "test", test_bound, source))
    facts = {"step_size": simulated.step_size, "seeds": len(np.atleast_2d(relative_distance(simulated, predicted)))}
    return Report(f"{name}: simulation against closed form", tuple(claims), facts)


def worst_distance(simulated: Trajectory, predicted: Trajectory, on: str = "train") -> Float[np.ndarray, "seeds"]:
    """`max_t |f_t - f_t^closed| / |r_0|` per network."""
    return np.atleast_1d(relative_distance(simulated, predicted, on).max(axis=-1))


def _claim(name: str, simulated: Trajectory, predicted: Trajectory, on: str, bound: float | None, source: str) -> Claim:
    worst = worst_distance(simulated, predicted, on)
    estimate = mean(worst) if len(worst) > 1 else Estimate(float(worst[0]), float("nan"), 1)
    half = estimate.half_width() if len(worst) > 1 else None
    statement = f"max over steps of |f - closed form| / |r_0| on the {on} inputs, mean over {len(worst)} networks"
    stability = predicted.stability
    if stability is not None and stability.verdict == "ill-posed":
        note = f"{stability.remedy}; spectral radius {stability.spectral_radius:.3g}"
        return Claim.ill_posed(name, estimate.value, statement, note, source=source)
    if bound is None:
        return Claim.finding(name, estimate.value, statement, uncertainty=half, source=source)
    note = ""
    if not np.isfinite(worst).all():
        note = "a simulation diverged: NaN or infinite outputs"
    elif stability is not None and stability.verdict == "diverges":
        note = stability.remedy
    return Claim.below(name, estimate.value, bound, statement, uncertainty=half, source=source, note=note)
