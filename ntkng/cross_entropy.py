r"""Natural gradient flow of a cross-entropy, in closed form.

The flow `d theta / dt = -(G + rho I)^{-1} grad`, `F = J^T H J / N`, moves the whitened residual of `ntkng.whitening` by
`-K`. Where an approximation is isotropic, `K = alpha I` (exact Fisher: `alpha = 1`; block patterns: their `alpha` for the squared
loss), the probabilities on the training set are those of the squared loss,

    p_t - y = e^{-alpha t} (p_0 - y)          (softmax and logistic),

though nothing else is linear. The logits on the training set and the function on any input follow:

- logistic: `f_t = logit p_t`, and `f'_t = f'_0 + K'_mse (f_t - f_0) / alpha`, `K'_mse` the kernel for the squared loss;
- softmax: `H` is singular along `1_C`, and `f_t` is known from `p_t` up to a shift. Let `Q`, `[C, C - 1]`, be an orthonormal basis
  of the complement of `1_C`. On the outputs `Q^T f` nothing is singular, and `f'_t = f'_0 + K'_Q Q^T (f_t - f_0) / alpha` on
  test *and* training inputs, `K'_Q` the kernel for the squared loss on these outputs (kernels `Q^T Theta_l Q`). It contains the
  shift. At infinite width outputs are independent, `K'_Q = K' kron Q`, and the mean of the logits over classes stays.

K-FAC is isotropic up to its last layer: in place of `I` for the squared loss that layer contributes
`N P_A o P_B`, `P_B` the projector of rank `C - 1` (or 1) on `S^T`, of mean eigenvalue 1 but not isotropic, beside
`N (L - 1) I` from the hidden layers. Then, and with damping, the flow is integrated in function space.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.arguments import check_run
from ntkng.fisher.base import Fisher
from ntkng.iterate import as_trajectory, initial_functions, kernels_of, velocity
from ntkng.kernels import Kernels
from ntkng.ode import integrate, validate_times
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.trajectory import FAMILIES, Trajectory
from ntkng.whitening import check_start, complement, mark, whiten_kernels


@in_float64
def cross_entropy_flow(
    problem: Problem,
    fisher: Fisher,
    kernels: Kernels | None = None,
    *,
    times: Any,
    initial: tuple[Any, Any] | None = None,
    rtol: float = 1e-10,
) -> Trajectory:
    """Logits of a wide network during natural gradient flow, on train and test inputs.

    Args:
        problem: with the loss `"softmax"` or `"logistic"`.
        fisher: the approximation; undamped and isotropic gives the closed form, others are integrated in function space
            (`Trajectory.source` tells).
        kernels: of `problem`'s inputs; `None` computes the infinite-width ones. Those of a finite network give its
            linearisation.
        times: `[T]`, all >= 0.
        initial: `(f_0(x), f_0(x'))`, with one leading axis for several networks; `None` starts at the zero function.
        rtol: relative tolerance of the integration.

    Raises:
        TypeError: an argument of another type, or a call inside a transformation of JAX.
        ValueError: another loss, negative times, kernels that do not fit, or, undamped, singular ones.
        RuntimeError: the integration stopped, for instance at a singularity of the empirical Fisher's flow.
    """
    check_run("cross_entropy_flow", problem, fisher, kernels, times=times, initial=initial)
    if problem.loss == "mse":
        raise ValueError("cross_entropy_flow is for 'softmax' and 'logistic', got 'mse'; use closed_form(flow=True)")
    times = validate_times(times)
    kernels = kernels_of(problem, fisher, kernels)
    start = initial_functions(problem, kernels, initial)
    starts = start.reshape(-1, *start.shape[-2:])
    alpha = fisher.predicted_alpha(mark(kernels))
    if alpha is None:
        paths = [_integrated(problem, fisher, kernels, one, times, rtol) for one in starts]
    else:
        paths = [_closed(problem, fisher, kernels, alpha, one, times) for one in starts]
    path = jnp.asarray(np.stack(paths)).reshape(*start.shape[:-2], *paths[0].shape)
    source = "ODE" if alpha is None else "closed form"
    return as_trajectory(problem, fisher, path, times=times, source=source)


def _closed(
    problem: Problem, fisher: Fisher, kernels: Kernels, alpha: float, start: Array, times: Float[np.ndarray, "T"]
) -> Float[np.ndarray, "T M C"]:
    """`f'_0 + K' (f_t - f_0) / alpha`, with `f_t` from the contracted probabilities."""
    first = np.asarray(start[: problem.samples])
    moved = FAMILIES[problem.loss].contract(first, problem.y, -alpha * times) - first
    if problem.loss == "softmax":
        moved = moved - moved.mean(axis=-1, keepdims=True)
    size, outputs = problem.samples, problem.outputs
    if kernels.block == 1:  # outputs are independent, or there is one
        cross = np.asarray(fisher.kernel(kernels).cross)
    else:
        basis = complement(jnp.full((size, outputs), outputs**-0.5))
        cross = np.asarray(fisher.kernel(whiten_kernels(kernels, basis)).cross)
        moved = np.einsum("ncr,tnc->tnr", np.asarray(basis), moved)
    fall = np.einsum("mk,tkc->tmc", cross, moved.reshape(len(times), cross.shape[1], -1), optimize=True)
    return np.asarray(start) + fall.reshape(len(times), *start.shape) / alpha


def _integrated(
    problem: Problem, fisher: Fisher, kernels: Kernels, start: Array, times: Float[np.ndarray, "T"], rtol: float
) -> Float[np.ndarray, "T M C"]:
    """The flow in function space, for any approximation."""
    targets = jnp.asarray(problem.y)
    check_start(problem.loss, fisher, kernels, start[: problem.samples], targets)
    moving = jax.jit(velocity, static_argnums=0)

    def function(flat: np.ndarray) -> np.ndarray:
        current = jnp.asarray(flat).reshape(start.shape)
        return -np.asarray(moving(problem.loss, fisher, kernels, current, targets)).ravel()

    path = integrate(function, np.asarray(start).ravel(), times, rtol=rtol, atol=rtol / 100)
    return path.reshape(-1, *start.shape)
