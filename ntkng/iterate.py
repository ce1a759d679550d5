r"""Training step by step in function space, where the preconditioned kernel changes from step to step.

A network that stays at its linearisation has constant layer kernels, and its function moves by

    f(x') <- f(x') - eta K_t(x', x_b) r_t(x_b),       for every x', on and off the batch,

with `x_b` the inputs of step t. `K_t` depends on t where

- the loss is a cross-entropy: `F = J^T H J / N` with `H` at the current function, `r` the whitened `p - y` (`ntkng.whitening`);
- each step sees another batch: `K_t(x', x_b)` is that of a Fisher matrix of the batch alone, and inputs off the batch move too;
- the Fisher matrix is the empirical one, weighted by the residuals.

For the squared loss on the full batch `K` is constant, and `ntkng.closed_form` gives any step at once.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkng.arguments import check_run
from ntkng.divergence import judge
from ntkng.fisher.base import Fisher
from ntkng.fitting_kernels import fitting_kernels
from ntkng.kernels import Kernels
from ntkng.kernels.rows import everywhere, on_batch
from ntkng.mini_batch import plan_steps
from ntkng.precision import AnyArray, in_float64
from ntkng.problem import Problem
from ntkng.trajectory import Trajectory
from ntkng.validation import positive, real_array
from ntkng.whitening import check_start, whiten, whiten_kernels


@in_float64
def iterate(
    problem: Problem,
    fisher: Fisher,
    kernels: Kernels | None = None,
    *,
    step_size: float,
    steps: int | None = None,
    batches: Int[AnyArray, "steps n"] | None = None,
    initial: tuple[Any, Any] | None = None,
) -> Trajectory:
    """The function of a wide network at every step of natural gradient descent, on train and test inputs.

    Args:
        problem: inputs, targets, network and loss, any of them.
        fisher: the approximation.
        kernels: of `problem`'s inputs; `None` computes the infinite-width ones. Those of a finite network give its
            linearisation.
        step_size: `eta`.
        steps: number of steps, default 10; 0 gives the start alone.
        batches: indices of the training inputs that each step sees, one row a step; `None` is the full batch.
        initial: `(f_0(x), f_0(x'))`, `[N, C]` and `[M, C]`, or with one leading axis for several networks; `None` starts at
            the zero function.

    Returns:
        A `Trajectory` of the outputs (logits for cross-entropy).

    Raises:
        TypeError: an argument of another type, or a call inside a transformation of JAX.
        ValueError: kernels or batches that do not fit, singular kernels without damping, a step size that is not positive, a later
            step that cannot be taken (see `ntkng.divergence`, which warns of iterations that diverge).
    """
    check_run("iterate", problem, fisher, kernels, step_size=step_size, batches=batches, initial=initial)
    step_size = positive("step_size", step_size)
    steps, batches = plan_steps(steps, batches, problem.samples)
    kernels = kernels_of(problem, fisher, kernels)
    start = initial_functions(problem, kernels, initial)
    _check_first_step(problem, fisher, kernels, start, batches)
    chosen = None if batches is None else jnp.asarray(batches)
    run = functools.partial(_iterate, fisher, kernels, jnp.asarray(problem.y), chosen, step_size)
    paths = [run(one, loss=problem.loss, steps=steps) for one in start.reshape(-1, *start.shape[-2:])]
    path = jnp.stack(paths).reshape(*start.shape[:-2], *paths[0].shape)

    def check(index: int, step: int) -> None:
        _check_first_step(problem, fisher, kernels, paths[index][step], None if batches is None else batches[step:])

    judge((path,), problem.y, check, step_size)
    return as_trajectory(
        problem, fisher, path, times=np.arange(steps + 1.0), source="iteration", step_size=float(step_size)
    )


def kernels_of(problem: Problem, fisher: Fisher, kernels: Kernels | None) -> Kernels:
    """The given kernels, checked, or the infinite-width ones, with the training inputs among the rows of the cross Grams."""
    kernels = fitting_kernels(problem, fisher, kernels)
    if problem.x_test is not None and kernels.layers[0].theta.cross is None:
        raise ValueError("the problem has test inputs, the kernels have none; compute them with x_test")
    return everywhere(kernels)


def initial_functions(
    problem: Problem, kernels: Kernels, initial: tuple[Any, Any] | None
) -> Float[Array, "*networks M C"]:
    """`f_0` on the rows of `kernels`: train, then test inputs."""
    tests = 0 if problem.x_test is None else len(problem.x_test)
    shapes = [(problem.samples, problem.outputs), (tests, problem.outputs)]
    if initial is None:
        return jnp.zeros((problem.samples + tests, problem.outputs))
    parts = []
    for name, part, shape in zip(("initial[0]", "initial[1]"), initial, shapes, strict=True):
        if shape[0] == 0:
            continue
        array = real_array(name, part, (2, 3)).astype(float)
        if array.shape[-2:] != shape:
            raise ValueError(f"{name} must end in shape {list(shape)}, got {list(array.shape)}")
        parts.append(jnp.asarray(array))
    return jnp.concatenate(parts, axis=-2)


def velocity(
    loss: str, fisher: Fisher, kernels: Kernels, function: Float[Array, "M C"], targets: Float[Array, "N C"]
) -> Float[Array, "M C"]:
    """`K(x', x) r` on the rows of `kernels` at the training outputs `function[:N]`, for any loss."""
    own = function[: len(targets)]
    return _fall(loss, fisher, kernels, own, targets).reshape(function.shape)


def as_trajectory(problem: Problem, fisher: Fisher, path: Float[Array, "*networks T M C"], **about: Any) -> Trajectory:
    """A trajectory from functions on train and test inputs together."""
    train, test = path[..., : problem.samples, :], path[..., problem.samples :, :]
    return Trajectory(
        train=train,
        targets=problem.y,
        test=test if problem.x_test is not None else None,
        test_targets=problem.y_test,
        fisher=fisher.name,
        loss=problem.loss,
        **about,
    )


def _fall(loss: str, fisher: Fisher, kernels: Kernels, outputs: Array, targets: Array) -> Array:
    if loss == "mse":
        return fisher.change(kernels, outputs - targets)
    factor, residual = whiten(loss, outputs, targets, fisher.needs_curvature)
    return fisher.change(whiten_kernels(kernels, factor), residual)


def _check_first_step(problem: Problem, fisher: Fisher, kernels: Kernels, start: Array, batches: Any) -> None:
    """Name what is singular before the loop, inside of which nothing is inspected."""
    outputs, targets = start.reshape(-1, *start.shape[-2:])[0, : problem.samples], jnp.asarray(problem.y)
    if batches is not None:
        kernels = on_batch(kernels, jnp.asarray(batches[0]))
        outputs, targets = outputs[batches[0]], targets[batches[0]]
    check_start(problem.loss, fisher, kernels, outputs, targets)


@functools.partial(jax.jit, static_argnames=("loss", "steps"))
def _iterate(
    fisher: Fisher,
    kernels: Kernels,
    targets: Float[Array, "N C"],
    batches: Int[Array, "T n"] | None,
    step_size: Any,
    start: Float[Array, "M C"],
    *,
    loss: str,
    steps: int,
) -> Float[Array, "T1 M C"]:
    """All steps as one program; the functions at all `steps + 1` times."""

    def step(function: Array, batch: Array | None) -> tuple[Array, Array]:
        if batch is None:
            fall = _fall(loss, fisher, kernels, function[: len(targets)], targets)
        else:
            fall = _fall(loss, fisher, on_batch(kernels, batch), function[batch], targets[batch])
        return function - step_size * fall.reshape(function.shape), function

    with jax.default_matmul_precision("highest"):
        last, path = jax.lax.scan(step, start, batches, length=steps)
    return jnp.concatenate([path, last[None]])
