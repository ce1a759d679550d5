"""Exponential families with their canonical link: see `ntkng.family` for what one is."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import expit, log_expit, logit

from ntkng.family import Family
from ntkng.log_space import against_the_rest, excess, log, log_mixture, log_partition_excess, weighted

__all__ = ["Bernoulli", "Family", "Gaussian", "Poisson", "Softmax"]

SIMPLEX = 1e-6  # how far rows of probabilities may be off 1: soft labels are kept in float32


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

    def _loss(self, f, y):
        return 0.5 * (f - y) ** 2

    def _divergence(self, f, other):
        with np.errstate(over="ignore"):
            return 0.5 * np.sum((f - other) ** 2, axis=-1)

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
        return logit(np.asarray(mu, dtype=np.float64))

    def _loss(self, f, y):
        return -weighted(y, log_expit(f)) - weighted(1 - y, log_expit(-f))

    def _residual(self, f, y):  # without cancellation for hard labels
        return (1 - y) * self.mean(f) - y * self.mean(-f)

    def _divergence(self, f, other):
        both, zeros = np.stack([log_expit(-f), log_expit(f)], axis=-1), np.zeros_like(f)
        return log_partition_excess(both, np.stack([zeros, f], axis=-1), np.stack([zeros, other], axis=-1)).sum(-1)

    def contract(self, f, y, log_decay):
        """Log-odds of the contracted mean."""
        f = np.asarray(f, dtype=np.float64)
        return log_mixture(log_expit(f), y, log_decay) - log_mixture(log_expit(-f), 1 - y, log_decay)

    def require_means(self, y):
        """Entries in [0, 1]."""
        if not (y.min() >= 0 and y.max() <= 1):
            raise ValueError(
                f"Bernoulli targets must lie in [0, 1], got minimum {y.min():.4g}, maximum {y.max():.4g}; map labels to 0 and 1"
            )


@dataclasses.dataclass(frozen=True)
class Softmax(Family):
    """Multinomial: `l = -sum_c y_c log p_c`, `mu = p = softmax(f)`, `Lambda = diag(p) - p p^T` (rank `C - 1`)."""

    def mean(self, f):
        """`softmax(f)`."""
        return expit(-against_the_rest(f))

    def variance(self, f):
        """`diag(p) - p p^T`, with `p (1 - p)` on the diagonal."""
        margin = against_the_rest(f)
        p, is_diagonal = expit(-margin), np.eye(margin.shape[-1], dtype=bool)
        return np.where(is_diagonal, _diagonal(p * expit(margin)), -p[..., :, None] * p[..., None, :])

    def solve_variance(self, f, v):
        """`v/p - mean_c(v/p)`: indeed `Lambda (v/p) = v` when `sum_c v = 0`, and this has no all-ones part."""
        ratio = v / self.mean(f)
        return ratio - ratio.mean(-1, keepdims=True)

    def link(self, mu):
        """`log p - mean_c log p`."""
        log_p = log(np.asarray(mu, dtype=np.float64))
        return log_p - log_p.mean(-1, keepdims=True)

    def _loss(self, f, y):
        return -weighted(y, log_expit(-against_the_rest(f)))

    def _residual(self, f, y):  # without cancellation for hard labels
        margin = against_the_rest(f)
        return (1 - y) * expit(-margin) - y * expit(margin)

    def _divergence(self, f, other):
        return log_partition_excess(log_expit(-against_the_rest(f)), f, other)

    def contract(self, f, y, log_decay):
        """`log p - mean_c log p` of the contracted mean."""
        log_p = log_mixture(log_expit(-against_the_rest(f)), y, log_decay)
        return log_p - log_p.mean(-1, keepdims=True)

    def require_means(self, y):
        """At least two classes, rows on the simplex."""
        if y.shape[-1] < 2:
            raise ValueError(f"softmax needs at least 2 classes, got targets of shape {y.shape}; use Bernoulli for one")
        off = np.abs(y.sum(-1) - 1).max()
        if not (y.min() >= 0 and off <= SIMPLEX):
            raise ValueError(
                f"softmax targets must be rows on the simplex, got row sums off by {off:.1e}, smallest entry {y.min():.3g}; "
                "one-hot encode labels"
            )


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
        return log(np.asarray(mu, dtype=np.float64))

    def _loss(self, f, y):  # the constant `log y!` is left out
        return np.exp(f) - weighted(y, f)

    def _divergence(self, f, other):
        with np.errstate(over="ignore", invalid="ignore"):  # only in what is not chosen
            moved, half = other - f, np.exp(f / 2)  # a large rate and a small change are multiplied in halves
            far = np.exp(other) * -np.expm1(np.log1p(np.maximum(moved, 0)) - np.maximum(moved, 0))
            small = excess(np.minimum(moved, 1))
            return np.sum(np.where(moved > 1, far, np.where(small == 0, 0.0, half * small) * half), axis=-1)

    def contract(self, f, y, log_decay):
        """`log` of the contracted mean."""
        return log_mixture(np.asarray(f, dtype=np.float64), y, log_decay)

    def require_means(self, y):
        """No negative counts."""
        if not y.min() >= 0:
            raise ValueError(f"Poisson targets must be >= 0, got {y.min():.4g}")


def _diagonal(v: np.ndarray) -> np.ndarray:
    return v[..., :, None] * np.eye(v.shape[-1])
