r"""Mean and covariance of the trained function over random initialisation, in closed form.

At infinite width `f_0 ~ GP(0, S kron I_C)` with the NNGP kernel `S`, and every training step is an affine map of the function
(`ntkng.closed_form`), so `f_t` stays Gaussian. With `R_t = K' q_t(K)` and `D_t = (I - eta K)^t`, or `e^{-K t}` for the flow,

    train:  E f_t  = (I - D_t) y,     Cov f_t  = D_t S D_t^T
    test:   E f'_t = R_t y,           Cov f'_t = S'' - R_t S'^T - S' R_t^T + R_t S R_t^T

(`S'' = S(x', x')`, `S' = S(x', x)`), for any Fisher approximation through its `K` and `K'`. For gradient descent this is Lee et
al. 2019, eq. 13 to 15. Outputs are independent and share one covariance.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkng.arguments import check_run
from ntkng.closed_form import mode_functions
from ntkng.fisher.base import Fisher
from ntkng.fisher.preconditioned import Stability, stability
from ntkng.fitting_kernels import fitting_kernels
from ntkng.kernels import Kernels
from ntkng.precision import AnyArray, in_float64
from ntkng.problem import Problem
from ntkng.short_repr import short_repr
from ntkng.times import require_limit, step_times
from ntkng.validation import positive

Where = Literal["train", "test"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The Gaussian law of the trained function, at each time.

    Attributes:
        times: steps, or times of the flow, `[T]`.
        mean_train: `E f_t(x)`, `[T, N, C]`.
        covariance_train: of one output among the training inputs, `[T, N, N]`; different outputs are independent.
        targets: `y`, `[N, C]`.
        mean_test: `E f_t(x')`, `[T, M, C]`, or `None` without test inputs.
        covariance_test: `[T, M, M]`, or `None`.
        test_targets: `y'`, or `None`.
        stability: what the spectrum of `K` says of the step size (static).
        fisher: name of the approximation (static).
        step_size: `eta`, `None` for the flow (static).
    """

    times: Float[AnyArray, "T"]
    mean_train: Float[AnyArray, "T N C"]
    covariance_train: Float[AnyArray, "T N N"]
    targets: Float[AnyArray, "N C"]
    mean_test: Float[AnyArray, "T M C"] | None = None
    covariance_test: Float[AnyArray, "T M M"] | None = None
    test_targets: Float[AnyArray, "M C"] | None = None
    stability: Stability | None = dataclasses.field(default=None, metadata={"static": True})
    fisher: str = dataclasses.field(default="", metadata={"static": True})
    step_size: float | None = dataclasses.field(default=None, metadata={"static": True})

    __repr__ = short_repr

    def mean(self, on: Where = "test") -> Float[np.ndarray, "T M C"]:
        """`E f_t`; `ValueError` where there are no test inputs."""
        return np.asarray(self._part("mean", on))

    def covariance(self, on: Where = "test") -> Float[np.ndarray, "T M M"]:
        """`Cov f_t` of one output; `ValueError` where there are no test inputs."""
        return np.asarray(self._part("covariance", on))

    def standard_deviation(self, on: Where = "test") -> Float[np.ndarray, "T M"]:
        """Of the function at each input, over networks."""
        variances = np.diagonal(self.covariance(on), axis1=-2, axis2=-1)
        return np.sqrt(np.maximum(variances, 0))  # rounding, where it vanishes

    def band(
        self, confidence: float = 0.95, on: Where = "test"
    ) -> tuple[Float[np.ndarray, "T M C"], Float[np.ndarray, "T M C"]]:
        """Pointwise bounds between which a share `confidence` of all networks lies.

        Raises:
            ValueError: `confidence` outside of (0, 1), or no test inputs.
        """
        import scipy.special  # slow to import: only where needed

        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1 (exclusive), got {confidence}; use 0.95, say")
        half = scipy.special.ndtri((1 + confidence) / 2) * self.standard_deviation(on)[..., None]
        return self.mean(on) - half, self.mean(on) + half

    def expected_loss(self, on: Where = "test") -> Float[np.ndarray, "T"]:
        """`E 1/(2M) sum |f_t - y|^2` over networks: squared bias and variance."""
        targets = self.targets if on == "train" else self.test_targets
        if targets is None:
            raise ValueError("this ensemble has no test targets; give the Problem y_test")
        bias = ((self.mean(on) - np.asarray(targets)) ** 2).sum(axis=(-2, -1))
        samples, outputs = np.shape(targets)
        return (bias + outputs * (self.standard_deviation(on) ** 2).sum(axis=-1)) / (2 * samples)

    def _part(self, what: str, on: Where) -> Any:
        if on not in ("train", "test"):
            raise ValueError(f"on must be 'train' or 'test', got {on!r}")
        part = getattr(self, f"{what}_{on}")
        if part is None:
            raise ValueError("this ensemble has no test inputs; give the Problem x_test")
        return part


