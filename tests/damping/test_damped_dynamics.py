"""Damped training in closed form against training in parameter space with the full curvature matrix, at any time."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.linalg
from oracles import Dense, layer_jacobians, mlp_factors

import ntkng
from ntkng.fisher import UnitWise

SAMPLES, TESTS, INPUTS, OUTPUTS, DEPTH = 4, 3, 5, 2, 3
SIGMA_W, SIGMA_B = 1.3, 0.4
STEPS = (0, 1, 2, 7, 60)
DAMPINGS = (3e-3, 0.05, 2.0)
CASES = [
    *(cls(rho) for cls in (ntkng.GradientDescent, ntkng.Exact, ntkng.BlockDiagonal, ntkng.BlockTriDiagonal)
      for rho in DAMPINGS),
    *(ntkng.KFAC(rho, split=split, last_layer=last) for split in ("pi", "equal") for last in ("fisher", "paper")
      for rho in DAMPINGS),
    *(UnitWise(kappa, relative=relative) for relative in (True, False) for kappa in DAMPINGS),
]  # fmt: skip


@dataclasses.dataclass
class Setting:
    problem: ntkng.Problem
    kernels: object
    dense: Dense
    start: tuple  # functions at initialisation


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(7)
    x, x_test = rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(TESTS, INPUTS))
    y = rng.normal(size=(SAMPLES, OUTPUTS))
    network = ntkng.mlp(INPUTS, OUTPUTS, width=(9, 7), activation="erf", sigma_w=SIGMA_W, sigma_b=SIGMA_B)
    with jax.enable_x64(True):
        parameters = network.init(jax.random.key(3))
        kernels = ntkng.empirical(network, parameters, x, x_test, units=True)
        factors, f = mlp_factors(network, parameters, x, jax.scipy.special.erf, SIGMA_W, SIGMA_B)
        jacobians = [layer_jacobians(network, parameters, inputs) for inputs in (x, x_test)]
        start = f, np.asarray(network.apply(parameters, x_test))
    return Setting(
        ntkng.Problem(network, x, y, x_test),
        kernels,
        Dense(SAMPLES, OUTPUTS, (f - y).ravel(), *jacobians, factors),
        start,
    )


def curvature(fisher, dense):
    """The damped matrix, `P x P`, from Jacobians and factors alone."""
    rho, index = float(fisher.damping), np.arange(DEPTH)
    patterns = {"Exact": np.ones((DEPTH, DEPTH)), "BlockDiagonal": np.eye(DEPTH),
                "BlockTriDiagonal": 1.0 * (abs(index[:, None] - index) <= 1)}  # fmt: skip
    size = dense.jacobian.shape[1]
    if fisher.name in patterns:
        return dense.fisher(patterns[fisher.name]) + rho * np.eye(size)
    if fisher.name == "GradientDescent":
        return (1 + rho) * np.eye(size)
    build = kronecker_block if fisher.name == "KFAC" else unit_blocks
    return scipy.linalg.block_diag(*(build(fisher, rho, dense, layer) for layer in range(DEPTH)))


def kronecker_block(fisher, rho, dense, layer):
    a, delta = dense.factors[layer]
    inner, backward = a.T @ a / SAMPLES, delta.T @ delta / SAMPLES
    pi = 1.0
    if fisher.split == "pi":
        pi = ((np.trace(inner) / len(inner)) / (np.trace(backward) / len(backward))) ** 0.5
    inner = inner + pi * rho**0.5 * np.eye(len(inner))
    backward = backward + rho**0.5 / pi * np.eye(len(backward))
    is_scaled = fisher.last_layer == "paper" and layer == DEPTH - 1
    return np.kron(backward / SAMPLES if is_scaled else backward, inner)


def unit_blocks(fisher, kappa, dense, layer):
    a, delta = dense.factors[layer]
    rho = kappa * (delta**2).mean() * (a**2).sum() / SAMPLES**2 if fisher.relative else kappa
    parts = np.split(dense.jacobians[layer], delta.shape[1], axis=1)
    return scipy.linalg.block_diag(*(j.T @ j / SAMPLES + rho * np.eye(j.shape[1]) for j in parts))


def train(fisher, setting, eta):
    """The linear model, one step of its parameters after the other."""
    dense, theta, path = setting.dense, 0.0, []
    step = np.linalg.solve(curvature(fisher, dense), dense.jacobian.T / SAMPLES)
    for time in range(max(STEPS) + 1):
        change, change_test = (0.0, 0.0) if time == 0 else (dense.jacobian @ theta, dense.jacobian_test @ theta)
        if time in STEPS:
            path.append((setting.start[0].ravel() + change, setting.start[1].ravel() + change_test))
        theta = theta - eta * step @ (dense.residual + change)
    return [np.array(part) for part in zip(*path, strict=True)]


def error(found, expected):
    return np.abs(np.asarray(found).reshape(expected.shape) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("fisher", CASES, ids=repr)
def test_steps(setting, fisher):
    values = np.abs(fisher.kernel(setting.kernels).eigenvalues())
    eta = 0.7 / values.max()
    found = ntkng.closed_form(
        setting.problem, fisher, setting.kernels, step_size=eta, steps=np.array(STEPS), initial=setting.start
    )
    train_path, test_path = train(fisher, setting, eta)
    assert error(found.train, train_path) < 1e-10
    assert error(found.test, test_path) < 1e-10


@pytest.mark.parametrize("fisher", CASES[1::3], ids=repr)
def test_flow(setting, fisher):
    dense, times = setting.dense, np.array([0.0, 0.3, 1.7, 20.0])
    rate = np.abs(fisher.kernel(setting.kernels).eigenvalues()).max()
    found = ntkng.closed_form(
        setting.problem, fisher, setting.kernels, steps=times / rate, flow=True, initial=setting.start
    )
    step = np.linalg.solve(curvature(fisher, dense), dense.jacobian.T / SAMPLES)
    kernel, identity = dense.jacobian @ step / rate, np.eye(SAMPLES * OUTPUTS)
    # the exponential of [[-K, 1], [0, 0]] t holds exp(-K t) and its integral over time
    generator = np.block([[-kernel, identity], [0 * identity, 0 * identity]])
    for index, time in enumerate(times):
        decay, integral = np.split(scipy.linalg.expm(generator * time)[: len(identity)], 2, axis=1)
        residual = decay @ dense.residual
        test = setting.start[1].ravel() - dense.jacobian_test @ step @ integral @ dense.residual / rate
        assert error(found.train[index], (residual + setting.problem.y.ravel())) < 1e-10
        assert error(found.test[index], test) < 1e-10


@pytest.mark.parametrize("fisher", CASES[4::3], ids=repr)
def test_a_little_wrong(setting, fisher):
    """`alpha` off by 5 %, `rho` in place of `N rho`, a dropped layer: each is visible."""
    eta = 0.7 / np.abs(fisher.kernel(setting.kernels).eigenvalues()).max()
    expected = train(fisher, setting, eta)
    wrong = [
        (fisher, setting.kernels, 1.05 * eta),
        (dataclasses.replace(fisher, damping=fisher.damping / SAMPLES), setting.kernels, eta),
        (fisher, dataclasses.replace(setting.kernels, layers=setting.kernels.layers[1:]), eta),
    ]
    for other, kernels, step in wrong:
        found = ntkng.closed_form(
            setting.problem, other, kernels, step_size=step, steps=np.array(STEPS), initial=setting.start
        )  # fmt: skip
        assert max(error(found.train, expected[0]), error(found.test, expected[1])) > 1e-3


# -- K-FAC's conventions -----------------------------------------------------------------------------------------------


def times(scale):
    return lambda gram: scale * np.asarray(gram)


def test_pi_rule_is_invariant_to_the_scale_of_the_factors(setting):
    """`A -> c A`, `B -> B / c` leaves the Fisher matrix as it is, and with the pi rule the damped one too."""
    layers = [
        dataclasses.replace(layer, inner=layer.inner.map(times(9)), backward=layer.backward.map(times(1 / 9)))
        if index < DEPTH - 1 else layer
        for index, layer in enumerate(setting.kernels.layers)
    ]  # fmt: skip
    scaled = dataclasses.replace(setting.kernels, layers=tuple(layers))
    for split, is_invariant in (("pi", True), ("equal", False)):
        fisher = ntkng.KFAC(0.05, split=split)
        one, other = (np.asarray(fisher.kernel(kernels).train) for kernels in (setting.kernels, scaled))
        assert (error(other, one) < 1e-12) == is_invariant


def test_last_layer_convention():
    """`alpha = N (L - 1) + 1` with the true factor `I_C`, `N L` with the paper's; the true one by default."""
    x = np.random.default_rng(0).normal(size=(6, 12))
    kernels = ntkng.analytic(ntkng.mlp(12, 3, depth=4), x)
    for fisher, alpha in (
        (ntkng.KFAC(), 19),
        (ntkng.KFAC(last_layer="fisher"), 19),
        (ntkng.KFAC(last_layer="paper"), 24),
    ):
        found = fisher.kernel(kernels)
        assert found.alpha == pytest.approx(alpha, rel=1e-10)
        assert found.off_isotropy < 1e-10
        assert fisher.predicted_alpha(kernels) == alpha


