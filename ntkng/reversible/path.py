"""The logits of a network along full-batch Gauss-Newton, to be compared with a function-space flow."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkng.precision import in_float64
from ntkng.reversible.network import AnyArray, RevMLP, Weights
from ntkng.reversible.objective import Objective, check_objective, function_error
from ntkng.reversible.update import RightInverse, gauss_newton_direction


@in_float64
def gauss_newton_path(
    model: RevMLP,
    weights: Weights,
    inputs: Float[AnyArray, "N D"],
    targets: Float[AnyArray, "N C"],
    objective: Objective,
    rate: float,
    steps: int,
    inverse: RightInverse | None = None,
) -> Float[Array, "steps+1 N C"]:
    r"""Training logits after 0, 1, ..., `steps` updates `W <- W - eta R eps` on all samples.

    With full row rank `f_{k+1} = f_k - eta L_b eps_k + O(eta^2)`, so that `t = eta k` follows the function-space flow
    (`ntkng.function_space_flow`) with `alpha = L_b`: `Isotropic(L_b)` with `Gaussian()` for `"mse"` (more exactly
    `f_k - y = (1 - eta L_b)^k (f_0 - y)`) and with `Softmax()` for `"cross-entropy-exact"`; `IdentityMetric(L_b)` with
    `Softmax()` for `"cross-entropy"`. The deviation is of first order in `eta`.

    Raises:
        ValueError: unknown objective, or a rate or number of steps that is not positive.
    """
    check_objective(objective)
    if rate <= 0 or steps < 1:
        raise ValueError(f"got rate={rate}, steps={steps}, expected positive numbers")
    model, weights = jax.tree.map(jnp.asarray, (model, weights))
    x, y, inverse = jnp.asarray(inputs), jnp.asarray(targets), inverse or RightInverse(rtol=1e-12)
    path = []
    for _ in range(steps):
        weights, logits = _step(model, weights, x, y, rate, objective, inverse)
        path.append(logits)
    return jnp.stack([*path, model.logits(weights, x)])


@partial(jax.jit, static_argnames=("objective", "inverse"))
def _step(model: RevMLP, weights: Weights, x: Array, y: Array, rate: float, objective: Objective, inverse):
    """The next weights, and the logits before."""
    logits = model.logits(weights, x)
    error = function_error(objective, logits, y)
    direction = gauss_newton_direction(model, weights, x, error, inverse).weights
    return jax.tree.map(lambda w, v: w - rate * v, weights, direction), logits
