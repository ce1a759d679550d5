"""Bad input gives an error that names what was got, what was expected and the fix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng import stax

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 5)), RNG.normal(size=(6, 1))


def problem(**changes):
    return ntkng.Problem(**{"network": ntkng.mlp(5, width=16), "x": X, "y": Y, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[:, :4]}, r"x must have shape \[N, 5\].*got \[6, 4\]"),
        ({"y": Y[:5]}, r"y must have shape \[6, 1\].*got \[5, 1\]"),
        ({"y": np.zeros((6, 2))}, r"y must have shape \[6, 1\].*one-hot"),
        ({"x": np.where(np.arange(6)[:, None] == 2, np.nan, X)}, r"x has 5 NaN.*first at \(2, 0\)"),
        ({"y": np.where(np.arange(6)[:, None] == 1, np.inf, Y)}, "y has 1 NaN or infinite"),
        ({"x": np.concatenate([X[:5], X[:1]])}, "inputs 0 and 5 are equal.*allow_duplicates"),
        ({"y_test": Y}, "y_test without x_test"),
        ({"x_test": X[:, :2]}, "x_test must have shape"),
        ({"loss": "hinge"}, "loss must be"),
        ({"loss": "logistic"}, r"logistic y must be in \[0, 1\]"),
        ({"loss": "softmax"}, "softmax y needs C >= 2"),
        ({"x": X[:0], "y": Y[:0]}, "x is empty"),
    ],
)
def test_problem(changes, message):
    with pytest.raises(ValueError, match=message):
        problem(**changes)


def test_problem_types():
    with pytest.raises(TypeError, match="x must be a real array"):
        problem(x=X.astype(complex))
    with pytest.raises(TypeError, match=r"network must be a ntkng\.Network"):
        problem(network=stax.Dense(1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"width": 0}, ValueError, "width must be >= 1, got 0"),
        ({"width": -3}, ValueError, "width must be >= 1, got -3"),
        ({"width": 2.5}, TypeError, "width must be an integer"),
        ({"depth": 0}, ValueError, "depth must be >= 1"),
        ({"width": (8, 8), "depth": 5}, ValueError, "2 hidden widths and depth 5"),
        ({"activation": "swoosh"}, ValueError, "unknown activation 'swoosh'.*relu"),
        ({"activation": lambda x: x}, TypeError, "activation expects a layer"),
        ({"sigma_w": 0}, ValueError, "sigma_w must be > 0"),
        ({"sigma_b": -1}, ValueError, "sigma_b must be finite and >= 0"),
        ({"parametrisation": "mup"}, ValueError, "parametrisation must be"),
    ],
)
def test_mlp(arguments, error, message):
    with pytest.raises(error, match=message):
        ntkng.mlp(5, 1, **arguments)


def test_plain_neural_tangents_triple_is_refused():
    from ntkng._neural_tangents import stax as plain

    with pytest.raises(TypeError, match="plain neural-tangents triple.*build the same network from ntkng.stax"):
        ntkng.Network(plain.serial(plain.Dense(8), plain.Relu(), plain.Dense(1)), 5)
    with pytest.raises(TypeError, match="plain neural-tangents triple"):
        stax.serial(plain.Dense(8), stax.Relu())
    with pytest.raises(ValueError, match="Dropout is not supported"):
        stax.Dropout(0.5)


def test_network_outputs():
    with pytest.raises(ValueError, match=r"must end in outputs \[N, C\].*Flatten"):
        ntkng.Network(stax.Conv(4, (3, 3)), (8, 8, 1))
    with pytest.raises(ValueError, match="no parameters"):
        ntkng.Network(stax.Relu(), 5)


@pytest.mark.parametrize("cls", ntkng.fisher.FISHERS)
def test_negative_damping(cls):
    with pytest.raises(ValueError, match="damping must be finite and >= 0, got -0.1"):
        cls(-0.1)
    with pytest.raises(ValueError, match="damping must be finite"):
        cls(float("nan"))
    with pytest.raises(TypeError, match="damping must be a number"):
        cls("much")


def test_rank_too_low_is_named():
    """No bias and 3 inputs: the first layer's input Gram has rank 3 < N = 6, so K-FAC cannot be isotropic."""
    network = ntkng.mlp(3, width=64)
    x = RNG.normal(size=(6, 3))
    kernels = ntkng.analytic(network, x)
    with pytest.raises(
        ValueError, match=r"input Gram A of layer 1: Dense has numerical rank 3, expected full rank 6.*bias"
    ):
        ntkng.KFAC().kernel(kernels)
    ntkng.KFAC(0.1).kernel(kernels)  # damping helps
    ntkng.KFAC(singular="pseudo-inverse").kernel(kernels)  # so does asking for the pseudo-inverse
    ntkng.BlockDiagonal().kernel(kernels)  # Theta_1 = A o B is nonsingular


