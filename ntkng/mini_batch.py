r"""Natural gradient descent on mini-batches.

A step on the batch `b` of `n` samples uses `F_b = J_b^T J_b / n` and moves the function everywhere, on and off the batch, by
`-eta K(x', x_b) r(x_b)`, `K` the preconditioned kernel of the batch's own layer kernels. On the batch an isotropic
approximation shrinks the residual by `1 - eta alpha`, to 0 for `eta = 1/alpha`; off the batch, what other batches have fitted is
disturbed. A sequence of steps is the product of linear maps

    r <- (I - eta K(x, x_b) E_b) r,           E_b the restriction to the batch,

which `ntkng.iterate(..., batches=...)` applies on train and test inputs alike, and `ntkng.simulate(..., batches=...)` does with a
finite network. For the exact Fisher and `eta = 1` these maps are projections in the kernel's Hilbert space (block Kaczmarz): they
converge to the interpolant of all data, at a rate below 1 that depends on the angles between batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkng.seeds import integer_seed
from ntkng.validation import nonnegative_integer, positive_integer, symmetric


def shuffled_batches(samples: int, size: int, *, epochs: int = 1, seed: int = 0) -> Int[np.ndarray, "steps n"]:
    """Batches of equal size that see every sample once an epoch, in random order (up to `samples % size` left out).

    Args:
        samples: N.
        size: n, at most N.
        epochs: how often to shuffle anew.
        seed: of the order.

    Raises:
        TypeError: sizes or a seed that are no integers.
        ValueError: a size above N, or a negative seed.
    """
    samples, size, epochs = (
        positive_integer(name, value) for name, value in (("samples", samples), ("size", size), ("epochs", epochs))
    )
    if size > samples:
        raise ValueError(f"size must be at most the number of samples {samples}, got {size}")
    rng = np.random.default_rng(integer_seed("seed", seed, smallest=0))
    count = samples // size
    return np.concatenate([rng.permutation(samples)[: count * size].reshape(count, size) for _ in range(epochs)])


def plan_steps(steps: Any, batches: Any, samples: int) -> tuple[int, Int[np.ndarray, "steps n"] | None]:
    """The number of steps, 10 by default, and the checked batches, if any: one a step.

    Raises:
        TypeError: a number of steps that is not an integer, and as `check_batches`.
        ValueError: a negative number of steps, and as `check_batches`.
    """
    if steps is not None:
        steps = nonnegative_integer("steps", steps)
    if batches is None:
        return 10 if steps is None else steps, None
    batches = check_batches(batches, samples, steps)
    return len(batches), batches


def check_batches(
    batches: Any, samples: int, steps: int | None = None, *, distinct: bool = True
) -> Int[np.ndarray, "steps n"]:
    """`batches` as an array of indices, one row a step, no index twice in a row if they are to be `distinct`.

    Raises:
        TypeError: not integers.
        ValueError: no batches, batches of several sizes or of no size, indices out of range or repeated in one batch, or a
            number of steps that is not `steps`.
    """
    if hasattr(batches, "__next__"):
        batches = list(batches)
    try:
        array = np.asarray(batches)
    except ValueError:  # NumPy's word for rows of several lengths
        sizes = sorted({np.size(batch) for batch in batches})
        raise ValueError(
            f"batches must all have one size, got the sizes {sizes}; leave out the incomplete last one, as "
            "ntkng.shuffled_batches does"
        ) from None
    if array.ndim != 2 or array.size == 0:
        fix = "pass [batch] for a single one" if array.ndim < 2 else "one row of indices a step"
        fix = fix if array.size else "pass steps=0 for the start alone"
        raise ValueError(f"batches must have shape [steps, n], a list of batches, got shape {list(array.shape)}; {fix}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"batches must be integers, got dtype {array.dtype}; pass indices of training inputs")
    if array.min() < 0 or array.max() >= samples:
        raise ValueError(
            f"batches must hold indices of the {samples} samples, indices 0 .. {samples - 1}, got {array.min()} .. {array.max()}"
        )
    ordered = np.sort(array, axis=1)
    if distinct and (ordered[:, 1:] == ordered[:, :-1]).any():
        row = int((ordered[:, 1:] == ordered[:, :-1]).any(axis=1).argmax())
        raise ValueError(
            f"batch {row} of batches holds an index twice, which makes its kernels singular; draw without replacement"
        )
    if steps is not None and steps != len(array):
        raise ValueError(f"got steps = {steps} and {len(array)} batches; drop steps")
    return array.astype(int)


def kaczmarz_rate(theta: Float[np.ndarray, "N N"], batches: Int[np.ndarray, "steps n"]) -> float:
    """By how much one pass over `batches` shrinks the error of the exact Fisher with `eta = 1`, in the kernel's norm.

    The norm of the product of the projections `I - P_b`, `P_b = R_b^T (R_b R_b^T)^{-1} R_b` with `Theta = R R^T`:
    `|r_pass|_{Theta^{-1}} <= rate |r_0|_{Theta^{-1}}`. (C = 1, or independent outputs.)

    Args:
        theta: the NTK on the training inputs, nonsingular.
        batches: that together hold every sample.

    Raises:
        TypeError: batches that are not integers.
        ValueError: batches that do not fit `theta`, or some sample is in no batch (the rate is 1 then), or a kernel that is
            not symmetric, finite and positive definite.
    """
    theta = symmetric("theta", theta)
    batches = check_batches(batches, len(theta), distinct=False)
    missing = sorted(set(range(len(theta))) - set(batches.ravel().tolist()))
    if missing:
        raise ValueError(f"no batch holds the samples {missing[:5]}; the error there does not shrink")
    length = np.sqrt(np.abs(np.diag(theta)))  # of the rows of R: the projections depend on their directions only
    if not length.all():
        raise ValueError(
            f"theta must be nonsingular, got 0 on the diagonal for sample {int(length.argmin())}; remove it"
        )
    unit = theta / length[:, None] / length
    smallest = np.linalg.eigvalsh(unit)[0]
    if not smallest > len(unit) * np.finfo(float).eps:
        raise ValueError(
            "theta must be positive definite, got a kernel that is singular or indefinite (smallest eigenvalue "
            f"{smallest:.1e} with its diagonal scaled to 1); remove duplicated samples"
        )
    root = np.linalg.cholesky(unit)
    product = np.eye(len(theta))
    for batch in batches:
        span, _ = np.linalg.qr(root[np.unique(batch)].T)
        product = product - span @ (span.T @ product)
    return float(np.linalg.norm(product, 2))
