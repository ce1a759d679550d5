r"""How far the parameters of a wide network move during training, in closed form.

The parameters of a network that stays at its linearisation have moved, after steps with residuals `r_0, r_1, ..`, by

    theta_t - theta_0 = -(G + rho I)^{-1} J^T s_t / N,     s_t = eta sum_{u < t} r_u,

so that `|theta_t - theta_0|^2 = s_t^T Q s_t` with `Q = J (G + rho I)^{-2} J^T / N^2`. Like the preconditioned kernel, `Q` needs layer kernels
only, and none of it grows with the width: the displacement of a wide network is bounded, although it has ever more parameters.

| approximation | `Q` |
|---|---|
| gradient descent | `Theta / (N (1 + rho))^2` |
| layer pattern `T` | `sum_l V_l^T Theta_l V_l`, `V` as in `ntkng.fisher.layer_pattern` (exact, undamped: `Theta^{-1}`) |
| K-FAC, hidden layers | `N^2 (A^+ A A^+ kron 1) o (B^+ B B^+)`, `A^+ = (A + N rho_A I)^{-1}`, `B^+` alike |
| K-FAC, output layer | `(A^+ A A^+ kron 1) o B_L / (1 + rho_B)^2` |

Unit-wise blocks have no such form. (Ours; Karakida and Osawa 2020, section 3, state that the displacement is bounded.)
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.arguments import require_type
from ntkng.fisher import KFAC, Fisher, GradientDescent, LayerPattern
from ntkng.kernels import Kernels, LayerKernels
from ntkng.kernels.kernels import sum_
from ntkng.layers.affine_gram import kronecker_gram
from ntkng.precision import in_float64
from ntkng.trajectory import Trajectory


@in_float64
def displacement(fisher: Fisher, kernels: Kernels, trajectory: Trajectory) -> Float[np.ndarray, "*seeds T"]:
    """`|theta_t - theta_0|` at every step of a trajectory in function space.

    Args:
        fisher: the approximation of the trajectory.
        kernels: analytic, or of the finite network whose linearisation the trajectory is.
        trajectory: from `closed_form`, with every step from 0 on; squared loss.

    Raises:
        TypeError: an argument of another type.
        ValueError: kernels of other sizes than the trajectory,
            a flow, steps left out, another loss, an approximation or layers for which there is no closed form.
    """
    require_type("fisher", fisher, Fisher, "give an approximation such as ntkng.Exact() first")
    require_type("kernels", kernels, Kernels, "compute them with ntkng.analytic or ntkng.empirical")
    require_type("trajectory", trajectory, Trajectory, "make one with ntkng.closed_form")
    if (kernels.samples, kernels.outputs) != np.shape(trajectory.targets):
        raise ValueError(
            f"kernels are for N = {kernels.samples}, C = {kernels.outputs}, the trajectory has targets "
            f"{list(np.shape(trajectory.targets))}; give the kernels that it was made with"
        )
    times = np.asarray(trajectory.times)
    if trajectory.step_size is None or not np.array_equal(times, np.arange(len(times))):
        raise ValueError("displacement needs every step 0, 1, .. of a discrete trajectory; ask closed_form for steps=T")
    if trajectory.loss != "mse":
        raise ValueError(f"displacement is for the squared loss, got {trajectory.loss!r}")
    residual = np.asarray(trajectory.residual)
    total = trajectory.step_size * np.cumsum(residual, axis=-3)
    moved = np.concatenate([np.zeros_like(total[..., :1, :, :]), total[..., :-1, :, :]], axis=-3)
    kernel = np.asarray(movement_kernel(fisher, kernels))
    columns = moved.reshape(*moved.shape[:-2], len(kernel), -1)
    squares = np.einsum("...nc,nm,...mc->...", columns, kernel, columns, optimize=True)
    return np.sqrt(np.maximum(squares, 0))


@functools.singledispatch
def movement_kernel(fisher: Fisher, kernels: Kernels) -> Float[Array, "n n"]:
    """`Q` of the module; `ValueError` for approximations without one.

    Args:
        fisher: gradient descent, a layer pattern or K-FAC.
        kernels: of the training inputs.
    """
    del kernels
    raise ValueError(f"the displacement of {fisher.name} has no closed form here; simulate, and take run.displacement")


@movement_kernel.register
def _(fisher: GradientDescent, kernels: Kernels) -> Array:
    return kernels.theta.train / (kernels.samples * (1 + fisher.damping)) ** 2


@movement_kernel.register
def _(fisher: LayerPattern, kernels: Kernels) -> Array:
    fisher.check(kernels)
    duals = fisher.duals(kernels, jnp.eye(kernels.size))
    pairs = zip(kernels.layers, duals, strict=True)
    return sum_(dual.T @ layer.theta.train @ dual for layer, dual in pairs if dual is not None)


@movement_kernel.register
def _(fisher: KFAC, kernels: Kernels) -> Array:
    fisher.check(kernels)
    return sum_(_kronecker_movement(fisher, layer, kernels) for layer in kernels.layers)


def _kronecker_movement(fisher: KFAC, layer: LayerKernels, kernels: Kernels) -> Array:
    if layer.positions > 1 or layer.inner is None or layer.backward is None or fisher.is_pseudo:
        raise ValueError(
            f"layer {layer.name}: K-FAC's displacement is for dense layers without positions, not pseudo-inverses"
        )
    samples = kernels.samples
    rho_inner, rho_backward = fisher.dampings(layer, kernels)
    inner = _sandwich(layer.inner.train, samples * rho_inner)
    if not layer.is_output:
        return samples**2 * kronecker_gram(inner, _sandwich(layer.backward.train, samples * rho_backward), 1)
    scale: Any = 1 if fisher.last_layer == "fisher" else samples
    return kronecker_gram(inner, layer.backward.train, 1) * (scale / (1 + rho_backward)) ** 2


def _sandwich(gram: Array, shift: Any) -> Array:
    """`(G + s I)^{-1} G (G + s I)^{-1}`."""
    shifted = gram + shift * jnp.eye(len(gram), dtype=gram.dtype)
    half = jnp.linalg.solve(shifted, gram)
    return jnp.linalg.solve(shifted, half.T)
