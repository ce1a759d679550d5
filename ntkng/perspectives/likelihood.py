"""Losses with their predictive distribution: what decides whether the Fisher is the Gauss-Newton matrix."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
import scipy.linalg
from jaxtyping import Float
from scipy import stats

from ntkng.families import Bernoulli, Family, Gaussian, Poisson, Softmax
from ntkng.targets import paired

__all__ = ["Canonical", "Likelihood", "PoissonIdentityLink", "output_fisher"]

CHARLIER_NODES = 8
COUNTED = 1e4  # means up to which counts are listed one by one
LARGEST_MEAN = 1e12
GAUSS_HERMITE_NODES = 8  # exact for polynomials of degree 15; the score of a Gaussian is linear


@dataclasses.dataclass(frozen=True)
class Likelihood(abc.ABC):
    """A loss `l(z, y) = -log p(y | z)` on network outputs `z` of shape `[N C]`.

    Attributes:
        independent: whether the `C` outputs of a sample are independent under `p(. | z)`.
    """

    independent: bool = dataclasses.field(default=True, init=False)

    @abc.abstractmethod
    def score(self, z: Float[np.ndarray, "... N C"], y: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C"]:
        """`dl/dz`."""

    @abc.abstractmethod
    def hessian(self, z: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C C"]:
        """`H_L = d^2 l / dz^2` at the target `y`."""

    @abc.abstractmethod
    def outcomes(self, z: Float[np.ndarray, "N C"]) -> tuple[Float[np.ndarray, "K N C"], Float[np.ndarray, "K N C"]]:
        """Values of `y ~ p(. | z)` and their probabilities, so that expectations are sums over the first axis.

        For independent outputs each column is the law of one output; otherwise the weights are equal along `C` and the
        values joint.
        """

    @abc.abstractmethod
    def loss(self, z: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N C"]) -> float:
        """`(1/N) sum_n l(z_n, y_n)`, up to a constant in `y`."""


@dataclasses.dataclass(frozen=True)
class Canonical(Likelihood):
    """An exponential family whose outputs are its natural parameters: `score = mu(z) - y`, `H_L = Lambda(z)`.

    Here `H_L` does not depend on `y`, which makes the Fisher equal to the generalised Gauss-Newton matrix.

    Attributes:
        family: from `ntkng.families`.

    Raises:
        TypeError: if `family` is not one of `Gaussian`, `Bernoulli`, `Softmax`, `Poisson`.
    """

    family: Family

    def __post_init__(self) -> None:
        if not isinstance(self.family, (Gaussian, Bernoulli, Softmax, Poisson)):
            raise TypeError(f"expected a Gaussian, Bernoulli, Softmax or Poisson family, got {self.family!r}")
        object.__setattr__(self, "independent", not isinstance(self.family, Softmax))

    def score(self, z, y):
        """`mu(z) - y`."""
        return self.family.residual(z, y)

    def hessian(self, z, y):
        """`Lambda(z)`, whatever `y` is."""
        return self.family.variance(z)

    def loss(self, z, y):
        """The family's loss."""
        return float(self.family.loss(z, y))

    def outcomes(self, z):
        """Gauss-Hermite nodes, both labels, all classes, or counts up to a negligible tail."""
        mu = self.family.mean(z)
        if isinstance(self.family, Gaussian):
            nodes, weights = np.polynomial.hermite_e.hermegauss(GAUSS_HERMITE_NODES)
            weights = weights / weights.sum()
            return mu + nodes[:, None, None], np.broadcast_to(weights[:, None, None], (nodes.size, *mu.shape))
        if isinstance(self.family, Bernoulli):
            return np.stack([np.zeros_like(mu), np.ones_like(mu)]), np.stack([self.family.mean(-np.asarray(z)), mu])
        if isinstance(self.family, Softmax):
            classes = np.eye(mu.shape[1])[:, None, :] * np.ones_like(mu)
            return classes, np.broadcast_to(mu.T[:, :, None], classes.shape)
        return _counts(mu)


