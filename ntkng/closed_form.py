r"""Training dynamics in closed form, for any preconditioned kernel.

With `K = U diag(k) U^T` symmetric and residual `r = f - y` (squared loss):

- discrete steps, train: `r_t = (I - eta K)^t r_0`; flow: `r_t = exp(-K t) r_0`;
- test: `f'_t = f'_0 - K' q_t(K) r_0`, `q_t(k) = (1 - (1 - eta k)^t) / k`, or `(1 - e^{-k t}) / k` for the flow. Modes of
  eigenvalue 0 do not move, on train and test inputs alike (`K'` maps them to 0 as `K` does).

Isotropic `K = alpha I` gives `r_t = (1 - eta alpha)^t r_0` for every approximation alike (Karakida and Osawa 2020, theorem
3.1); the test functions differ, through `K'`. Nothing here needs isotropy or vanishing damping.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.arguments import check_run, refuse_traced
from ntkng.fisher.base import Fisher
from ntkng.fisher.preconditioned import PreconditionedKernel, fastest_step, stability
from ntkng.fitting_kernels import fitting_kernels
from ntkng.kernels import Kernels
from ntkng.precision import in_float64, raised
from ntkng.problem import Problem
from ntkng.times import require_limit, step_times
from ntkng.trajectory import Trajectory
from ntkng.validation import positive, real_array

SERIES = 1e-4  # below this |eta k t| the quotient q_t(k) is evaluated by its series


@in_float64
def closed_form(
    problem: Problem,
    fisher: Fisher,
    kernels: Kernels | None = None,
    *,
    step_size: float | None = None,
    steps: Any = 10,
    flow: bool = False,
    initial: tuple[Any, Any] | None = None,
) -> Trajectory:
    """The function of a wide network during natural gradient descent, on train and test inputs.

    Args:
        problem: inputs, targets and network; squared loss.
        fisher: the approximation.
        kernels: of `problem`'s inputs and network; `None` computes the infinite-width ones. Kernels of a finite network give that
            network's linearisation.
        step_size: `eta`; `None` takes `fisher.optimal_step(kernels)`. Not used by the flow.
        steps: number of steps (all of 0 .. steps are returned), or an array of step numbers, or of times for the flow; a
            step number or time of infinity is the limit.
        flow: gradient flow, `d theta / dt = -(G + rho I)^{-1} grad`, instead of steps.
        initial: `(f_0(x), f_0(x'))`, `[N, C]` and `[M, C]`, or with leading axes for several networks; `None` starts at
            the zero function, the mean over initialisations.

    Returns:
        A `Trajectory` whose `stability` says whether the step size converges; an unstable step size is computed all the
        same, and its verdict tells.

    Raises:
        TypeError: an argument of another type, or a call inside a transformation of JAX (`propagate` can be transformed).
        ValueError: a loss other than `"mse"`, kernels of other inputs or of another network, singular kernels without damping, negative step
            numbers, infinite ones where training does not converge, a step size that is not positive, shapes of `initial` that
            do not fit.
    """
    check_run("closed_form", problem, fisher, kernels, step_size=step_size, steps=steps, initial=initial)
    if problem.loss != "mse":
        raise ValueError(
            f"closed_form is for the squared loss, got {problem.loss!r}; use cross_entropy_flow, or iterate"
        )
    kernels = fitting_kernels(problem, fisher, kernels)
    alpha = fisher.predicted_alpha(kernels) if step_size is None and not flow else None
    return dynamics(
        problem, fisher.kernel(kernels), step_size=step_size, steps=steps, flow=flow, initial=initial, alpha=alpha,
        fisher=fisher.name,
    )  # fmt: skip


@in_float64
def dynamics(
    problem: Problem,
    preconditioned: PreconditionedKernel,
    *,
    step_size: float | None = None,
    steps: Any = 10,
    flow: bool = False,
    initial: tuple[Any, Any] | None = None,
    alpha: float | None = None,
    fisher: str = "",
) -> Trajectory:
    """The same for a preconditioned kernel at hand, however it was made.

    Args:
        problem: inputs and targets, squared loss.
        preconditioned: `K` and `K'` on these inputs.
        step_size: as for `closed_form`; `None` takes `1/alpha`, or else `2/(k_min + k_max)`.
        steps: as for `closed_form`.
        flow: as for `closed_form`.
        initial: as for `closed_form`.
        alpha: where `K = alpha I` is known.
        fisher: name for the trajectory.

    Raises:
        ValueError: a kernel of other sizes than the problem, and as for `closed_form`.
    """
    refuse_traced("dynamics", kernel=preconditioned, step_size=step_size, steps=steps, initial=initial)
    if (preconditioned.samples, preconditioned.outputs) != (problem.samples, problem.outputs):
        raise ValueError(
            f"K is for N = {preconditioned.samples}, C = {preconditioned.outputs}, the problem has N = {problem.samples}, "
            f"C = {problem.outputs}; compute it from problem.x"
        )
    times = step_times(steps, flow)
    if not flow and step_size is not None:
        step_size = positive("step_size", step_size)
    start, start_test = initial_function(problem, initial)
    values, vectors = preconditioned.modes()
    eta = None if flow else step_size
    if not flow and step_size is None:
        eta = fastest_step(alpha, np.asarray(values))
    verdict = stability(np.asarray(values), eta)
    require_limit(times, verdict)
    train, test = propagate(preconditioned, values, vectors, start - raised(problem.y, start.ndim), times, eta)
    return Trajectory(
        times=times,
        train=train + raised(problem.y, train.ndim),
        targets=problem.y,
        test=None if test is None or start_test is None else start_test[..., None, :, :] - test,
        test_targets=problem.y_test,
        stability=verdict,
        source="closed form",
        fisher=fisher,
        step_size=None if eta is None else float(eta),
    )


@functools.partial(jax.jit, static_argnums=())
def propagate(
    preconditioned: PreconditionedKernel,
    values: Float[Array, "n"],
    vectors: Float[Array, "n n"],
    residual: Float[Array, "*batch N C"],
    times: Float[Array, "T"],
    step_size: float | Array | None,
) -> tuple[Float[Array, "*batch T N C"], Float[Array, "*batch T M C"] | None]:
    """Residuals `r_t`, and the test function's decrease `K' q_t(K) r_0`, from the eigendecomposition of `K`.

    `O(n^2 T)` after the decomposition. `step_size=None` is the flow. Can be compiled and differentiated.
    """
    *batch, samples, outputs = residual.shape
    size = len(values)
    modes = jnp.einsum("ki,bkc->bic", vectors, residual.reshape(-1, size, samples * outputs // size))
    decay, quotient = mode_functions(values, times, step_size)
    train = jnp.einsum("ki,ti,bic->btkc", vectors, decay, modes, optimize="optimal")
    train = train.reshape(*batch, len(times), samples, outputs)
    if preconditioned.cross is None:
        return train, None
    mapped = preconditioned.cross @ vectors
    test = jnp.einsum("ki,ti,bic->btkc", mapped, quotient, modes, optimize="optimal")
    return train, test.reshape(*batch, len(times), -1, outputs)


def mode_functions(
    values: Float[Array, "n"], times: Float[Array, "T"], step_size: float | Array | None
) -> tuple[Float[Array, "T n"], Float[Array, "T n"]]:
    """As `decay_and_quotient`, with the quotient 0 where the eigenvalue is.

    `K'` maps such a mode to 0 as `K` does, up to rounding, which the quotient `eta t` would make grow without end.
    """
    decay, quotient = decay_and_quotient(values, times, step_size)
    return decay, jnp.where((values == 0)[None], 0, quotient)


def decay_and_quotient(
    values: Float[Array, "n"], times: Float[Array, "T"], step_size: float | Array | None
) -> tuple[Float[Array, "T n"], Float[Array, "T n"]]:
    """`(1 - eta k)^t` and `(1 - (1 - eta k)^t) / k`, or their limits for the flow, stable near `k = 0`; `t` may be infinite."""
    times, values = times[:, None], values[None, :]
    if step_size is None:
        exponent = _product(-values, times)
        decay = jnp.exp(exponent)
        scale: Any = 1.0
    else:
        factor = 1 - step_size * values
        sign = jnp.where((factor < 0) & (times % 2 == 1), -1.0, 1.0)
        magnitude = jnp.abs(factor)
        safe = jnp.where(magnitude > 0, magnitude, 1.0)
        # log1p keeps small eta k exact; from |eta k| = 1/2 on the plain logarithm is as good
        small = jnp.abs(step_size * values) < 0.5
        log = jnp.where(small, jnp.log1p(-jnp.where(small, step_size * values, 0)), jnp.log(safe))
        exponent = _product(log, times)
        decay = jnp.where((magnitude == 0) & (times > 0), 0.0, sign * jnp.exp(exponent))
        scale = step_size
    gentle = jnp.abs(_product(values, times) * scale) < SERIES
    direct = -jnp.where(gentle, 0.0, decay - 1) / jnp.where(values == 0, 1.0, values)
    near_zero = -jnp.expm1(jnp.where(gentle, exponent, 0.0)) / jnp.where(values == 0, 1.0, values)
    quotient = jnp.where(gentle, near_zero, direct)
    return decay, jnp.where(values == 0, scale * times, quotient)


def _product(rates: Array, times: Array) -> Array:
    """`rates * times`, with 0 times infinity 0: what does not move stays."""
    return jnp.where(rates == 0, 0, rates * times)


def initial_function(problem: Problem, initial: tuple[Any, Any] | None) -> tuple[Array, Array | None]:
    """`f_0` on train and test inputs, `[.., N, C]` and `[.., M, C]`; the zero function for `None`.

    Raises:
        ValueError: shapes that do not fit the problem.
    """
    shapes = [(problem.samples, problem.outputs)]
    if problem.x_test is not None:
        shapes.append((len(problem.x_test), problem.outputs))
    if initial is None:
        zeros = [jnp.zeros(shape) for shape in shapes]
        return zeros[0], zeros[1] if len(zeros) == 2 else None
    parts = []
    for name, part, shape in zip(("initial[0]", "initial[1]"), initial, shapes, strict=False):
        array = jnp.asarray(real_array(name, part))
        if array.shape[-2:] != shape:
            raise ValueError(f"{name} must end in shape {list(shape)}, got {list(array.shape)}")
        parts.append(array)
    return parts[0], parts[1] if len(parts) == 2 else None
