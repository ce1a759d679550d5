"""Infinite-width theory of natural gradient descent, checked against finite networks."""

from typing import Any as _Any

from ntkng import fisher as fisher
from ntkng import kernels as kernels
from ntkng import stax as stax
from ntkng.citation import citation as citation
from ntkng.closed_form import closed_form as closed_form
from ntkng.compare import compare as compare
from ntkng.compare import relative_distance as relative_distance
from ntkng.cross_entropy import cross_entropy_flow as cross_entropy_flow
from ntkng.ensemble import Ensemble as Ensemble
from ntkng.ensemble import ensemble as ensemble
from ntkng.fisher import KFAC as KFAC
from ntkng.fisher import BlockDiagonal as BlockDiagonal
from ntkng.fisher import BlockTriDiagonal as BlockTriDiagonal
from ntkng.fisher import CustomPattern as CustomPattern
from ntkng.fisher import EmpiricalFisher as EmpiricalFisher
from ntkng.fisher import Exact as Exact
from ntkng.fisher import Fisher as Fisher
from ntkng.fisher import GradientDescent as GradientDescent
from ntkng.fisher import UnitWise as UnitWise
from ntkng.forster import ForsterTransform as ForsterTransform
from ntkng.forster import forster as forster
from ntkng.gaussian_process import nngp_regression as nngp_regression
from ntkng.iterate import iterate as iterate
from ntkng.kernels import Kernels as Kernels
from ntkng.kernels import analytic as analytic
from ntkng.kernels import empirical as empirical
from ntkng.kernels import nngp as nngp
from ntkng.mini_batch import shuffled_batches as shuffled_batches
from ntkng.multilayer_perceptron import mlp as mlp
from ntkng.network import Network as Network
from ntkng.problem import Problem as Problem
from ntkng.report import Claim as Claim
from ntkng.report import Report as Report
from ntkng.simulate import simulate as simulate
from ntkng.streamed import streamed_closed_form as streamed_closed_form
from ntkng.trajectory import Trajectory as Trajectory

__version__ = "0.1.0"

# loaded when they are asked for, so that `import ntkng` stays quick
_ROOMS = (
    "data",
    "testing",
    "inductive_bias",
    "perspectives",
    "reversible",
    "function_space_flow",
    "displacement",
    "sweep",
)


def __getattr__(name: str) -> _Any:
    if name in _ROOMS:
        import importlib

        return importlib.import_module(f"ntkng.{name}")
    raise AttributeError(f"module 'ntkng' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
