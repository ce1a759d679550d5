"""Losses of the RevMLP and the logit errors that Gauss-Newton inverts."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.families import Softmax
from ntkng.precision import is_concrete
from ntkng.targets import columns
from ntkng.validation import real_array

Objective = Literal["mse", "cross-entropy", "cross-entropy-exact"]
"""`"cross-entropy"` uses the identity as the Hessian of the loss, `"cross-entropy-exact"` the true one."""
OBJECTIVES: tuple[Objective, ...] = ("mse", "cross-entropy", "cross-entropy-exact")


def loss(objective: Objective, logits: Float[Array, "N C"], targets: Float[Array, "N C"]) -> Float[Array, ""]:
    """`(1/2N) sum |f - y|^2`, or `-(1/N) sum y log p`.

    Args:
        objective: one of `OBJECTIVES`; both cross-entropies are one loss.
        logits: `f`.
        targets: `y`, probabilities (one-hot) for the cross-entropies; `[N]` is `[N, 1]`.

    Raises:
        ValueError: another name, targets of another shape, or, unless traced, that are no targets of the objective.
    """
    targets = matched(objective, logits, targets)
    if objective == "mse":
        return 0.5 * jnp.sum((logits - targets) ** 2, axis=1).mean()
    log_p = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.where(targets == 0, 0, targets * log_p), axis=1).mean()


def function_error(
    objective: Objective, logits: Float[Array, "N C"], targets: Float[Array, "N C"]
) -> Float[Array, "N C"]:
    r"""`eps = H^+ grad`, per sample: what an exact Gauss-Newton step of size 1 would subtract from the logits.

    - `"mse"`: `eps = f - y`.
    - `"cross-entropy"`: `eps = p - y`, the gradient under the identity metric (`use_identity` in the released code).
    - `"cross-entropy-exact"`: `eps = Lambda^+ (p - y) = mean_c(y/p) - y/p` with `Lambda = diag(p) - p p^T`. It grows
      like `1/p_y`: a sample that is badly wrong gets an enormous step.

    Raises:
        ValueError: as for `loss`; unless traced, a step beyond the float range.
    """
    targets = matched(objective, logits, targets)
    if objective == "mse":
        return logits - targets
    if objective == "cross-entropy":
        p = jax.nn.softmax(logits)
        is_first = jax.nn.one_hot(logits.argmax(axis=1), logits.shape[1], dtype=bool)
        rest = jnp.where(is_first, jnp.where(is_first, 0, p).sum(axis=1, keepdims=True), 1 - p)
        return (1 - targets) * p - targets * rest  # p - y without cancellation
    ratio = jnp.where(targets == 0, 0, targets * jnp.exp(-jax.nn.log_softmax(logits)))
    error = ratio.mean(axis=1, keepdims=True) - ratio
    if is_concrete(error) and not bool(jnp.isfinite(error).all()) and bool(jnp.isfinite(logits).all()):
        raise ValueError(
            f"a target class is so improbable that 1/p_y, the exact Gauss-Newton step, is beyond {error.dtype}; use the objective "
            "'cross-entropy', or start from smaller logits"
        )
    return error


def accuracy(
    logits: Float[Array, "N C"], targets: Float[Array, "N C"], border: float | Array | None = None
) -> Float[Array, ""]:
    """Share of the samples whose largest logit is the target's.

    Args:
        logits: `f`.
        targets: `y`.
        border: with a single logit, the number between the two classes; `None` takes the midpoint of the targets
            (`ntkng.targets.border`). NaN where all targets are equal, and so is the accuracy.
    """
    targets = matched("mse", logits, targets)
    if logits.shape[1] > 1:
        return jnp.mean(logits.argmax(axis=1) == targets.argmax(axis=1))
    if border is None:
        least, most = targets.min(), targets.max()
        border = jnp.where(least < most, (least + most) / 2, jnp.nan)
    right = jnp.mean(jnp.sign(logits - border) == jnp.sign(targets - border))
    return jnp.where(jnp.isnan(border), jnp.nan, right)


def matched(objective: str, logits: Array, targets: Any) -> Float[Array, "N C"]:
    """Targets as an array like the logits; shapes are checked always, values unless they are traced."""
    check_objective(objective)
    if not isinstance(targets, jax.core.Tracer):
        targets = check_targets(objective, targets, logits.shape[-1])
    elif targets.ndim == 1 and logits.shape[-1] == 1:
        targets = targets[:, None]
    if targets.shape != logits.shape:
        raise ValueError(
            f"targets must have shape {list(logits.shape)} like the logits, got {list(targets.shape)}; one-hot encode"
        )
    return jnp.asarray(targets, logits.dtype)


def check_targets(objective: str, targets: Any, outputs: int, name: str = "targets") -> Float[np.ndarray, "N C"]:
    """`targets` as float64 `[N, C]`; see `loss` for what is refused."""
    y = columns(real_array(name, targets).astype(np.float64), outputs)
    if y.ndim != 2 or y.shape[1] != outputs:
        raise ValueError(
            f"{name} must have one column for each of the {outputs} logits, got shape {list(np.shape(targets))}; one-hot encode "
            "class numbers"
        )
    if objective != "mse":
        Softmax().require_means(y)
    return y


def check_objective(objective: str) -> None:
    """Raise `ValueError` for a name that is not in `OBJECTIVES`."""
    if objective not in OBJECTIVES:
        raise ValueError(f"got objective {objective!r}, expected one of {OBJECTIVES}")
