"""Objects that hold arrays print in one line: dtype and shape in place of numbers."""

import jax
import numpy as np
import pytest

import ntkng
from ntkng.testing import Coefficients

X = np.random.default_rng(0).normal(size=(500, 30))
PROBLEM = ntkng.Problem(ntkng.mlp(30, width=8, depth=2), X, X[:, 0])
SMALL = ntkng.Problem(PROBLEM.network, X[:4], X[:4, 0], X[:2] + 1)
KERNELS = ntkng.analytic(SMALL.network, SMALL.x, SMALL.x_test, test_covariance=True)
PARTS = {
    "problem": (PROBLEM, "Problem(network=Network(30 -> 1; Dense, Dense), x=float64[500, 30], y=float64[500, 1], loss='mse', "),
    "kernels": (KERNELS, "Kernels(analytic; N = 4, C = 1; layers 1: Dense, 2: Dense)"),
    "layer": (KERNELS.layers[0], "LayerKernels(theta=Gram(train=float64[4, 4], cross=float64[2, 4]), inner="),
    "preconditioned kernel": (ntkng.Exact().kernel(KERNELS), "PreconditionedKernel(train=float64[4, 4], cross=float64[2, 4], "),
    "trajectory": (
        ntkng.simulate(SMALL, ntkng.Exact(), step_size=0.5, steps=1, keep_parameters=True),
        "Trajectory(times=float64[2], train=float64[1, 2, 4, 1], targets=float64[4, 1], test=float64[1, 2, 2, 1], displacement="
        "float64[1, 2], parameters=2 arrays, source='simulation', fisher='Exact', step_size=0.5, loss='mse')",
    ),
    "ensemble": (ntkng.ensemble(SMALL, ntkng.Exact(), KERNELS, steps=1), "Ensemble(times=float64[2], mean_train="),
    "transform": (ntkng.forster(X[:40, :4]), "ForsterTransform(matrix=float64[4, 4], imbalance="),
    "fisher": (ntkng.EmpiricalFisher(0.1).at(X), "EmpiricalFisher(damping=0.1, of=Exact(damping=0.0, solver=None), residual=float64[50"),
    "coefficients": (Coefficients(X[0], X[0], X[0]), "Estimate(value=float64[30], "),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_one_line(name):
    value, start = PARTS[name]
    text = repr(value)
    assert text.startswith(start), text
    assert "\n" not in text
    assert len(text) < 500


def test_traced_arrays_and_shapes():
    jax.jit(lambda kernels: print(kernels.layers[0]))(KERNELS)
    assert repr(jax.eval_shape(lambda: KERNELS.layers[0].theta)) == "Gram(train=float32[4, 4], cross=float32[2, 4])"
