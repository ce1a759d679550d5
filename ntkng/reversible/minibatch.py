"""Where mini-batch Gauss-Newton stops: the linear-Gaussian model of its stationary risk."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def _check(features: int, batch: int, rate: float, noise: float) -> None:
    if not (0 < rate < 2 and noise >= 0):
        raise ValueError(f"got rate={rate}, noise={noise}, expected 0 < rate < 2 and noise >= 0")
    if min(features, batch) < 1 or abs(features - batch) < 2:
        raise ValueError(
            f"got features={features}, batch={batch}, expected positive numbers at least 2 apart: nearer to the"
            " interpolation threshold the pseudo-inverse has no finite second moment"
        )


def stationary_excess_risk(features: int, batch: int, rate: float, noise: float) -> float:
    r"""`noise^2 rate / (2 - rate) P / (|P - B| - 1)`: the floor of mini-batch Gauss-Newton, linear-Gaussian model.

    The model has `P` Gaussian features `x ~ N(0, I)`, targets `y = x.theta* + noise * xi`, and a fresh batch of `B`
    samples for every step `theta <- theta - rate X^+ (X theta - y)`. The loss on each batch falls by the full factor
    `(1 - rate)^2` when `B < P`, while the excess risk `E |theta - theta*|^2` stays at this floor.

    Args:
        features: `P`.
        batch: `B`.
        rate: the effective learning rate, `eta L_b` for a RevMLP.
        noise: standard deviation `sigma` of the label noise.

    Raises:
        ValueError: `|P - B| < 2` (infinite variance) or `rate` outside `(0, 2)`.
    """
    _check(features, batch, rate, noise)
    return noise**2 * rate / (2 - rate) * features / (abs(features - batch) - 1)


def mean_contraction(features: int, batch: int, rate: float) -> float:
    """Factor of `E |theta - theta*|^2` per step without noise: `1 - rate (2 - rate) B/P`, or `(1 - rate)^2` if `B > P`.

    In the model of `stationary_excess_risk`.
    """
    _check(features, batch, rate, 0.0)
    return 1 - rate * (2 - rate) * min(1.0, batch / features)


def simulate_excess_risk(
    rng: np.random.Generator, features: int, batch: int, rate: float, noise: float, *, steps: int, chains: int = 1
) -> Float[np.ndarray, "steps+1 chains"]:
    """`|theta_k - theta*|^2` of the model of `stationary_excess_risk`, from `theta_0 = theta*`, fresh batches.

    Args:
        rng: source of the batches.
        features: `P`.
        batch: `B`.
        rate: the effective learning rate.
        noise: standard deviation of the label noise.
        steps: number of updates.
        chains: independent runs.
    """
    _check(features, batch, rate, noise)
    error = np.zeros((chains, features))
    path = np.zeros((steps + 1, chains))
    for step in range(steps):
        x = rng.standard_normal((chains, batch, features))
        residual = np.einsum("kbp,kp->kb", x, error) - noise * rng.standard_normal((chains, batch))
        error = error - rate * _least_squares(x, residual)
        path[step + 1] = np.sum(error**2, axis=1)
    return path


def _least_squares(x: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """`X^+ r` for a stack of full-rank Gaussian matrices, through the smaller Gram matrix."""
    transposed = x.transpose(0, 2, 1)
    if x.shape[1] <= x.shape[2]:
        dual = np.linalg.solve(x @ transposed, residual[..., None])
        return (transposed @ dual)[..., 0]
    return np.linalg.solve(transposed @ x, transposed @ residual[..., None])[..., 0]
