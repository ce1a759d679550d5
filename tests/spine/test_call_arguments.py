"""Seeds, batches, steps, dtypes, types and transformations: what runs take, and how they refuse the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng.displacement import displacement
from ntkng.kernels import UnitSampling
from ntkng.mini_batch import kaczmarz_rate
from ntkng.testing import assert_isotropic, assert_kernels_match, assert_trajectories_match

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 1))
PROBLEM = ntkng.Problem(ntkng.mlp(3, width=8, depth=2), X, Y, X[:2] + 1)
LOGISTIC = ntkng.Problem(PROBLEM.network, X, [0, 1, 1, 0], loss="logistic")
KERNELS = ntkng.analytic(PROBLEM.network, X, X[:2] + 1, test_covariance=True)
DISCRETE = [ntkng.simulate, ntkng.closed_form, ntkng.iterate, ntkng.ensemble, ntkng.streamed_closed_form]


def simulate(key=0, **options):
    options = {"step_size": 0.5, "steps": 1, **options}
    return np.asarray(ntkng.simulate(PROBLEM, ntkng.Exact(0.1), key, **options).train)


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), np.array(3), jnp.asarray(3), jax.random.key(3)], ids=repr)
def test_seeds_of_every_type(seed):
    assert np.array_equal(simulate(seed), simulate(3))


def test_legacy_keys():
    assert np.array_equal(simulate(jax.random.PRNGKey(3)), simulate(3))
    with jax.enable_x64(True):
        assert jax.tree.all(
            jax.tree.map(np.array_equal, PROBLEM.network.init(3), PROBLEM.network.init(jax.random.key(3)))
        )


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (3.0, TypeError, r"key must be an integer seed, got 3\.0 of type float"),
        (np.float64(3), TypeError, "key must be an integer seed"),
        (None, TypeError, "key must be an integer seed, got None"),
        ("3", TypeError, "key must be an integer seed, got '3' of type str"),
        (True, TypeError, "key must be an integer seed, got True"),
        ([3], TypeError, "key must be an integer seed"),
        (2**63, ValueError, r"key must be a seed from .* to 2\*\*63 - 1"),
        (
            np.arange(3),
            ValueError,
            r"key must be an integer seed, a typed key or one legacy key \(uint32\[2\]\), got an array",
        ),
        (jax.random.split(jax.random.key(0), 3), ValueError, r"key must be one key, got 3 of them.*seeds="),
        (jax.random.split(jax.random.PRNGKey(0), 3), ValueError, r"got an array uint32\[3, 2\]"),
    ],
    ids=range(10),
)
def test_other_seeds(seed, error, message):
    with pytest.raises(error, match=message):
        simulate(seed)
    with pytest.raises(error, match=message):
        PROBLEM.network.init(seed)


def test_seeds_of_numpy():
    assert np.array_equal(ntkng.shuffled_batches(6, 2, seed=np.int32(1)), ntkng.shuffled_batches(6, 2, seed=1))
    for make in (lambda seed: ntkng.shuffled_batches(6, 2, seed=seed), lambda seed: UnitSampling(4, 2, seed)):
        with pytest.raises(TypeError, match=r"seed must be an integer seed, got None"):
            make(None)
        with pytest.raises(ValueError, match=r"seed must be a seed from 0 to"):
            make(-1)


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (
            [[0, 1], [2, 3], [1]],
            ValueError,
            r"batches must all have one size, got the sizes \[1, 2\]; leave out the incomplete",
        ),
        ([[0, 1], [1], np.array([2, 3])], ValueError, "batches must all have one size"),
        ([], ValueError, r"batches must have shape \[steps, n\].*got shape \[0\]; pass steps=0"),
        ([[]], ValueError, r"got shape \[1, 0\]; pass steps=0"),
        ([0, 1], ValueError, r"got shape \[2\]; pass \[batch\] for a single one"),
        (np.zeros((1, 1, 1), int), ValueError, r"got shape \[1, 1, 1\]; one row of indices a step"),
        ([[0, 4]], ValueError, r"batches must hold indices of the 4 samples, indices 0 \.\. 3, got 0 \.\. 4"),
        ([[-1, 0]], ValueError, r"batches must hold indices of the 4 samples, indices 0 \.\. 3, got -1 \.\. 0"),
        ([[0, 1], [2, 2]], ValueError, "batch 1 of batches holds an index twice"),
        ([[0.0, 1.0]], TypeError, "batches must be integers, got dtype float64"),
        ([[True, False]], TypeError, "batches must be integers, got dtype bool"),
    ],
    ids=range(11),
)
def test_batches(batches, error, message):
    with pytest.raises(error, match=message):
        simulate(steps=None, batches=batches)
    with pytest.raises(error, match=message):
        ntkng.iterate(PROBLEM, ntkng.Exact(0.1), KERNELS, step_size=0.5, batches=batches)
    if "twice" not in message:  # projections do not mind
        with pytest.raises(error, match=message):
            kaczmarz_rate(np.eye(4), batches)


def test_batches_from_a_generator():
    batches = ntkng.shuffled_batches(4, 2)
    assert np.array_equal(simulate(steps=None, batches=iter(batches)), simulate(steps=2, batches=batches.tolist()))


@pytest.mark.parametrize("entry", DISCRETE)
def test_no_steps(entry):
    run = entry(PROBLEM, ntkng.Exact(), step_size=0.5, steps=0)
    assert np.array_equal(np.asarray(run.times), [0])
    if entry is not ntkng.ensemble:
        assert np.shape(run.train)[-3:] == (1, 4, 1)
        assert np.shape(run.test)[-3:] == (1, 2, 1)


def test_no_time():
    for run in (
        ntkng.closed_form(PROBLEM, ntkng.Exact(), KERNELS, flow=True, steps=0),
        ntkng.cross_entropy_flow(LOGISTIC, ntkng.Exact(), times=0),
    ):
        np.testing.assert_allclose(run.train, np.zeros((1, 4, 1)), atol=1e-15)
    assert np.array_equal(
        displacement(ntkng.Exact(), KERNELS, ntkng.closed_form(PROBLEM, ntkng.Exact(), KERNELS, steps=0)), [0]
    )


@pytest.mark.parametrize("entry", DISCRETE)
@pytest.mark.parametrize("steps", [-1, 1.5, "1", True])
def test_other_steps(entry, steps):
    with pytest.raises((TypeError, ValueError), match="steps|step numbers"):
        entry(PROBLEM, ntkng.Exact(), step_size=0.5, steps=steps)


@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, np.float16, int, complex, bool, None, "nonsense", ">f8", object], ids=str
)
def test_other_dtypes(dtype):
    for run in (
        lambda: simulate(dtype=dtype),
        lambda: ntkng.analytic(PROBLEM.network, X, dtype=dtype),
        lambda: PROBLEM.network.init(0, dtype),
    ):
        with pytest.raises(TypeError, match="^dtype must be float64 or float32"):
            run()
    with pytest.raises(TypeError, match="^solve_dtype must be float64 or float32"):
        simulate(solve_dtype=dtype)


FLOW = pytest.param(lambda *args, step_size: ntkng.cross_entropy_flow(*args, times=[1.0]), id="cross_entropy_flow")


@pytest.mark.parametrize("entry", [*DISCRETE, FLOW])
def test_arguments_of_other_types(entry):
    fisher = ntkng.Exact()
    for first, second, message in (
        (fisher, PROBLEM, "problem must be an instance of Problem, got Exact; build one.*give it first"),
        (PROBLEM.network, fisher, "problem must be an instance of Problem, got Network"),
        (PROBLEM, ntkng.Exact, r"fisher must be an instance of Fisher, got the class Exact; call it: Exact\(\)"),
        (
            PROBLEM,
            "exact",
            r"fisher must be an instance of Fisher, got str; give an approximation such as ntkng\.Exact\(\)",
        ),
    ):
        with pytest.raises(TypeError, match=message):
            entry(first, second, step_size=0.5)


def test_kernels_and_trajectories_of_other_types():
    fisher, path = ntkng.Exact(), ntkng.closed_form(PROBLEM, ntkng.Exact(), KERNELS)
    for run, name in (
        (lambda: ntkng.closed_form(PROBLEM, fisher, KERNELS.theta), "kernels must be an instance of Kernels, got Gram"),
        (lambda: fisher.kernel(np.eye(4)), "kernels must be an instance of Kernels, got ndarray"),
        (lambda: fisher.optimal_step(PROBLEM), "kernels must be an instance of Kernels, got Problem"),
        (lambda: ntkng.analytic(X, PROBLEM.network), "network must be an instance of Network, got ndarray"),
        (
            lambda: ntkng.empirical(ntkng.Network, [], X),
            "network must be an instance of Network, got the class Network",
        ),
        (lambda: displacement(fisher, KERNELS, path.train), "trajectory must be an instance of Trajectory"),
        (lambda: displacement(KERNELS, fisher, path), "fisher must be an instance of Fisher, got Kernels"),
        (lambda: ntkng.compare(path.train, path, bound=1), "simulated must be an instance of Trajectory"),
        (lambda: ntkng.relative_distance(path, path.train), "predicted must be an instance of Trajectory"),
        (lambda: assert_isotropic(ntkng.Exact, KERNELS), "fisher must be an instance of Fisher, got the class Exact"),
        (lambda: assert_kernels_match(KERNELS.theta, KERNELS), "measured kernels must be an instance of Kernels"),
        (lambda: assert_trajectories_match(path.train, path, bound=1), "simulated must be an instance of Trajectory"),
    ):
        with pytest.raises(TypeError, match=name):
            run()


@pytest.mark.parametrize(
    "entry", [ntkng.closed_form, ntkng.iterate, ntkng.ensemble, ntkng.streamed_closed_form, ntkng.simulate]
)
def test_transformations(entry):
    """Runs look at numbers: traced ones are refused by name, and so is a run that is compiled without any traced argument."""
    run = lambda **options: entry(PROBLEM, ntkng.Exact(), **{"step_size": 0.5, "steps": 1, **options}).times  # noqa: E731
    for transformed, argument in (
        (lambda: jax.jit(lambda eta: run(step_size=eta))(0.5), "the traced step_size"),
        (lambda: jax.grad(lambda eta: run(step_size=eta).sum())(0.5), "the traced step_size"),
        (lambda: jax.vmap(lambda eta: run(step_size=eta))(jnp.ones(2)), "the traced step_size"),
        (lambda: jax.jit(lambda: run())(), "a call that is being traced"),
    ):
        with pytest.raises(TypeError, match=f"{entry.__name__} got {argument}.*seeds="):
            transformed()


def test_traced_keys_and_dampings():
    with pytest.raises(TypeError, match="simulate got the traced key"):
        jax.vmap(lambda key: ntkng.simulate(PROBLEM, ntkng.Exact(), key, step_size=0.5, steps=1).train)(
            jax.random.split(jax.random.key(0), 2)
        )
    with pytest.raises(TypeError, match="closed_form got the traced fisher"):
        jax.vmap(lambda rho: ntkng.closed_form(PROBLEM, ntkng.Exact(rho), KERNELS, step_size=0.5).train)(jnp.ones(2))
    with pytest.raises(TypeError, match="cross_entropy_flow got the traced fisher"):
        jax.jit(lambda rho: ntkng.cross_entropy_flow(LOGISTIC, ntkng.Exact(rho), times=[1.0]).train)(1.0)
