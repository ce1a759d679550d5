"""Cross-entropies where the network is sure, rightly or wrongly."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from saturation import curvature_and_gradient
from tried.row import Row

import ntkng
from ntkng.fisher import BlockDiagonal, Exact, GradientDescent
from ntkng.kernels.rows import everywhere
from ntkng.whitening import whiten, whiten_kernels

GAPS = (1e-3, 1.0, 30.0, 80.0, 300.0, 1e3, 1e5, 1e30)


def logits_and_labels():
    """Every order of three classes, every class as the target, at all gaps."""
    rng = np.random.default_rng(0)
    shape = np.concatenate([np.eye(3), 1 - np.eye(3), rng.random((3, 3))])
    for gap in GAPS:
        for label in np.eye(3):
            yield gap * shape, np.tile(label, (len(shape), 1))


def gradients(dtype):
    worst = 0.0
    for f, y in logits_and_labels():
        f, y = f.astype(dtype), y.astype(dtype)
        factor, residual = (np.asarray(part, float) for part in whiten("softmax", jnp.asarray(f), jnp.asarray(y)))
        _, truth = curvature_and_gradient("softmax", f, y)
        found = np.einsum("ncr,nr->nc", factor, residual)
        worst = max(worst, float(np.abs(found - truth).max() / np.abs(truth).max()))
    return worst


def changes(fisher):
    """`K r` at infinite width against `sum_l Theta_l (H Theta_l + N rho I)^{-1} (p - y)`, in which nothing is large."""
    rng = np.random.default_rng(1)
    network, x = ntkng.mlp(5, 3, depth=2), rng.normal(size=(4, 5))
    kernels, worst = everywhere(ntkng.analytic(network, x)), 0.0
    thetas = [np.kron(np.asarray(layer.theta.train), np.eye(3)) for layer in kernels.layers]
    thetas = [sum(thetas)] if fisher.name != "BlockDiagonal" else thetas
    for gap in GAPS:
        f, y = gap * rng.normal(size=(4, 3)), np.eye(3)[rng.integers(0, 3, 4)]
        hessian, gradient = curvature_and_gradient("softmax", f, y)
        hessian, gradient = scipy.linalg.block_diag(*hessian.astype(float)), gradient.astype(float).ravel()
        if fisher.name == "GradientDescent":
            truth = thetas[0] @ gradient / 4
        else:
            shift = 4 * fisher.damping * np.eye(12)
            truth = sum(theta @ np.linalg.solve(hessian @ theta + shift, gradient) for theta in thetas)
        factor, residual = whiten("softmax", jnp.asarray(f), jnp.asarray(y))
        found = np.asarray(fisher.change(whiten_kernels(kernels, factor), residual)).ravel()
        worst = max(worst, float(np.abs(found - truth).max() / np.abs(truth).max()))
    return worst


def rows():
    """Gradients in both precisions, steps in function space."""
    gaps, found = "logit gaps 1e-3 to 1e30, every class as the target", []
    truth = "probabilities in long double"
    with jax.enable_x64(True):
        for dtype, bound in ((np.float64, 1e-13), (np.float32, 1e-5)):
            what = f"gradient of the softmax loss, {np.dtype(dtype)}"
            found.append(Row(what, gaps, truth, gradients(dtype), bound))
        for fisher in (GradientDescent(), Exact(0.02), BlockDiagonal(0.02)):
            what, right = f"softmax step of {fisher.name}", "a solve without roots of probabilities"
            found.append(Row(what, "logit gaps 1e-3 to 1e30, random targets", right, changes(fisher), 1e-11))
    return found
