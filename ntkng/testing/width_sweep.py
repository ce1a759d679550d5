"""The same experiment at several widths: what the statistical assertions need."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkng.closed_form import closed_form
from ntkng.fisher import Fisher
from ntkng.kernels import Kernels, analytic
from ntkng.kernels.empirical import from_records
from ntkng.network import Network
from ntkng.origin import Origin
from ntkng.precision import in_float64
from ntkng.problem import Problem
from ntkng.seeds import as_key
from ntkng.short_repr import short_repr
from ntkng.simulate import simulate
from ntkng.trajectory import Trajectory

WIDTHS = (64, 128, 256, 512)
SEEDS = 32
CHUNK_BYTES = 2**27


@dataclasses.dataclass(frozen=True)
class WidthSweep:
    """Simulations and predictions of one approximation, by width.

    Attributes:
        simulated: finite networks, `[seeds, T, N, C]`.
        predicted: the infinite-width closed form, started at each network's own functions.
        contraction: `|1 - c|`, the predicted factor of the residual per step where the approximation is isotropic.
    """

    simulated: Mapping[int, Trajectory]
    predicted: Mapping[int, Trajectory]
    contraction: float

    __repr__ = short_repr


def seeds_at(width: int, widths: Sequence[int], seeds: int) -> int:
    """Networks at `width`: `seeds` at the largest, in proportion to `1/M` more at the others.

    Variances fall like `1/M`, so every width's mean is then known equally well; narrow networks are cheap.
    """
    return max(2, round(seeds * max(widths) / width))


def width_sweep(
    problem: Callable[[int], Problem],
    fisher: Fisher,
    *,
    widths: Sequence[int] = WIDTHS,
    seeds: int = SEEDS,
    relative_step: float = 0.5,
    steps: int = 3,
    key: Any = 0,
    observe: Any = None,
    train: Callable[..., Trajectory] = simulate,
) -> WidthSweep:
    """Train finite networks of several widths, and predict each of them at infinite width.

    Args:
        problem: the problem with hidden layers of a given width; the data must not depend on it.
        fisher: the approximation.
        widths: at least one more than powers in the extrapolation.
        seeds: networks at the largest width; narrower ones get more (see `seeds_at`).
        relative_step: `c`; the step size is `c` times the predicted optimal one.
        steps: number of steps.
        key: typed random key or integer; each width draws from its own.
        observe: as in `simulate`, such as `ntkng.testing.observe_ntk`.
        train: what trains the networks, with the arguments and result of `ntkng.simulate`: an optimiser of your own, say.
    """
    simulated, predicted = {}, {}
    for index, width in enumerate(sorted(widths)):
        own = problem(width)
        kernels = analytic(own.network, own.x, own.x_test, units=fisher.unit_sampling())
        eta = relative_step * fisher.optimal_step(kernels)
        count = seeds_at(width, widths, seeds)
        run = train(
            own,
            fisher,
            jax.random.fold_in(as_key(key), index),
            step_size=eta,
            steps=steps,
            seeds=count,
            observe=observe,
        )
        simulated[width] = run
        predicted[width] = predict(own, fisher, kernels, run)
    return WidthSweep(simulated, predicted, abs(1 - relative_step))


def predict(problem: Problem, fisher: Fisher, kernels: Kernels, run: Trajectory) -> Trajectory:
    """The closed form at the run's step size and times, started at its own functions."""
    start = np.asarray(run.train)[:, 0], None if run.test is None else np.asarray(run.test)[:, 0]
    initial = start if start[1] is not None else start[:1]
    return closed_form(
        problem, fisher, kernels, step_size=run.step_size, steps=np.asarray(run.times), initial=initial  # type: ignore[arg-type]
    )  # fmt: skip


@in_float64
def sample_kernels(network: Network, x: Any, x_test: Any = None, *, seeds: int = SEEDS, key: Any = 0) -> Kernels:
    """Empirical kernels of `seeds` random networks, every array with a leading axis over networks."""
    inputs = [None if a is None else jnp.asarray(a, jnp.float64) for a in (x, x_test)]
    keys = jax.random.split(as_key(key), seeds)
    shapes = jax.eval_shape(network.init, keys[0])
    size = 6 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    fitting = max(1, min(seeds, CHUNK_BYTES // size))
    chunk = 1 << (fitting.bit_length() - 1)  # a remainder would be compiled as a second program
    kernels = _sample_kernels(network, chunk, keys, *inputs)
    return dataclasses.replace(kernels, origin=Origin.of(network, x, x_test))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _sample_kernels(network: Network, chunk: int, keys: Any, x: Any, x_test: Any) -> Kernels:
    def one(key: Any) -> Kernels:
        parameters = network.init(key)
        _, records = network.linearise(parameters, x)
        test = None if x_test is None else network.linearise(parameters, x_test)[1]
        return from_records(network, records, test)

    return jax.lax.map(one, keys, batch_size=chunk)
