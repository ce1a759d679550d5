"""Layer kernels: one type, two sources (`analytic` at infinite width, `empirical` at finite width)."""

from ntkng.kernels.analytic import analytic as analytic
from ntkng.kernels.covariance import nngp as nngp
from ntkng.kernels.empirical import empirical as empirical
from ntkng.kernels.kernels import Gram as Gram
from ntkng.kernels.kernels import Kernels as Kernels
from ntkng.kernels.kernels import LayerKernels as LayerKernels
from ntkng.kernels.units import Units as Units
from ntkng.kernels.units import UnitSampling as UnitSampling