@dataclasses.dataclass(frozen=True)
class PoissonIdentityLink(Likelihood):
    """Counts whose mean is the output itself: `l = z - y log z`, `score = 1 - y/z`, `H_L = y/z^2`, Fisher `1/z`.

    The outputs are not natural parameters, `H_L` depends on `y`, and the Fisher is not the generalised Gauss-Newton
    matrix: the counterexample of Martens (2020).
    """

    def score(self, z, y):
        """`1 - y/z`."""
        z, y = _pair(z, y)
        return (z - y) / z

    def hessian(self, z, y):
        """`y / z^2` on the diagonal."""
        z, y = _pair(z, y)
        return (y / z / z)[..., None] * np.eye(z.shape[-1])

    def loss(self, z, y):
        """`(1/N) sum z - y log z`."""
        z, y = _pair(z, y)
        return float(np.sum(z - y * np.log(z), axis=-1).mean())

    def outcomes(self, z):
        """Counts up to a negligible tail."""
        return _counts(_positive(z))


def output_fisher(likelihood: Likelihood, z: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C C"]:
    """`F_R = E_{y ~ p(.|z)}[score score^T]`, summed over the outcomes `y` (no formula for the variance is used).

    The Fisher matrix is `(1/N) sum_n J_n^T F_R J_n`; it equals the generalised Gauss-Newton matrix, which has
    `H_L(z_n, y_n)` in place of `F_R`, if and only if the two agree on average over the training targets (Martens 2020).

    Args:
        likelihood: score and predictive distribution.
        z: outputs.
    """
    values, weights = likelihood.outcomes(np.asarray(z, dtype=np.float64))
    score = likelihood.score(np.broadcast_to(z, values.shape), values)
    if not likelihood.independent:
        return np.einsum("knc,knd,knd->ncd", score, score, weights)
    mean = np.einsum("knc,knc->nc", score, weights)
    second = (score * weights * score).sum(axis=0)  # in this order: squares of large scores have small weights
    product = mean[:, :, None] * mean[:, None, :]
    diagonal = np.eye(z.shape[1], dtype=bool)
    return np.where(diagonal, second[:, :, None], product)


def _counts(mu: Float[np.ndarray, "N C"]) -> tuple[Float[np.ndarray, "K N C"], Float[np.ndarray, "K N C"]]:
    """All counts that matter; for large means the nodes of the Gauss-Charlier rule in their place.

    By Chernoff, a mass below 1e-20 is left out. The rule is exact for polynomials of degree 15 in the count; both scores are linear.

    Raises:
        ValueError: a mean so large that its standard deviation is lost beside it.
    """
    if not np.max(mu) <= LARGEST_MEAN:
        raise ValueError(
            f"counts of mean {np.max(mu):.3g} cannot be told apart from their mean in float64; expected at most "
            f"{LARGEST_MEAN:.0e}: scale the rates down, or use the variance of the family (its Fisher information) itself"
        )
    is_small = mu <= COUNTED
    mean = float(np.max(mu, where=is_small, initial=0.0))
    number = max(int(np.ceil(mean + 10.0 * np.sqrt(mean) + 60.0)) + 1, CHARLIER_NODES)
    counts = np.arange(number, dtype=np.float64)[:, None, None] * np.ones_like(mu)
    weights = np.where(is_small, stats.poisson.pmf(counts, np.where(is_small, mu, 0.0)), 0.0)
    for place in zip(*np.nonzero(~is_small), strict=True):
        counts[:CHARLIER_NODES, *place], weights[:CHARLIER_NODES, *place] = _charlier(float(mu[place]))
    return counts, weights


def _charlier(mean: float) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Nodes and weights of the Gauss rule of the Poisson law, from its three-term recurrence (Golub and Welsch)."""
    index = np.arange(CHARLIER_NODES)
    nodes, vectors = scipy.linalg.eigh_tridiagonal(index.astype(float), np.sqrt(mean * index[1:]))
    return mean + nodes, vectors[0] ** 2


def _pair(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z, y = paired(_positive(z), y)
    Poisson().require_means(y)
    return z, y


def _positive(z: Float[np.ndarray, "... C"]) -> Float[np.ndarray, "... C"]:
    z = np.asarray(z, dtype=np.float64)
    if not np.all(z > 0.0):
        raise ValueError(f"an identity link needs positive outputs, got {z.min():.4g}; add a positive output layer")
    return z
