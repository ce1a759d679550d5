"""How a compiled loop of steps ends whose outputs stop being finite: an error that names the step and its cause, or a warning.

Inside of a loop nothing is inspected. Afterwards the first step with outputs that are not finite is looked up. Where outputs had grown
before, the step size was too large, which is a result and no mistake of the caller (step sizes are swept on purpose): a warning. Where
they had not, a system could not be solved: that step is looked at again, and its error is raised.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkng.precision import AnyArray, is_concrete

GROWTH = 10.0  # times the largest target or first output: outputs that were ever larger have diverged


def judge(
    outputs: tuple[Float[AnyArray, "*networks T M C"] | None, ...],
    targets: Float[AnyArray, "N C"],
    check: Callable[[int, int], Any],
    step_size: float,
) -> None:
    """Nothing where all outputs are finite, or traced.

    Args:
        outputs: on train and test inputs, at steps 0, 1, ..
        targets: `y`, for the scale of the outputs.
        check: given the indices of a network and of a step, refuses to take that step if a system is singular.
        step_size: `eta`, for the message.

    Raises:
        ValueError: outputs that are not finite although they had not grown.
    """
    if not is_concrete(outputs):
        return
    functions = [np.asarray(part) for part in outputs if part is not None]
    functions = [part.reshape(-1, *part.shape[-3:]) for part in functions]
    finite = np.all([np.isfinite(part).all(axis=(-2, -1)) for part in functions], axis=0)  # [networks, T]
    if finite.all():
        return
    failed = np.argmin(finite, axis=1)  # first failure of each network; 0 where there is none
    failed[finite.all(axis=1)] = finite.shape[1]
    network = int(np.argmin(failed))
    step = int(failed[network])
    where = f"step {step}" if len(finite) == 1 else f"step {step} of network {network}"
    if step == 0:
        raise ValueError(
            "the outputs at the start have NaN or infinite entries; check the parameters and the scale of the inputs"
        )
    scale = max(float(np.abs(targets).max()), *(float(np.abs(part[network, 0]).max()) for part in functions))
    largest = max(float(np.abs(part[network, :step]).max()) for part in functions)
    if largest > GROWTH * scale:
        warnings.warn(
            f"training diverged: outputs up to {largest:.1e} before {where}, NaN or infinite from there on; step size {step_size:.4g} "
            "is too large (the closed form's stability says which is not), or the damping too small",
            stacklevel=4,
        )
        return
    try:
        check(network, step - 1)
    except ValueError as error:
        raise ValueError(f"{where} could not be taken (step size {step_size:.4g}): {error}") from error
    raise ValueError(
        f"{where} gives outputs that are not finite, though its systems can be solved: something overflows; reduce the step size "
        f"{step_size:.4g}, use damping, or scale inputs and targets"
    )
