import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkng.families import Gaussian, Softmax
from ntkng.precision import in_float64
from ntkng.reversible import OBJECTIVES, accuracy, function_error, loss

RNG = np.random.default_rng(0)
LOGITS, TARGETS = 2 * RNG.standard_normal((7, 4)), np.eye(4)[RNG.integers(4, size=7)]
FAMILIES = {"mse": Gaussian(), "cross-entropy": Softmax(), "cross-entropy-exact": Softmax()}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_loss_and_error(objective):
    family = FAMILIES[objective]
    value, error = in_float64(lambda: (loss(objective, LOGITS, TARGETS), function_error(objective, LOGITS, TARGETS)))()
    assert value == pytest.approx(float(family.loss(LOGITS, TARGETS)), rel=1e-13)
    residual = family.residual(LOGITS, TARGETS)
    expected = residual if objective == "cross-entropy" else family.solve_variance(LOGITS, residual)
    np.testing.assert_allclose(error, expected, rtol=1e-12, atol=1e-12)


def test_exact_error_is_the_pseudo_inverse_of_the_hessian():
    """Against automatic differentiation of the loss, sample by sample."""

    def one(f, y):
        return loss("cross-entropy", f[None], y[None])

    with jax.enable_x64(True):
        hessian = np.asarray(jax.jit(jax.vmap(jax.hessian(one)))(LOGITS, TARGETS))
        gradient = np.asarray(jax.jit(jax.vmap(jax.grad(one)))(LOGITS, TARGETS))
        error = function_error("cross-entropy-exact", jnp.asarray(LOGITS), TARGETS)
    for n in range(len(LOGITS)):
        expected = np.linalg.pinv(hessian[n], rcond=1e-10) @ gradient[n]
        np.testing.assert_allclose(error[n], expected, rtol=1e-10, atol=1e-10)


def test_accuracy():
    assert float(accuracy(jnp.asarray(TARGETS), jnp.asarray(TARGETS))) == 1
    assert float(accuracy(-jnp.asarray(TARGETS), jnp.asarray(TARGETS))) == 0


def test_unknown_objective():
    with pytest.raises(ValueError, match="'l1'"):
        loss("l1", LOGITS, TARGETS)  # type: ignore[arg-type]
