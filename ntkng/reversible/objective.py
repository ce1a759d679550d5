"""Losses of the RevMLP and the logit errors that Gauss-Newton inverts."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Objective = Literal["mse", "cross-entropy", "cross-entropy-exact"]
"""`"cross-entropy"` uses the identity as the Hessian of the loss, `"cross-entropy-exact"` the true one."""
OBJECTIVES: tuple[Objective, ...] = ("mse", "cross-entropy", "cross-entropy-exact")


def loss(objective: Objective, logits: Float[Array, "N C"], targets: Float[Array, "N C"]) -> Float[Array, ""]:
    """`(1/2N) sum |f - y|^2`, or `-(1/N) sum y log p`.

    Args:
        objective: one of `OBJECTIVES`; both cross-entropies are one loss.
        logits: `f`.
        targets: `y`, one-hot for the cross-entropies.
    """
    check_objective(objective)
    if objective == "mse":
        return 0.5 * jnp.sum((logits - targets) ** 2, axis=1).mean()
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=1).mean()


def function_error(
    objective: Objective, logits: Float[Array, "N C"], targets: Float[Array, "N C"]
) -> Float[Array, "N C"]:
    r"""`eps = H^+ grad`, per sample: what an exact Gauss-Newton step of size 1 would subtract from the logits.

    - `"mse"`: `eps = f - y`.
    - `"cross-entropy"`: `eps = p - y`, the gradient under the identity metric (`use_identity` in the released code).
    - `"cross-entropy-exact"`: `eps = Lambda^+ (p - y) = mean_c(y/p) - y/p` with `Lambda = diag(p) - p p^T`. It grows
      like `1/p_y`: a sample that is badly wrong gets an enormous step.
    """
    check_objective(objective)
    if objective == "mse":
        return logits - targets
    if objective == "cross-entropy":
        return jax.nn.softmax(logits) - targets
    ratio = targets * jnp.exp(-jax.nn.log_softmax(logits))
    return ratio.mean(axis=1, keepdims=True) - ratio


def accuracy(logits: Float[Array, "N C"], targets: Float[Array, "N C"]) -> Float[Array, ""]:
    """Share of the samples whose largest logit is the target's."""
    return jnp.mean(logits.argmax(axis=1) == targets.argmax(axis=1))


def check_objective(objective: str) -> None:
    """Raise `ValueError` for a name that is not in `OBJECTIVES`."""
    if objective not in OBJECTIVES:
        raise ValueError(f"got objective {objective!r}, expected one of {OBJECTIVES}")