# -- poles -------------------------------------------------------------------------------------------------------------


def test_poles_of_the_tri_diagonal_pattern():
    """Where the damped matrix changes its signature `K` has a pole; next to it a comparison is ill-posed."""
    x = np.random.default_rng(0).normal(size=(5, 30))
    kernels = ntkng.analytic(ntkng.mlp(30, depth=3), x)
    thetas = [np.asarray(layer.theta.train) for layer in kernels.layers]
    roots = scipy.linalg.block_diag(*(np.linalg.cholesky(theta) for theta in thetas))
    pattern = np.kron(ntkng.BlockTriDiagonal().pattern(3), np.eye(5))
    negative = np.linalg.eigvalsh(roots.T @ pattern @ roots)
    poles = -negative[negative < 0] / len(x)
    assert len(poles) == 5  # T has one negative eigenvalue at depth 3
    for pole in poles:
        near = [ntkng.BlockTriDiagonal(pole * (1 + shift)).kernel(kernels) for shift in (-1e-4, 1e-4)]
        assert all(np.abs(kernel.eigenvalues()).max() > 100 for kernel in near)
        verdicts = {kernel.stability(0.5).verdict for kernel in near}
        assert "ill-posed" in verdicts
        assert "converges" not in verdicts
    for damping in (poles.min() / 100, poles.max() * 3):
        assert ntkng.BlockTriDiagonal(float(damping)).kernel(kernels).stability(0.5).verdict == "converges"
