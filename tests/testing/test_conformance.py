"""The conformance suite passes for every built-in approximation, and fails for deliberately wrong ones."""

import dataclasses

import jax.numpy as jnp
import pytest

import ntkng
from ntkng.fisher import DAMPED_FISHERS, FISHERS
from ntkng.testing import check_fisher, check_kernels, check_network
from ntkng.testing.conformance.suite import checks_of
from ntkng.testing.failure import require

BUILT_IN = [
    *(cls() for cls in FISHERS + DAMPED_FISHERS),
    ntkng.UnitWise(relative=False),
    ntkng.KFAC(last_layer="paper"),
]
FAST = (
    "interface",
    "dense_kernel",
    "symmetric_positive",
    "sample_order",
    "large_damping",
    "small_damping",
    "isotropic",
)


@pytest.mark.slow
@pytest.mark.parametrize("fisher", BUILT_IN, ids=repr)
def test_built_in_approximations_conform(fisher):
    check_fisher(fisher, slow=fisher.unit_sampling() is None)


@pytest.mark.parametrize("fisher", BUILT_IN, ids=repr)
def test_built_in_approximations_conform_in_short(fisher):
    checks = checks_of(fisher, depths=(2,))
    declared = getattr(fisher, "expected_failures", {})
    assert set(declared) <= set(FAST)
    for name in FAST:
        assert bool(checks[name]()) == (name not in declared), (name, checks[name]())


def test_only_what_the_theory_says_is_declared():
    declared = {repr(fisher) for fisher in BUILT_IN if getattr(fisher, "expected_failures", {})}
    assert declared == {repr(ntkng.UnitWise()), repr(ntkng.KFAC(last_layer="paper"))}


def test_declarations_must_not_rot():
    network = ntkng.mlp(3, width=8, depth=2)
    with pytest.raises(AssertionError, match="remove the declaration"):
        check_network(network, expected_failures={"deterministic": "for this test"})
    with pytest.raises(ValueError, match="unknown checks"):
        check_network(network, expected_failures={"no such check": "for this test"})
    with pytest.raises(TypeError, match="got int"):
        checks_of(3)


def off_by_five_percent(network, x, x_test=None):
    """Infinite-width kernels, the first layer's too large."""
    kernels = ntkng.analytic(network, x, x_test)
    layers = list(kernels.layers)
    layers[0] = dataclasses.replace(layers[0], theta=layers[0].theta.map(lambda gram: 1.05 * gram))
    return dataclasses.replace(kernels, layers=tuple(layers))


def test_kernel_functions():
    check_kernels(ntkng.analytic)
    with pytest.raises(AssertionError, match="total/train"):
        check_kernels(off_by_five_percent)


@dataclasses.dataclass(frozen=True)
class MissingSamples(ntkng.BlockDiagonal):
    """`rho` where `N rho` belongs, in function space only."""

    def _kernel(self, kernels):
        return ntkng.BlockDiagonal(self.damping / kernels.samples)._kernel(kernels)


@dataclasses.dataclass(frozen=True)
class FivePercent(ntkng.Exact):
    """`alpha` off by 5 %."""

    def _kernel(self, kernels):
        train, cross = super()._kernel(kernels)
        return 1.05 * train, None if cross is None else 1.05 * cross


@dataclasses.dataclass(frozen=True)
class DroppedLayer(ntkng.BlockDiagonal):
    """The first layer is left out of the kernel."""

    def _kernel(self, kernels):
        return super()._kernel(dataclasses.replace(kernels, layers=kernels.layers[1:] or kernels.layers))


@dataclasses.dataclass(frozen=True)
class WrongSign(ntkng.Exact):
    """The step goes uphill."""

    def cotangents(self, kernels, records, residual):
        return super().cotangents(kernels, records, -residual)


@dataclasses.dataclass(frozen=True)
class WithoutSamples(ntkng.GradientDescent):
    """`1/N` is forgotten in the parameter step."""

    def cotangents(self, kernels, records, residual):
        return super().cotangents(kernels, records, residual * kernels.samples)


@dataclasses.dataclass(frozen=True)
class LostCoupling(ntkng.Exact):
    """Claims to be exact, solves layer by layer."""

    def cotangents(self, kernels, records, residual):
        return ntkng.BlockDiagonal(self.damping).cotangents(kernels, records, residual)


@dataclasses.dataclass(frozen=True)
class WrongLastFactor(ntkng.KFAC):
    """The last layer's factor of the paper in the kernel, of the true Fisher in the step."""

    def _kernel(self, kernels):
        return ntkng.KFAC(self.damping, last_layer="paper")._kernel(kernels)


@dataclasses.dataclass(frozen=True)
class NotSymmetric(ntkng.BlockDiagonal):
    """`K` is not symmetric."""

    def _kernel(self, kernels):
        train, cross = super()._kernel(kernels)
        return train + 1e-3 * jnp.triu(jnp.ones_like(train)), cross


WRONG = {  # the checks that must see it
    MissingSamples: {"dense_kernel", "step_moves_function"},
    FivePercent: {"dense_kernel", "isotropic"},
    DroppedLayer: {"dense_kernel", "isotropic"},
    WrongSign: {"dense_step", "step_moves_function"},
    WithoutSamples: {"dense_step", "step_moves_function"},
    LostCoupling: {"dense_step", "step_moves_function"},
    WrongLastFactor: {"step_moves_function"},
    NotSymmetric: {"dense_kernel", "symmetric_positive"},
}


@pytest.mark.parametrize(("cls", "seen"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_approximations_are_seen(cls, seen):
    checks = checks_of(cls, depths=(2,))
    for name in seen:
        with pytest.raises(AssertionError):
            require(checks[name]())


@pytest.mark.slow
@pytest.mark.parametrize("cls", WRONG, ids=lambda cls: cls.__name__)
def test_wrong_approximations_fail(cls):
    with pytest.raises(AssertionError):
        check_fisher(cls)
