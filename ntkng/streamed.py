r"""Closed form for many samples: isotropic approximations at infinite width, their kernels streamed within a memory bound.

Where `K = alpha I` the training residual needs no kernel at all, `r_t = (1 - eta alpha)^t r_0`, and the test function only
`K' r_0`:

    f'_t = f'_0 - (1 - (1 - eta alpha)^t) / alpha  K' r_0.

For a layer pattern `K' r_0 = sum_l Theta'_l V_l r_0` takes one Cholesky factorisation per layer (or group of layers); for
K-FAC `K' r_0 = sum_l N (A' A^{-1} o B' B^{-1}) r_0` takes two per hidden layer. One factor is held at a time, `8 N^2` bytes,
and kernels are computed again for each: `O(L N^3 / 3)` operations in all, without any eigendecomposition.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.arguments import check_run
from ntkng.closed_form import decay_and_quotient, initial_function
from ntkng.fisher.base import Fisher
from ntkng.fisher.kfac import KFAC
from ntkng.fisher.layer_pattern import LayerPattern
from ntkng.fisher.patterns import pattern_alpha, separate_groups
from ntkng.fisher.preconditioned import stability
from ntkng.kernels.analytic import check_inputs, tile_side
from ntkng.kernels.kernels import sum_
from ntkng.kernels.streaming import Factorised, Track, factorise, tile
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.times import require_limit, step_times
from ntkng.trajectory import Trajectory
from ntkng.validation import positive, positive_integer

Weights = dict[int, Float[np.ndarray, "N C"]]  # V_l r_0 of the layers that move


@in_float64
def streamed_closed_form(
    problem: Problem,
    fisher: Fisher,
    *,
    step_size: float | None = None,
    steps: Any = 10,
    flow: bool = False,
    initial: tuple[Any, Any] | None = None,
    memory: int = 2**31,
    rows: int | None = None,
    track: Callable[..., Iterable[Any]] | None = None,
) -> Trajectory:
    """As `closed_form` with infinite-width kernels, for undamped isotropic approximations and any number of samples.

    Args:
        problem: inputs, targets and network; squared loss.
        fisher: `Exact`, `BlockDiagonal`, `BlockTriDiagonal`, `CustomPattern` with a nonsingular pattern, or `KFAC` for layers
            without positions; undamped.
        step_size: `eta`; `None` takes `1/alpha`.
        steps: as for `closed_form`.
        flow: gradient flow instead of steps.
        initial: `(f_0(x), f_0(x'))`; `None` starts at the zero function.
        memory: bytes that the computation of one tile may take, beside the one kernel that is held.
        rows: of a tile, in place of `memory`.
        track: `(iterable, description) -> iterable`, a progress display.

    Raises:
        TypeError: an argument of another type, or a call inside a transformation of JAX.
        ValueError: an approximation that is damped or not isotropic, a kernel that is singular, a loss other than `"mse"`.
    """
    check_run("streamed_closed_form", problem, fisher, step_size=step_size, steps=steps, initial=initial)
    if problem.loss != "mse":
        raise ValueError(f"streamed_closed_form is for the squared loss, got {problem.loss!r}")
    alpha = isotropic_alpha(problem, fisher)
    times = step_times(steps, flow)
    if not flow and step_size is not None:
        step_size = positive("step_size", step_size)
    eta = None if flow else float(1 / alpha if step_size is None else step_size)
    start, start_test = initial_function(problem, initial)
    x = jnp.asarray(check_inputs(problem.network, "x", problem.x, jnp.float64))
    side = tile_side(problem.network, x, False, memory) if rows is None else positive_integer("rows", rows)
    follow = cast(Track, track if track is not None else lambda items, _: items)
    verdict = stability(np.array([alpha]), eta)
    require_limit(times, verdict)
    decay, quotient = decay_and_quotient(jnp.full(1, alpha), times, eta)
    residual = np.asarray(start) - problem.y
    test = None
    if problem.x_test is not None and start_test is not None:
        flat = np.moveaxis(residual, -2, 0).reshape(problem.samples, -1)
        change = _change(problem, fisher, flat, min(side, problem.samples), follow)
        change = np.moveaxis(change.reshape(len(problem.x_test), *residual.shape[:-2], problem.outputs), 0, -2)
        test = np.asarray(start_test)[..., None, :, :] - np.asarray(quotient)[:, :, None] * change[..., None, :, :]
    return Trajectory(
        times=times,
        train=problem.y + np.asarray(decay)[:, :, None] * residual[..., None, :, :],
        targets=problem.y,
        test=test,
        test_targets=problem.y_test,
        stability=verdict,
        source="closed form",
        fisher=fisher.name,
        step_size=eta,
    )


def isotropic_alpha(problem: Problem, fisher: Fisher) -> float:
    """`alpha`, from the depth and N alone.

    Raises:
        ValueError: damped, or not isotropic whatever the inputs are.
    """
    network, depth = problem.network, problem.network.depth
    fix = "use closed_form, which takes any K"
    if fisher.is_damped:
        raise ValueError(f"streamed_closed_form needs an undamped approximation, got damping {fisher.damping}; {fix}")
    if isinstance(fisher, KFAC) and not fisher.is_pseudo and set(network.positions) == {1}:
        return float(problem.samples * (depth - 1) + fisher.output_scale(problem.samples))
    if isinstance(fisher, LayerPattern):
        pattern = fisher.pattern(depth)
        alpha = pattern_alpha(pattern)
        if alpha is not None and separate_groups(pattern, is_damped=False) is not None:
            return alpha
    raise ValueError(f"{fisher} is not isotropic for {network}, or only as a limit; {fix}")


def _change(
    problem: Problem, fisher: Fisher, residual: Float[np.ndarray, "N k"], side: int, track: Track
) -> Float[np.ndarray, "M k"]:
    """`K' r`."""
    if isinstance(fisher, KFAC):
        return _change_by_factors(problem, fisher, residual, side, track)
    assert isinstance(fisher, LayerPattern)
    pattern = fisher.pattern(problem.network.depth)
    groups = separate_groups(pattern, is_damped=False)
    assert groups is not None  # by `isotropic_alpha`
    change = np.zeros((_tests(problem), residual.shape[1]))
    for c, group in groups:
        weights = c * _factor(problem, "Theta", _theta, group, side, track).solve(residual)
        change += _cross(problem, _theta, group, side, lambda part, rows, w=weights: part @ w[rows])
    return change


def _change_by_factors(
    problem: Problem, fisher: KFAC, residual: np.ndarray, side: int, track: Track
) -> Float[np.ndarray, "M k"]:
    network, samples = problem.network, problem.samples
    change = np.zeros((_tests(problem), residual.shape[1]))
    for layer in range(network.depth):
        first = _projection(problem, _inner, layer, side, track)
        if layer == network.output_layer:
            change += fisher.output_scale(samples) * first @ residual
        else:
            change += samples * (first * _projection(problem, _backward, layer, side, track)) @ residual
    return change


def _projection(problem: Problem, select: Any, layer: int, side: int, track: Track) -> Float[np.ndarray, "M N"]:
    """`G' G^{-1}` of one factor."""
    cross = np.empty((_tests(problem), problem.samples))

    def keep(part: np.ndarray, rows: slice) -> float:
        cross[:, rows] = part
        return 0.0

    _cross(problem, select, layer, side, keep)
    name = "input Gram A" if select is _inner else "backward Gram B"
    return _factor(problem, name, select, layer, side, track).solve(cross.T).T


def _factor(problem: Problem, what: str, select: Any, which: Any, side: int, track: Track) -> Factorised:
    names = problem.network.layer_names()
    chosen = which if isinstance(which, tuple) else (which,)
    name = f"{what} of layer {', '.join(names[i] for i in chosen)}"
    return factorise(name, problem.network, np.asarray(problem.x), select, which, side, track)


def _cross(problem: Problem, select: Any, which: Hashable, side: int, use: Callable[[np.ndarray, slice], Any]) -> Any:
    """Sum of `use(G(x', x[rows]), rows)` over blocks of training inputs."""
    x, x_test = np.asarray(problem.x), jnp.asarray(problem.x_test)
    total: Any = 0.0
    for start in range(0, len(x), side):
        rows = slice(start, min(start + side, len(x)))
        part = tile(problem.network, select, which, x_test, jnp.asarray(x[rows]), None)
        total = total + use(np.asarray(part), rows)
    return total


def _tests(problem: Problem) -> int:
    assert problem.x_test is not None
    return len(problem.x_test)


def _theta(layers: Any, group: tuple[int, ...]) -> Array:
    return sum_(layers[i][0] for i in group)


def _inner(layers: Any, layer: int) -> Array:
    return layers[layer][1]


def _backward(layers: Any, layer: int) -> Array:
    return layers[layer][2]
