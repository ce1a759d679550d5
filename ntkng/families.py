"""Exponential families with their canonical link: what a loss is, seen from the logits.

A family has the negative log-likelihood `l(f, y) = A(f) - y.f` (up to a term in `y`), the mean `mu(f) = grad A(f)` and
the variance `Lambda(f) = dmu/df = Hess A(f)`, which is the Fisher information in the logits and also the Hessian of
`l` (so the Fisher matrix is the generalised Gauss-Newton matrix; Martens 2020). The gradient is `mu(f) - y`.
Everything is NumPy float64 and takes leading batch axes, so that a whole path `[T N C]` goes through at once.
"""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_expit, logsumexp

__all__ = ["Bernoulli", "Family", "Gaussian", "Poisson", "Softmax"]


@dataclasses.dataclass(frozen=True)
class Family(abc.ABC):
    """An exponential family with canonical link."""

    @abc.abstractmethod
    def mean(self, f: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C"]:
        """`mu(f)`."""

    @abc.abstractmethod
    def variance(self, f: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C C"]:
        """`Lambda(f) = dmu/df`, one `C x C` block a sample (no `1/N`)."""

    @abc.abstractmethod
    def solve_variance(self, f: Float[np.ndarray, "... N C"], v: Float[np.ndarray, "... N C"]) -> np.ndarray:
        """`Lambda(f)^+ v` for `v` in the range of `Lambda` (for softmax: rows that sum to zero), in closed form."""

    @abc.abstractmethod
    def link(self, mu: Float[np.ndarray, "... N C"]) -> Float[np.ndarray, "... N C"]:
        """Logits that have the mean `mu` (softmax: those whose class mean is zero)."""

    @abc.abstractmethod
    def loss(self, f: Float[np.ndarray, "... N C"], y: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "..."]:
        """Negative log-likelihood, summed over `C` and averaged over the `N` samples (here is the `1/N`)."""

    @abc.abstractmethod
    def contract(self, f: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N C"], log_decay: np.ndarray) -> np.ndarray:
        """Logits `[... N C]` of the mean `y + exp(log_decay) (mu(f) - y)`, accurate however small the decay is."""

    def residual(self, f: Float[np.ndarray, "... N C"], y: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "... N C"]:
        """`mu(f) - y`, the gradient of each sample's loss in its logits."""
        return self.mean(f) - y

    def validate_targets(self, y: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """`y` as float64; raises `ValueError` when it is not a finite `[N C]` array of possible means."""
        return _finite_matrix(y, "targets")

    def validate_logits(self, f: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """`f` as float64; raises `ValueError` when it is not a finite `[N C]` array."""
        return _finite_matrix(f, "logits")


@dataclasses.dataclass(frozen=True)
class Gaussian(Family):
    """Unit-variance Gaussian: `l = |f - y|^2 / 2`, `mu = f`, `Lambda = I`."""

    def mean(self, f):
        """`f`."""
        return np.asarray(f, dtype=np.float64)

    def variance(self, f):
        """The identity."""
        f = np.asarray(f, dtype=np.float64)
        return np.broadcast_to(np.eye(f.shape[-1]), (*f.shape, f.shape[-1])).copy()

    def solve_variance(self, f, v):
        """`v`."""
        return np.asarray(v, dtype=np.float64)

    def link(self, mu):
        """`mu`."""
        return np.asarray(mu, dtype=np.float64)

    def loss(self, f, y):
        """`(1/2N) sum |f - y|^2`."""
        return 0.5 * np.sum((np.asarray(f) - y) ** 2, axis=-1).mean(-1)

    def contract(self, f, y, log_decay):
        """`y + exp(log_decay) (f - y)`."""
        return y + np.exp(log_decay)[..., None, None] * (np.asarray(f) - y)


@dataclasses.dataclass(frozen=True)
class Bernoulli(Family):
    """Each of the `C` outputs a logistic model: `l = log(1 + e^f) - y f`, `mu = sigma(f)`, `Lambda = mu (1 - mu)`."""

    def mean(self, f):
        """`sigma(f)`."""
        return expit(np.asarray(f, dtype=np.float64))

    def variance(self, f):
        """`sigma(f) sigma(-f)` on the diagonal."""
        return _diagonal(self.mean(f) * self.mean(-np.asarray(f)))

    def solve_variance(self, f, v):
        """`v / Lambda`."""
        return v / (self.mean(f) * self.mean(-np.asarray(f)))

    def link(self, mu):
        """`log mu - log(1 - mu)`."""
        mu = np.asarray(mu, dtype=np.float64)
        return _log(mu) - _log(1 - mu)

    def loss(self, f, y):
        """Cross-entropy."""
        f = np.asarray(f, dtype=np.float64)
        return np.sum(-y * log_expit(f) - (1 - y) * log_expit(-f), axis=-1).mean(-1)

    def residual(self, f, y):
        """`sigma(f) - y`, without cancellation for hard labels."""
        return (1 - y) * self.mean(f) - y * self.mean(-np.asarray(f))

    def contract(self, f, y, log_decay):
        """Log-odds of the contracted mean."""
        f = np.asarray(f, dtype=np.float64)
        return _log_mixture(log_expit(f), y, log_decay) - _log_mixture(log_expit(-f), 1 - y, log_decay)

    def validate_targets(self, y):
        """Also: entries in [0, 1]."""
        y = super().validate_targets(y)
        if y.min() < 0 or y.max() > 1:
            raise ValueError(f"Bernoulli targets must lie in [0, 1], got minimum {y.min():.4g}, maximum {y.max():.4g}")
        return y


@dataclasses.dataclass(frozen=True)
class Softmax(Family):
    """Multinomial: `l = -sum_c y_c log p_c`, `mu = p = softmax(f)`, `Lambda = diag(p) - p p^T` (rank `C - 1`)."""

    def mean(self, f):
        """`softmax(f)`."""
        return expit(-_against_the_rest(f))

    def variance(self, f):
        """`diag(p) - p p^T`."""
        margin = _against_the_rest(f)
        p = expit(-margin)
        products = p[..., :, None] * p[..., None, :]
        return np.where(np.eye(p.shape[-1], dtype=bool), _diagonal(p * expit(margin)), -products)  # no 1 - p

    def solve_variance(self, f, v):
        """`v/p - mean_c(v/p)`: indeed `Lambda (v/p) = v` when `sum_c v = 0`, and this has no all-ones part."""
        ratio = v / self.mean(f)
        return ratio - ratio.mean(-1, keepdims=True)

    def link(self, mu):
        """`log p - mean_c log p`."""
        log_p = _log(np.asarray(mu, dtype=np.float64))
        return log_p - log_p.mean(-1, keepdims=True)

    def loss(self, f, y):
        """Cross-entropy."""
        return np.sum(-y * log_expit(-_against_the_rest(f)), axis=-1).mean(-1)

    def residual(self, f, y):
        """`p - y`, without cancellation for hard labels."""
        margin = _against_the_rest(f)
        return (1 - y) * expit(-margin) - y * expit(margin)

    def contract(self, f, y, log_decay):
        """`log p - mean_c log p` of the contracted mean."""
        log_p = _log_mixture(log_expit(-_against_the_rest(f)), y, log_decay)
        return log_p - log_p.mean(-1, keepdims=True)

    def validate_targets(self, y):
        """Also: at least two classes, rows on the simplex."""
        y = super().validate_targets(y)
        if y.shape[-1] < 2:
            raise ValueError(f"softmax needs at least 2 classes, got targets of shape {y.shape}; use Bernoulli for one")
        if y.min() < 0 or np.abs(y.sum(-1) - 1).max() > 1e-10:
            raise ValueError(f"softmax targets must be rows on the simplex, got row sums {y.sum(-1)}; one-hot encode")
        return y


@dataclasses.dataclass(frozen=True)
class Poisson(Family):
    """Counts with log link: `l = e^f - y f`, `mu = Lambda = e^f`."""

    def mean(self, f):
        """`exp(f)`."""
        return np.exp(np.asarray(f, dtype=np.float64))

    def variance(self, f):
        """`exp(f)` on the diagonal."""
        return _diagonal(self.mean(f))

    def solve_variance(self, f, v):
        """`v exp(-f)`."""
        return v * np.exp(-np.asarray(f))

    def link(self, mu):
        """`log mu`."""
        return _log(np.asarray(mu, dtype=np.float64))

    def loss(self, f, y):
        """`(1/N) sum e^f - y f`; the constant `log y!` is left out."""
        return np.sum(self.mean(f) - y * np.asarray(f), axis=-1).mean(-1)

    def contract(self, f, y, log_decay):
        """`log` of the contracted mean."""
        return _log_mixture(np.asarray(f, dtype=np.float64), y, log_decay)

    def validate_targets(self, y):
        """Also: no negative counts."""
        y = super().validate_targets(y)
        if y.min() < 0:
            raise ValueError(f"Poisson targets must be >= 0, got {y.min():.4g}")
        return y


def _finite_matrix(array, name: str) -> np.ndarray:
    array = np.asarray(array, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape [N C], got {array.shape}; write one output as array[:, None]")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.sum(~np.isfinite(array))} entries that are not")
    return array


def _diagonal(v: np.ndarray) -> np.ndarray:
    return v[..., :, None] * np.eye(v.shape[-1])


def _log(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):  # log 0 = -inf is meant
        return np.log(x)


def _log_mixture(log_mean: np.ndarray, y: np.ndarray, log_decay: np.ndarray) -> np.ndarray:
    """`log(y + d (mu - y))` from `log mu` and `log d`, as the sum of the non-negative `(1 - d) y` and `d mu`."""
    log_d = np.asarray(log_decay, dtype=np.float64)[..., None, None]
    if np.any(log_d > 0):
        raise ValueError(f"log_decay must be <= 0, got {log_d.max():.4g}")
    return np.logaddexp(_log(-np.expm1(log_d)) + _log(y), log_d + log_mean)


def _against_the_rest(f: np.ndarray) -> np.ndarray:
    """`x_c = log sum_{k != c} e^{f_k - f_c}`, so that `p_c = sigma(-x_c)` and `1 - p_c = sigma(x_c)`, both accurate."""
    f = np.asarray(f, dtype=np.float64)
    others = np.where(np.eye(f.shape[-1], dtype=bool), -np.inf, f[..., None, :] - f[..., :, None])
    return np.asarray(logsumexp(others, axis=-1))
