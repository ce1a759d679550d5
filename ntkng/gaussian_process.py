r"""Regression with the Gaussian process that an infinitely wide untrained network is (NNGP).

With `f ~ GP(0, S kron I_C)` and targets `y = f(x) + noise`, of variance `s^2`, the posterior on further inputs and the evidence are

    E f' = S' (S + s^2 I)^{-1} y,      Cov f' = S'' - S' (S + s^2 I)^{-1} S'^T,
    log p(y) = -1/2 tr(y^T (S + s^2 I)^{-1} y) - C/2 log det(S + s^2 I) - N C / 2 log 2 pi

(Williams and Rasmussen 1996; Lee et al. 2018). It is the law of a network of which the last layer alone is trained to convergence.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jaxtyping import Array, Float

from ntkng.conditioning import inspect, require_nonsingular
from ntkng.kernels.covariance import nngp, variance
from ntkng.precision import AnyArray, in_float64
from ntkng.problem import Problem
from ntkng.validation import nonnegative


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Posterior:
    """What Gaussian-process regression says of the test inputs and of the model.

    Attributes:
        mean: `E f'`, `[M, C]`, or `None` without test inputs.
        covariance: of one output among the test inputs, `[M, M]`, noise of new targets not included; or their variances `[M]`;
            or `None`. Different outputs are independent.
        log_marginal_likelihood: `log p(y)` of all outputs together, in nats.
        noise: `s^2`.
        condition: condition number of `S + s^2 I`.
    """

    mean: Float[AnyArray, "M C"] | None
    covariance: Float[AnyArray, "M *M"] | None
    log_marginal_likelihood: Float[AnyArray, ""]
    noise: float
    condition: float

    @property
    def standard_deviation(self) -> Float[np.ndarray, "M"]:
        """Of the function at each test input; `ValueError` where there are none."""
        if self.covariance is None:
            raise ValueError("this posterior has no test inputs; give the Problem x_test")
        covariance = np.asarray(self.covariance)
        variances = covariance if covariance.ndim == 1 else np.diagonal(covariance)
        return np.sqrt(np.maximum(variances, 0))  # rounding, where it vanishes


@in_float64
def nngp_regression(problem: Problem, *, noise: float = 0.0, full_covariance: bool = True) -> Posterior:
    """Gaussian-process regression with the network's NNGP kernel.

    Args:
        problem: network, inputs and targets; squared loss. Class targets are regressed on, as Lee et al. (2018) do.
        noise: `s^2`, variance of the noise on the targets, in their units squared; 0 interpolates.
        full_covariance: `False` gives the variances `[M]` in place of `[M, M]`.

    Raises:
        ValueError: another loss, negative noise, or a kernel that is singular at this noise; the rank is named.

    Example:
        ```python
        posterior = ntkng.nngp_regression(problem, noise=1e-2)
        posterior.mean, posterior.standard_deviation, posterior.log_marginal_likelihood
        ```
    """
    if problem.loss != "mse":
        raise ValueError(
            f"nngp_regression is for the squared loss, got {problem.loss!r}; pose the problem with loss='mse'"
        )
    nonnegative("noise", noise)
    train = jnp.asarray(nngp(problem.network, problem.x))
    found = inspect("the NNGP kernel plus noise", train, float(noise))
    require_nonsingular(found, "use noise > 0, fewer samples or other inputs")
    factor = jnp.linalg.cholesky(train + noise * jnp.eye(len(train)))
    whitened = jax.scipy.linalg.solve_triangular(factor, jnp.asarray(problem.y), lower=True)
    samples, outputs = problem.y.shape
    half_determinant = jnp.log(jnp.diagonal(factor)).sum()
    evidence = -(whitened**2).sum() / 2 - outputs * half_determinant - samples * outputs / 2 * np.log(2 * np.pi)
    mean, covariance = None, None
    if problem.x_test is not None:
        mean, covariance = _predict(problem, factor, whitened, full_covariance)
    return Posterior(mean, covariance, evidence, float(noise), found.condition)


def _predict(problem: Problem, factor: Array, whitened: Array, full_covariance: bool) -> tuple[Array, Array]:
    network, x, x_test = problem.network, problem.x, problem.x_test
    assert x_test is not None
    cross = jax.scipy.linalg.solve_triangular(factor, jnp.asarray(nngp(network, x, x_test)), lower=True)  # [N, M]
    if full_covariance:
        return cross.T @ whitened, jnp.asarray(nngp(network, x_test)) - cross.T @ cross
    return cross.T @ whitened, jnp.asarray(variance(network, x_test)) - (cross**2).sum(axis=0)
