import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkng.families import Bernoulli, Gaussian, Poisson, Softmax
from ntkng.perspectives import (
    Canonical,
    Objective,
    PoissonIdentityLink,
    output_fisher,
    relative_difference,
)

N, D, C, H = 7, 3, 3, 2
FAMILIES = {"gaussian": Gaussian(), "bernoulli": Bernoulli(), "softmax": Softmax(), "poisson": Poisson()}


def jax_loss(name, z, y):
    """Independent losses, differentiated by JAX."""
    return {
        "gaussian": lambda: 0.5 * jnp.sum((z - y) ** 2),
        "bernoulli": lambda: -jnp.sum(y * jnp.log(jax.nn.sigmoid(z)) + (1 - y) * jnp.log(1 - jax.nn.sigmoid(z))),
        "softmax": lambda: -jnp.sum(y * jax.nn.log_softmax(z)),
        "poisson": lambda: jnp.sum(jnp.exp(z) - y * z),
        "poisson-identity": lambda: jnp.sum(z - y * jnp.log(z)),
    }[name]()


def build(name, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(N, D))

    def model(theta):
        w, v = theta[: D * H].reshape(D, H), theta[D * H :].reshape(H, C)
        z = jnp.tanh(inputs @ w) @ v
        return jax.nn.softplus(z) + 0.2 if name == "poisson-identity" else z

    targets = {
        "gaussian": rng.normal(size=(N, C)),
        "bernoulli": rng.integers(0, 2, size=(N, C)).astype(float),
        "softmax": np.eye(C)[rng.integers(0, C, size=N)],
    }.get(name, rng.poisson(1.5, size=(N, C)).astype(float))
    likelihood = PoissonIdentityLink() if name == "poisson-identity" else Canonical(FAMILIES[name])
    return Objective(model, likelihood, targets), rng.normal(size=D * H + H * C)


@pytest.mark.parametrize("name", [*FAMILIES, "poisson-identity"])
def test_derivatives_match_autodiff_of_the_whole_loss(name):
    objective, theta = build(name)
    with jax.enable_x64(True):

        def total(t):
            return jnp.mean(jax.vmap(lambda z, y: jax_loss(name, z, y))(objective.model(t), objective.targets))

        value, gradient, hessian = (
            np.asarray(f(jnp.asarray(theta))) for f in (total, jax.grad(total), jax.hessian(total))
        )
    assert objective.loss(theta) == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(objective.gradient(theta), gradient, rtol=0, atol=1e-12)
    np.testing.assert_allclose(objective.hessian(theta), hessian, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", FAMILIES)
def test_fisher_is_gauss_newton_for_natural_parameters(name):
    objective, theta = build(name)
    assert relative_difference(objective.fisher(theta), objective.gauss_newton(theta)) < 1e-12
    assert relative_difference(objective.fisher(theta), objective.hessian(theta)) > 1e-2
    assert relative_difference(objective.fisher(theta), objective.empirical_fisher(theta)) > 1e-2


def test_fisher_is_the_variance_of_sampled_scores():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(1, 2))
    p = np.exp(z) / np.exp(z).sum()
    labels = np.eye(2)[rng.choice(2, size=200_000, p=p[0])]
    scores = p - labels
    np.testing.assert_allclose(output_fisher(Canonical(Softmax()), z)[0], scores.T @ scores / len(scores), atol=3e-3)
    counts = rng.poisson(np.exp(z), size=(200_000, 2))
    scores = np.exp(z) - counts
    np.testing.assert_allclose(
        output_fisher(Canonical(Poisson()), z)[0], scores.T @ scores / len(scores), rtol=3e-2, atol=3e-2
    )


def test_poisson_identity_link_is_a_counterexample():
    objective, theta = build("poisson-identity")
    z = objective.outputs(theta)
    fisher = output_fisher(objective.likelihood, z)
    np.testing.assert_allclose(np.einsum("ncc->nc", fisher), 1 / z, rtol=1e-10)
    assert relative_difference(objective.fisher(theta), objective.gauss_newton(theta)) > 0.05
    # averaged over the model's own counts the two agree: it is the training targets that make the difference
    values, weights = objective.likelihood.outcomes(z)
    average = sum(w[:, :, None] * objective.likelihood.hessian(z, y) for y, w in zip(values, weights, strict=True))
    np.testing.assert_allclose(average, fisher, atol=1e-9)


def test_empirical_fisher_vanishes_at_interpolation():
    objective, theta = build("gaussian")
    z = objective.outputs(theta)
    sizes = [
        np.linalg.norm(objective.with_targets(z - s * (z - objective.targets)).empirical_fisher(theta))
        for s in (1.0, 0.1)
    ]
    assert sizes[0] / sizes[1] == pytest.approx(100, rel=1e-10)
    assert not np.any(objective.with_targets(z).empirical_fisher(theta))


def test_bad_input_is_refused():
    objective, theta = build("gaussian")
    with pytest.raises(ValueError, match="N C"):
        objective.with_targets(np.zeros(N))
    with pytest.raises(ValueError, match="targets have shape"):
        objective.with_targets(np.zeros((N, C + 1))).outputs(theta)
    with pytest.raises(TypeError, match="family"):
        Canonical("softmax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positive outputs"):
        PoissonIdentityLink().score(np.array([[-1.0]]), np.array([[1.0]]))
    with pytest.raises(ValueError, match="zero"):
        relative_difference(np.eye(2), np.zeros((2, 2)))