def test_narrow_network_is_refused():
    """N = 6 samples on 4 hidden units: the last layer's NTK has rank 4."""
    problem_ = problem(network=ntkng.mlp(5, width=4))
    with pytest.raises(
        ValueError, match=r"Theta of layer .: Dense has numerical rank ., expected full rank 6.*wider layers"
    ):
        ntkng.simulate(problem_, ntkng.BlockDiagonal(), 0, step_size=0.1, steps=1)


def test_duplicate_inputs_make_singular_kernels():
    x = np.concatenate([X, X[:1]])
    kernels = ntkng.analytic(ntkng.mlp(5, width=16, activation="erf"), x)  # a Problem refuses them before any kernel
    with pytest.raises(ValueError, match="rank 6, expected full rank 7.*distinct inputs"):
        ntkng.Exact().kernel(kernels)


def test_unstable_step_size_is_a_verdict():
    problem_ = problem()
    trajectory = ntkng.closed_form(problem_, ntkng.BlockDiagonal(), step_size=0.7, steps=3)  # 2 / k_max = 2/3
    assert trajectory.stability.verdict == "diverges"
    assert "0.7 is not below 2/k_max = 0.666" in trajectory.stability.remedy
    assert trajectory.stability.spectral_radius == pytest.approx(1.1)
    assert ntkng.closed_form(problem_, ntkng.BlockDiagonal(), step_size=0.6, steps=3).stability.verdict == "converges"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": -1}, "steps must be >= 0"),
        ({"steps": [0.5]}, "step numbers must be whole"),
        ({"step_size": -1.0}, "step_size must be finite and >= 0"),
        ({"step_size": 0.0}, "step_size must be > 0"),
        ({"initial": (np.zeros((5, 1)),)}, r"initial\[0\] must end in shape \[6, 1\]"),
    ],
)
def test_closed_form(arguments, message):
    with pytest.raises(ValueError, match=message):
        ntkng.closed_form(problem(), ntkng.Exact(), **arguments)


def test_kernels_of_another_problem():
    kernels = ntkng.analytic(ntkng.mlp(5, width=16), X[:4])
    with pytest.raises(ValueError, match="kernels are for N = 4.*problem has N = 6"):
        ntkng.closed_form(problem(), ntkng.Exact(), kernels)


def test_float32_conditioning_guard():
    """A Gram that float64 solves and float32 does not: warned of with the number, never silently solved."""
    from ntkng.conditioning import inspect, require_nonsingular

    vectors = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    gram = vectors @ np.diag(np.logspace(0, -5.5, 8)) @ vectors.T
    assert not inspect("gram", gram).is_singular
    with pytest.warns(UserWarning, match="condition number 3.* float64 or damping"):
        require_nonsingular(inspect("gram", gram.astype(np.float32)), "fix")


@pytest.mark.parametrize("damping", [0, 1e-2])
@pytest.mark.parametrize("cls", [ntkng.Exact, ntkng.BlockDiagonal, ntkng.BlockTriDiagonal, ntkng.KFAC])
def test_systems_are_inspected_at_the_precision_of_the_kernels(cls, damping):
    network = ntkng.mlp(5, width=32)
    kernels = ntkng.empirical(network, network.init(jax.random.key(0), jnp.float32), X[:3], factors=True)
    assert {found.epsilon for found in cls(damping).inspect(kernels)} == {float(np.finfo(np.float32).eps)}


@pytest.mark.parametrize("size", [5, 1600])
def test_a_shift_is_a_multiple_of_the_identity(size):
    """Below and above the size where an estimate replaces the spectrum; the matrix itself stays as it is."""
    from ntkng.conditioning import inspect

    gram = np.diag(np.arange(size, dtype=float))
    assert inspect("gram", gram, 1.0).condition == pytest.approx(size)
    assert inspect("gram", gram).is_singular


def test_simulate():
    with pytest.raises(ValueError, match="step_size must be > 0"):
        ntkng.simulate(problem(), ntkng.Exact(), 0, step_size=0.0)
    with pytest.raises(ValueError, match="seeds must be >= 1"):
        ntkng.simulate(problem(), ntkng.Exact(), 0, step_size=0.1, seeds=0)
    with jax.enable_x64(True):
        parameters = problem().network.init(jax.random.key(0))
    with pytest.raises(ValueError, match="parameters start a single network"):
        ntkng.simulate(problem(), ntkng.Exact(), 0, step_size=0.1, seeds=2, parameters=parameters)


def test_analytic_inputs():
    with pytest.raises(ValueError, match=r"x must have shape \[N, 5\]"):
        ntkng.analytic(ntkng.mlp(5), jnp.zeros((3, 4)))
    with pytest.raises(ValueError, match="test_covariance needs test inputs"):
        ntkng.analytic(ntkng.mlp(5), X, test_covariance=True)


def test_versions():
    from ntkng._neural_tangents import check_versions

    with pytest.raises(ImportError, match=r"got neural-tangents 0.6.4, expected 0.6.5"):
        check_versions("0.6.4", "0.10.2")
    with pytest.warns(UserWarning, match="tried on JAX"):
        check_versions("0.6.5", "0.5.0")
