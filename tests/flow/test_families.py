import numpy as np
import pytest

from ntkng.families import Bernoulli, Gaussian, Poisson, Softmax

FAMILIES = [Gaussian(), Bernoulli(), Softmax(), Poisson()]


def example(family, N=5, C=3, seed=0, hard=False):
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(N, C))
    y = np.eye(C)[rng.integers(0, C, N)] if hard else family.mean(rng.normal(size=(N, C)))
    return f, y


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hard", [False, True])
def test_gradient_of_the_loss_is_the_residual(family, hard):
    f, y = example(family, hard=hard)
    gradient = np.zeros_like(f)
    for index in np.ndindex(f.shape):
        step = np.zeros_like(f)
        step[index] = 1e-5
        gradient[index] = (family.loss(f + step, y) - family.loss(f - step, y)) / 2e-5
    np.testing.assert_allclose(len(f) * gradient, family.residual(f, y), atol=1e-9)
    np.testing.assert_allclose(family.residual(f, y), family.mean(f) - y, atol=1e-14)


@pytest.mark.parametrize("family", FAMILIES)
def test_variance_is_the_derivative_of_the_mean(family):
    f, _ = example(family)
    jacobian = np.zeros((*f.shape, f.shape[1]))
    for c in range(f.shape[1]):
        step = np.zeros_like(f)
        step[:, c] = 1e-5
        jacobian[:, :, c] = (family.mean(f + step) - family.mean(f - step)) / 2e-5
    np.testing.assert_allclose(family.variance(f), jacobian, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_solve_variance_is_the_pseudo_inverse(family):
    f, y = example(family)
    v = family.residual(f, y)
    dense = np.stack(
        [np.linalg.pinv(block, rcond=1e-12) @ row for block, row in zip(family.variance(f), v, strict=True)]
    )
    np.testing.assert_allclose(family.solve_variance(f, v), dense, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_link_inverts_the_mean(family):
    f, _ = example(family)
    f = f - f.mean(-1, keepdims=True)
    np.testing.assert_allclose(family.link(family.mean(f)), f, atol=1e-13)


@pytest.mark.parametrize("family", FAMILIES)
def test_contract_contracts_the_mean(family):
    f, y = example(family)
    decay = np.array([1.0, 0.3, 1e-3])
    expected = y + decay[:, None, None] * (family.mean(f) - y)
    np.testing.assert_allclose(family.mean(family.contract(f, y, np.log(decay))), expected, atol=1e-14)


def test_contract_stays_exact_far_below_rounding():
    logits = Bernoulli().contract(np.array([[0.3]]), np.array([[1.0]]), np.array([-1000.0]))
    np.testing.assert_allclose(logits[0], 1000 + np.log1p(np.exp(0.3)), rtol=1e-15)
    logits = Softmax().contract(np.zeros((1, 3)), np.eye(3)[:1], np.array([-1000.0]))
    np.testing.assert_allclose(logits[0, 0, 0] - logits[0, 0, 1], 1000 + np.log(3), rtol=1e-15)


def test_no_overflow_or_cancellation_at_large_logits():
    f, y = np.array([[800.0, 0.0, -800.0]]), np.eye(3)[:1]
    with np.errstate(all="raise", under="ignore"):
        assert Softmax().loss(f / 10, y) == pytest.approx(np.exp(-80), rel=1e-12)
        np.testing.assert_allclose(Softmax().mean(f), [[1.0, 0.0, 0.0]], atol=1e-300)
        assert Bernoulli().residual(f[:, :1] / 10, y[:, :1])[0, 0] == pytest.approx(-np.exp(-80), rel=1e-12)


@pytest.mark.parametrize(
    ("family", "y", "message"),
    [
        (Bernoulli(), [[-1.0]], r"\[0, 1\]"),
        (Softmax(), [[0.5, 0.6]], "simplex"),
        (Softmax(), [[1.0]], "2 classes"),
        (Poisson(), [[-1.0]], ">= 0"),
        (Gaussian(), [1.0, 2.0], r"\[N C\]"),
        (Gaussian(), [[np.nan]], "finite"),
    ],
)
def test_targets_that_are_no_means_are_refused(family, y, message):
    with pytest.raises(ValueError, match=message):
        family.validate_targets(np.array(y))


def test_growth_is_refused():
    with pytest.raises(ValueError, match="log_decay"):
        Poisson().contract(np.zeros((1, 1)), np.ones((1, 1)), np.array([0.1]))
