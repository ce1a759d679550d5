"""The conformance suite passes for every built-in approximation, and fails for deliberately wrong ones."""

import dataclasses

import jax.numpy as jnp
import pytest

import ntkng
from ntkng.fisher import FISHERS
from ntkng.testing import check_fisher


@pytest.mark.slow
@pytest.mark.parametrize("cls", FISHERS, ids=lambda cls: cls.__name__)
def test_built_in_approximations_conform(cls):
    check_fisher(cls)


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


WRONG = (
    MissingSamples, FivePercent, DroppedLayer, WrongSign, WithoutSamples, LostCoupling, WrongLastFactor, NotSymmetric,
)  # fmt: skip


@pytest.mark.parametrize("cls", WRONG, ids=lambda cls: cls.__name__)
def test_wrong_approximations_fail(cls):
    with pytest.raises(AssertionError):
        check_fisher(cls)
