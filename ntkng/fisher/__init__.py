"""Fisher approximations: one file each, listed once in `FISHERS`."""

from ntkng.fisher.base import Fisher as Fisher
from ntkng.fisher.conjugate_gradients import ConjugateGradients as ConjugateGradients
from ntkng.fisher.dense import DenseLayer as DenseLayer
from ntkng.fisher.empirical_fisher import EmpiricalFisher as EmpiricalFisher
from ntkng.fisher.gradient_descent import GradientDescent as GradientDescent
from ntkng.fisher.kfac import KFAC as KFAC
from ntkng.fisher.layer_pattern import BlockDiagonal as BlockDiagonal
from ntkng.fisher.layer_pattern import BlockTriDiagonal as BlockTriDiagonal
from ntkng.fisher.layer_pattern import CustomPattern as CustomPattern
from ntkng.fisher.layer_pattern import Exact as Exact
from ntkng.fisher.layer_pattern import LayerPattern as LayerPattern
from ntkng.fisher.preconditioned import PreconditionedKernel as PreconditionedKernel
from ntkng.fisher.preconditioned import Stability as Stability
from ntkng.fisher.unit_wise import UnitWise as UnitWise

# every approximation that needs no further arguments: conformance tests, command lines and tables iterate this
FISHERS: tuple[type[Fisher], ...] = (GradientDescent, Exact, BlockDiagonal, BlockTriDiagonal, KFAC)

# those that exist with damping only (their default has some) and whose kernels hold units, `analytic(..., units=...)`
DAMPED_FISHERS: tuple[type[Fisher], ...] = (UnitWise,)
