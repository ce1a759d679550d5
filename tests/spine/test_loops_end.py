"""Steps that cannot be taken, wherever they are in a loop: an error that names the step and the system, or a warning of divergence."""

import warnings

import jax
import numpy as np
import pytest

import ntkng
from ntkng.fisher.solves import solve
from ntkng.kernels import Gram, LayerKernels

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 5)), RNG.normal(size=6)
BLANK = X * (np.arange(6) != 3)[:, None]  # without biases, a singular kernel of every batch that holds sample 3
NETWORK = ntkng.mlp(5, width=16, depth=2)
BATCHES = [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("fisher", "system"),
    [
        (ntkng.Exact(), "the NTK"),
        pytest.param(ntkng.BlockDiagonal(), "Theta of layer 1", marks=pytest.mark.slow),
        pytest.param(ntkng.KFAC(), "input Gram A of layer 1", marks=pytest.mark.slow),
    ],
    ids=["exact", "block-diagonal", "kfac"],
)
def test_a_singular_batch_in_the_middle(fisher, system):
    problem = ntkng.Problem(NETWORK, BLANK, Y)
    with pytest.raises(
        ValueError, match=rf"step 2 of network 0 could not be taken \(step size 0.1\): {system}.* rank 1"
    ):
        ntkng.simulate(problem, fisher, step_size=0.1, batches=BATCHES, seeds=2)
    with pytest.raises(ValueError, match=rf"step 2 could not be taken .*{system}.* rank 1, expected full rank 2"):
        ntkng.iterate(problem, fisher, step_size=0.1, batches=BATCHES)
    ntkng.iterate(problem, fisher, step_size=0.1, batches=[BATCHES[0], BATCHES[2]])


@pytest.mark.slow
def test_cross_entropy():
    problem = ntkng.Problem(NETWORK, BLANK, (Y > 0).astype(float), loss="logistic")
    with pytest.raises(ValueError, match="step 2 could not be taken .*the NTK.* rank 1, expected full rank 2"):
        ntkng.iterate(problem, ntkng.Exact(), step_size=0.1, batches=BATCHES)


def test_the_failing_network_is_named():
    """Several starts, of which the second is already fitted: there the empirical Fisher is 0."""
    problem = ntkng.Problem(NETWORK, X, Y)
    starts = np.stack([np.zeros((6, 1)), Y[:, None]])
    with pytest.raises(ValueError, match="step 1 of network 1 could not be taken .*some residuals are zero"):
        ntkng.iterate(problem, ntkng.EmpiricalFisher(), step_size=0.1, steps=3, initial=(starts, None))


def test_divergence_is_a_warning():
    """Step sizes are swept on purpose: the trajectory comes back, and its numbers tell."""
    problem = ntkng.Problem(NETWORK, X, Y)
    with pytest.warns(UserWarning, match="training diverged: outputs up to .* before step .*; step size 500"):
        path = ntkng.iterate(problem, ntkng.GradientDescent(), step_size=500.0, steps=300)
    assert not np.isfinite(path.train[-1]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ntkng.iterate(problem, ntkng.GradientDescent(), step_size=500.0, steps=5)  # large, but finite


def test_starts_that_are_no_numbers():
    with jax.enable_x64(True):
        start = jax.tree.map(lambda leaf: np.asarray(leaf) * np.nan, NETWORK.init(jax.random.key(0)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ntkng.simulate(ntkng.Problem(NETWORK, X, Y), ntkng.GradientDescent(), step_size=0.1, steps=2, parameters=start)


# -- kernels that no network has ----------------------------------------------------------------------------------------


def own(matrix, **factors):
    return ntkng.Kernels((LayerKernels(theta=Gram(matrix), name="own", **factors),))


INDEFINITE = np.array([[2.0, 3.0], [3.0, 2.0]])  # eigenvalues -1 and 5


@pytest.mark.parametrize(
    "fisher", [ntkng.Exact(), ntkng.Exact(0.1), ntkng.Exact(10.0), ntkng.BlockDiagonal(1e-3)], ids=repr
)
def test_indefinite_grams_are_named(fisher):
    with pytest.raises(ValueError, match="not positive semi-definite: its smallest eigenvalue is -1 .*largest"):
        fisher.kernel(own(INDEFINITE))


def test_an_indefinite_factor_is_named():
    factors = {"inner": Gram(INDEFINITE), "backward": Gram(np.ones((2, 2))), "dimensions": (3, 3)}
    with pytest.raises(ValueError, match="input Gram A of layer own is not positive semi-definite"):
        ntkng.KFAC(0.1).kernel(own(np.eye(2), **factors))


def test_gradient_descent_on_an_indefinite_kernel_is_ill_posed():
    problem = ntkng.Problem(ntkng.mlp(1), [[1.0], [2.0]], [1.0, 2.0])
    path = ntkng.closed_form(problem, ntkng.GradientDescent(), own(INDEFINITE), step_size=0.1, steps=1)
    assert path.stability.verdict == "ill-posed"
    assert path.stability.smallest == pytest.approx(-0.5)


def test_kernels_that_are_no_numbers():
    for bad in (np.nan, np.inf):
        for fisher in (ntkng.GradientDescent(), ntkng.Exact(0.1), ntkng.Exact()):
            with pytest.raises(ValueError, match="NaN or infinite"):
                fisher.kernel(own(np.array([[1.0, bad], [bad, 1.0]])))
        cross = ntkng.Kernels((LayerKernels(theta=Gram(np.eye(2), np.array([[1.0, bad]])), name="own"),))
        with pytest.raises(ValueError, match=r"Theta of layer own \(cross part\) has NaN or infinite"):
            ntkng.GradientDescent().kernel(cross)


def test_matrices_that_are_not_symmetric():
    with pytest.raises(ValueError, match="Theta of layer own must be symmetric"):
        ntkng.BlockDiagonal(0.1).kernel(own(np.array([[1.0, 0.5], [0.0, 1.0]])))


def test_singular_systems_have_no_solution_by_luck():
    """A pivot that should be 0 comes out on either side of it: of 50 Grams of rank 2 none is solved, of 50 of rank 3 all are."""
    with jax.enable_x64(True):
        for _ in range(50):
            root = RNG.normal(size=(3, 3))
            assert np.isfinite(np.asarray(solve(root @ root.T, 0.0, np.ones((3, 1))))).all()
            flat = root[:, :2] @ root[:, :2].T
            assert np.isnan(np.asarray(solve(flat, 0.0, np.ones((3, 1))))).all()
            assert np.isfinite(np.asarray(solve(flat, 1e-8, np.ones((3, 1))))).all()