@in_float64
def ensemble(
    problem: Problem,
    fisher: Fisher,
    kernels: Kernels | None = None,
    *,
    step_size: float | None = None,
    steps: Any = 10,
    flow: bool = False,
) -> Ensemble:
    """Mean and covariance over random initialisation of the function of wide networks during training.

    Args:
        problem: inputs, targets and network; squared loss.
        fisher: the approximation.
        kernels: `analytic(..., test_covariance=True)` of `problem`'s inputs; `None` computes them.
        step_size: `eta`; `None` takes `fisher.optimal_step(kernels)`. Not used by the flow.
        steps: number of steps (all of 0 .. steps are returned), or an array of step numbers, or of times for the flow; infinity
            is the limit.
        flow: gradient flow instead of steps.

    Returns:
        An `Ensemble`; the arrays `[T, N, N]` and `[T, M, M]` take the memory, so ask for few times where N is large.

    Raises:
        TypeError: an argument of another type, or a call inside a transformation of JAX.
        ValueError: a loss other than `"mse"`, kernels of a finite network or of other inputs, kernels without the test
            covariance, singular kernels without damping, an approximation that depends on the residual, infinite times where
            training does not converge.
    """
    check_run("ensemble", problem, fisher, kernels, step_size=step_size, steps=steps)
    if problem.loss != "mse":
        raise ValueError(f"ensemble is for the squared loss, got {problem.loss!r}: for others f_t is not Gaussian")
    kernels = _kernels(problem, fisher, kernels)
    if fisher.at(jnp.zeros((problem.samples, problem.outputs))) is not fisher:
        raise ValueError(f"{fisher.name} depends on the residual, so that f_t is not Gaussian; simulate instead")
    times = step_times(steps, flow)
    if not flow:
        step_size = positive("step_size", fisher.optimal_step(kernels) if step_size is None else step_size)
    eta = None if flow else step_size
    preconditioned = fisher.kernel(kernels)
    values, vectors = preconditioned.modes()
    verdict = stability(np.asarray(values), eta)
    require_limit(times, verdict)
    decay, quotient = mode_functions(values, times, eta)
    train = _train(vectors, decay, kernels, jnp.asarray(problem.y))
    test = (None, None)
    if problem.x_test is not None and preconditioned.cross is not None:
        test = _test(preconditioned.cross @ vectors, vectors, quotient, kernels, jnp.asarray(problem.y))
    return Ensemble(
        times=times,
        mean_train=train[0],
        covariance_train=train[1],
        targets=problem.y,
        mean_test=test[0],
        covariance_test=test[1],
        test_targets=problem.y_test,
        stability=verdict,
        fisher=fisher.name,
        step_size=None if eta is None else float(eta),
    )


def _kernels(problem: Problem, fisher: Fisher, kernels: Kernels | None) -> Kernels:
    has_test = problem.x_test is not None
    kernels = fitting_kernels(problem, fisher, kernels, test_covariance=has_test)
    if kernels.nngp is None:
        raise ValueError("an ensemble needs the NNGP kernel, which only analytic kernels have; got empirical ones")
    if has_test and kernels.nngp_test is None:
        raise ValueError("the covariance on test inputs needs analytic(..., x_test, test_covariance=True)")
    return kernels


def _train(vectors: Array, decay: Float[Array, "T n"], kernels: Kernels, targets: Array) -> tuple[Array, Array]:
    """`(I - D) y` and `D S D`, `D = U diag(decay) U^T`."""
    assert kernels.nngp is not None
    rotated = vectors.T @ kernels.nngp.train @ vectors
    mean = jnp.einsum("ni,ti,ic->tnc", vectors, 1 - decay, vectors.T @ targets)
    inner = decay[:, :, None] * rotated[None] * decay[:, None, :]
    return mean, vectors @ inner @ vectors.T


def _test(
    mapped: Float[Array, "M n"], vectors: Array, quotient: Float[Array, "T n"], kernels: Kernels, targets: Array
) -> tuple[Array, Array]:
    """`R y` and `S'' - R S'^T - S' R^T + R S R^T`, `R = K' U diag(quotient) U^T`."""
    assert kernels.nngp is not None
    assert kernels.nngp.cross is not None
    assert kernels.nngp_test is not None
    mean = jnp.einsum("mi,ti,ic->tmc", mapped, quotient, vectors.T @ targets)
    response = mapped[None] * quotient[:, None, :]  # R in the eigenbasis of K
    cross = response @ (kernels.nngp.cross @ vectors).T
    own = response @ (vectors.T @ kernels.nngp.train @ vectors) @ jnp.swapaxes(response, 1, 2)
    return mean, kernels.nngp_test[None] - cross - jnp.swapaxes(cross, 1, 2) + own
