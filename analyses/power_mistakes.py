"""The mistakes behind the planted theories: functions on layer kernels, on `(K, K')`, and on trajectories."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from analyses.planted import Belief
from analyses.power_problems import CONTRACTION, kernels
from ntkng.closed_form import closed_form
from ntkng.fisher import KFAC, BlockDiagonal, Exact, Fisher
from ntkng.kernels import Gram, Kernels
from ntkng.testing.small_problem import OUTPUTS

# -- layers ------------------------------------------------------------------------------------------------------------


def doubled(index: int) -> Any:
    """The sum over layers has layer `index` twice."""
    return lambda own: dataclasses.replace(own, layers=(*own.layers, own.layers[index]))


def last_alone(own: Kernels) -> Kernels:
    """The last layer's NTK is the NNGP kernel of the outputs."""
    return dataclasses.replace(own, layers=own.layers[-1:])


def other(**changes: Any) -> Any:
    """Kernels of another network or other data."""
    return lambda own: kernels(**changes)


def shifted(own: Kernels) -> Kernels:
    """`A_{l-1} o B_{l+1}` for `A_{l-1} o B_l`."""
    found = []
    for layer, following in zip(own.layers, own.layers[1:], strict=False):
        found.append(_with_backward(layer, following.backward))
    return dataclasses.replace(own, layers=(*found, own.layers[-1]))


def half_derivative(own: Kernels) -> Kernels:
    """`E[phi' phi']` at half its value, once for every activation between a layer and the output."""
    depth = len(own.layers)
    found = []
    for index, layer in enumerate(own.layers):
        factor = 0.5 ** (depth - 1 - index)
        found.append(_with_backward(layer, layer.backward.map(lambda gram, factor=factor: factor * gram)))
    return dataclasses.replace(own, layers=tuple(found))


def _with_backward(layer: Any, backward: Gram) -> Any:
    theta = Gram(layer.inner.train * backward.train, layer.inner.cross * backward.cross)
    return dataclasses.replace(layer, theta=theta, backward=backward)


# -- (K, K') -----------------------------------------------------------------------------------------------------------


def times(factor: float) -> Belief:
    """A factor on `K` and `K'`."""

    def believes(fisher: Fisher, own: Kernels) -> Any:
        train, cross = fisher._kernel(own)
        return factor * train, factor * cross

    return believes


def diagonal(fisher: Fisher, own: Kernels) -> Any:
    """The kernel of the block-diagonal approximation."""
    return BlockDiagonal(fisher.damping)._kernel(own)


def with_(**changes: Any) -> Belief:
    """The kernel with other fields of the approximation."""
    return lambda fisher, own: dataclasses.replace(fisher, **changes)._kernel(own)


def damped(factor: float) -> Belief:
    """`factor rho` for `rho`."""
    return lambda fisher, own: dataclasses.replace(fisher, damping=factor * fisher.damping)._kernel(own)


def coupled_outputs(fisher: Fisher, own: Kernels) -> Any:
    """`kron 1_{C x C}` in the place of `kron I_C`: every output moves by what all of them miss."""
    ones = np.ones((OUTPUTS, OUTPUTS))
    train, cross = fisher._kernel(own)
    return jnp.kron(train, ones), jnp.kron(cross, ones)


def transposed(fisher: Fisher, own: Kernels) -> Any:
    """`K'` of every N test inputs transposed."""
    train, cross = fisher._kernel(own)
    side = cross.shape[1]
    return train, jnp.swapaxes(cross.reshape(-1, side, side), 1, 2).reshape(cross.shape)


def from_test_kernels(fisher: Fisher, own: Kernels) -> Any:
    """`Theta' Theta(x', x')^{-1}`, the Gram of the first N test inputs in the place of that of the training inputs."""
    return fisher._kernel(own)[0], own.theta.cross @ jnp.linalg.inv(kernels(data="test").theta.train)


def plain_cross(fisher: Fisher, own: Kernels) -> Any:
    """`Theta' / N` for `K'`."""
    return fisher._kernel(own)[0], own.theta.cross / own.samples


def exact_cross(fisher: Fisher, own: Kernels) -> Any:
    """`alpha Theta' Theta^{-1}` for `K'`."""
    train, _ = fisher._kernel(own)
    return train, jnp.trace(train) / len(train) * Exact(fisher.damping)._kernel(own)[1]


def even_weights(fisher: Fisher, own: Kernels) -> Any:
    """`c_l = alpha / L` for `c = T^{-1} 1`: `K` is the same, `K'` is not."""
    train, _ = fisher._kernel(own)
    blocks = diagonal(fisher, own)
    return train, jnp.trace(train) / jnp.trace(blocks[0]) * blocks[1]


@dataclasses.dataclass(frozen=True)
class SwappedKFAC(KFAC):
    """`rho_A` and `rho_B` exchanged: `pi` upside down."""

    def factor_damping(self, trace_inner: Any, trace_backward: Any, dimensions: tuple[int, int]) -> tuple[Any, Any]:
        """`(rho_B, rho_A)`."""
        return super().factor_damping(trace_inner, trace_backward, dimensions)[::-1]


def swapped_damping(fisher: Fisher, own: Kernels) -> Any:
    """The kernel of `SwappedKFAC`."""
    return SwappedKFAC(fisher.damping)._kernel(own)


# -- trajectories ------------------------------------------------------------------------------------------------------


def flow(problem: Any, fisher: Fisher, own: Kernels, *, step_size: float, steps: int, initial: Any) -> Any:
    """The gradient flow at the times `eta t`."""
    times = step_size * np.arange(steps + 1)
    found = closed_form(problem, fisher, own, steps=times, flow=True, initial=initial)
    return dataclasses.replace(found, times=np.arange(steps + 1.0))


def late(problem: Any, fisher: Fisher, own: Kernels, *, step_size: float, steps: int, initial: Any) -> Any:
    """Step `t + 1` for step `t`."""
    found = closed_form(
        problem, fisher, own, step_size=step_size, steps=np.r_[0, np.arange(2, steps + 2)], initial=initial
    )  # fmt: skip
    return dataclasses.replace(found, times=np.arange(steps + 1.0))


def without_start(problem: Any, fisher: Fisher, own: Kernels, *, step_size: float, steps: int, initial: Any) -> Any:
    """`f'_t = K' q_t(K) (y - f_0)`, without `f'_0`, from the first step on."""
    found = closed_form(problem, fisher, own, step_size=step_size, steps=steps, initial=initial)
    test = np.array(found.test)
    test[..., 1:, :, :] -= test[..., :1, :, :]
    return dataclasses.replace(found, test=test)


def one_rate(problem: Any, fisher: Fisher, own: Kernels, *, step_size: float, steps: int, initial: Any) -> Any:
    """The first step of every mode, and then one scalar clock `(1 - (1 - c)^t) / c` for all of them."""
    found = closed_form(problem, fisher, own, step_size=step_size, steps=steps, initial=initial)
    clock = (1 - CONTRACTION ** np.arange(steps + 1.0)) / (1 - CONTRACTION)

    def path(values: Any) -> Any:
        first, second = np.asarray(values)[..., :1, :, :], np.asarray(values)[..., 1:2, :, :]
        return first + clock[:, None, None] * (second - first)

    return dataclasses.replace(found, train=path(found.train), test=path(found.test))
