"""Training of finite networks by exact natural gradient steps, with every Fisher approximation.

One compiled program holds all steps. Each step runs the network forward, C reverse passes for the backward signals, Grams,
a solve in data space, and one product per layer for the parameter step: no Jacobian and no `P x P` matrix is formed.
The step size, the damping, the data and the seed are arguments of the program, so none of them recompiles it.

Losses other than the squared one enter through `ntkng.whitening`: the same step, in other output coordinates. With batches,
each step sees its batch alone, and the functions are recorded on all inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkng import whitening
from ntkng.arguments import check_run
from ntkng.devices import at_home, platform, spread
from ntkng.divergence import judge
from ntkng.fisher.base import Fisher
from ntkng.kernels.empirical import from_records
from ntkng.layers import LayerRecord, descend
from ntkng.mini_batch import plan_steps
from ntkng.network import Network, Parameters
from ntkng.parameters import fitting_parameters
from ntkng.precision import AnyArray, in_float64, supported_dtype
from ntkng.problem import Problem
from ntkng.provenance import provenance
from ntkng.seeds import as_key
from ntkng.trajectory import Trajectory
from ntkng.validation import positive, positive_integer
from ntkng.whitening import mark, whiten, whiten_records

VMAP_BYTES = 2**27  # networks train side by side (vmap) while they fit into this, else one after another

Observer = Callable[[Network, Parameters, Array], Mapping[str, Array]]


@in_float64
def simulate(
    problem: Problem,
    fisher: Fisher,
    key: Array | int = 0,
    *,
    step_size: float,
    steps: int | None = None,
    batches: Int[AnyArray, "steps n"] | None = None,
    seeds: int = 1,
    parameters: Parameters | None = None,
    dtype: Any = jnp.float64,
    solve_dtype: Any = jnp.float64,
    observe: Observer | None = None,
    devices: Sequence[Any] | None = None,
    keep_parameters: bool = False,
) -> Trajectory:
    """Train finite networks and record their functions.

    Args:
        problem: network, data and loss: squared, or cross-entropy with `F = J^T H J / N`, `H` the loss's Hessian in the
            logits; the trajectory holds the logits.
        fisher: the approximation.
        key: an integer seed, Python's or NumPy's, or a random key (`jax.random.key(0)`, or a legacy one); network `i` is drawn from its i-th split.
        step_size: `eta`.
        steps: number of steps, default 10; the result has `steps + 1` times, 0 steps give the start alone.
        batches: indices of the training inputs that each step sees, one row a step (see `ntkng.mini_batch`); `None` is
            the full batch. The Fisher matrix and the gradient are means over the batch.
        seeds: number of networks, each from its own key.
        parameters: start from these instead (then `seeds` must be 1), nested as `network.init` does; lists and tuples stand for
            each other.
        dtype: of the network: float64, or float32 for throughput.
        solve_dtype: of Grams and solves; float64 with a float32 network is a good fast mode.
        observe: a function `(network, parameters, x) -> {name: array}`, called at every time; its results are in
            `Trajectory.observed`.
        devices: spread the training inputs over these JAX devices, evenly (forward and backward passes and the rows of Grams are
            shared, solves are not); `None` runs on the default device.
        keep_parameters: whether `Trajectory.parameters` holds the trained networks.

    Returns:
        A `Trajectory` with leading axis `seeds`.

    Raises:
        TypeError: an argument of another type, another dtype, or a call inside a transformation of JAX.
        ValueError: a step size that is not positive, batches that do not fit, and, undamped, kernels at initialisation
            that are singular (the message names the layer); a number of inputs that is not a multiple of that of `devices`; a
            later step that cannot be taken (see `ntkng.divergence`, which warns of training that diverges).
    """
    check_run(
        "simulate", problem, fisher, key=key, step_size=step_size, batches=batches, parameters=parameters
    )  # fmt: skip
    step_size = positive("step_size", step_size)
    steps, batches = plan_steps(steps, batches, problem.samples)
    seeds = positive_integer("seeds", seeds)
    dtype, solve_dtype = supported_dtype("dtype", dtype), supported_dtype("solve_dtype", solve_dtype)
    with at_home(devices, key, parameters):  # what is traced there asks where it will run
        test = None if problem.x_test is None else jnp.asarray(problem.x_test, dtype)
        data = [jnp.asarray(problem.x, dtype), jnp.asarray(problem.y, dtype), test]
        data = data if devices is None else spread(devices, *data)
        chosen = None if batches is None else jnp.asarray(batches)
        static = {"steps": steps, "solve_dtype": solve_dtype, "observe": observe, "loss": problem.loss}
        static["keep_parameters"] = keep_parameters
        run = functools.partial(_train, problem.network, batches=chosen, **static)
        first = slice(None) if batches is None else batches[0]
        keys, start = jax.random.split(as_key(key), seeds), None
        if parameters is not None:
            if seeds != 1:
                raise ValueError(f"got parameters and seeds = {seeds}; parameters start a single network, use seeds=1")
            parameters = fitting_parameters(problem.network, parameters)
            start = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), parameters)
            check_start(problem, fisher, start, first)
            results = jax.tree.map(lambda leaf: leaf[None], run(fisher, start, *data, step_size))
        else:
            check_start(problem, fisher, problem.network.init(keys[0], dtype), first)
            results = _each_seed(run, problem.network, fisher, keys, dtype, data, step_size)
    train, test, displacement, observed, trained = results
    if fisher.is_matrix_free and not np.isfinite(np.asarray(train)).all():
        raise ValueError(
            f"{fisher.name}: conjugate gradients missed their tolerance, or training diverged; allow more iterations, use "
            "damping > 0 or a smaller step size, or solver=None, which says how well the system is conditioned"
        )

    def check(index: int, step: int) -> None:
        """What refuses the step of one network: trained again up to there, and looked at."""
        begin = problem.network.init(keys[index], dtype) if start is None else start
        again = functools.partial(
            _train, problem.network, **{**static, "steps": step, "observe": None, "keep_parameters": True}
        )
        with at_home(devices, key, parameters):
            reached = again(fisher, begin, *data, step_size, batches=None if chosen is None else chosen[:step])[-1]
        check_start(problem, fisher, reached, slice(None) if batches is None else batches[step])

    judge((train, test), problem.y, check, step_size)
    return Trajectory(
        times=jnp.arange(steps + 1.0),
        train=train,
        targets=problem.y,
        test=test,
        test_targets=problem.y_test,
        displacement=displacement,
        observed=observed,
        parameters=trained,
        source="simulation",
        fisher=fisher.name,
        step_size=float(step_size),
        loss=problem.loss,
    )


def check_start(problem: Problem, fisher: Fisher, parameters: Parameters, chosen: Any) -> None:
    """Refuse to train where the first solve is singular: the error names the layer instead of NaN everywhere."""
    from ntkng.kernels import empirical

    if fisher.is_matrix_free:  # solutions say themselves whether they are any
        return
    dtype = jax.tree.leaves(parameters)[0].dtype
    x, y = jnp.asarray(problem.x[chosen], dtype), jnp.asarray(problem.y[chosen], dtype)
    kernels = empirical(problem.network, parameters, x, factors=fisher.needs_factors)
    outputs = problem.network.apply(parameters, x)
    whitening.check_start(problem.loss, fisher, kernels, outputs, y)


def _each_seed(
    run: Callable[..., Any],
    network: Network,
    fisher: Fisher,
    keys: Array,
    dtype: Any,
    data: list[Any],
    step_size: float,
) -> Any:
    """All networks by vmap when they fit, else in a loop that reuses one program.

    On the CPU always the loop: two batched LAPACK calls of one program, side by side, wait for each other in XLA's thread
    pool for ever (JAX 0.10.2 on two cores, two layers' Cholesky solves), and vmap gains little there.
    """
    start = jax.eval_shape(lambda key: network.init(key, dtype), keys[0])
    size = 6 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(start))

    def one(key: Array) -> Any:
        return run(fisher, network.init(key, dtype), *data, step_size)

    if platform() != "cpu" and size * len(keys) <= VMAP_BYTES:
        return jax.vmap(one)(keys)
    return jax.tree.map(lambda *parts: jnp.stack(parts), *[one(key) for key in keys])


@functools.partial(jax.jit, static_argnames=("network", "steps", "solve_dtype", "observe", "loss", "keep_parameters"))
def _train(
    network: Network,
    fisher: Fisher,
    parameters: Parameters,
    x: Array,
    y: Array,
    x_test: Array | None,
    step_size: Array,
    *,
    batches: Array | None,
    steps: int,
    solve_dtype: Any,
    observe: Observer | None,
    loss: str,
    keep_parameters: bool,
) -> tuple[Array, Array | None, Array, Mapping[str, Array], Parameters | None]:
    """All steps as one program: functions, displacements and observations at all `steps + 1` times; parameters at the last."""
    start = parameters

    def look(parameters: Parameters) -> Any:
        test = None if x_test is None else network.apply(parameters, x_test)
        return test, distance(parameters, start), {} if observe is None else observe(network, parameters, x)

    def step(parameters: Parameters, batch: Array | None) -> Any:
        if batch is None:
            outputs, records = network.linearise(parameters, x)
            own, targets = outputs, y
        else:
            outputs, targets = network.apply(parameters, x), y[batch]
            own, records = network.linearise(parameters, x[batch])
        seen = outputs, *look(parameters)
        if loss == "mse":
            residual = own - targets
        else:
            factor, residual = whiten(loss, own, targets, fisher.needs_curvature)
            records = whiten_records(records, factor)
        return apply_step(
            network, fisher, parameters, records, residual, step_size, solve_dtype, is_whitened=loss != "mse"
        ), seen  # fmt: skip

    with jax.default_matmul_precision("highest"):
        parameters, seen = jax.lax.scan(step, parameters, batches, length=steps)
        last = network.apply(parameters, x), *look(parameters)
    joined = jax.tree.map(lambda path, end: jnp.concatenate([path, end[None]]), seen, last)
    return *joined, parameters if keep_parameters else None


def apply_step(
    network: Network,
    fisher: Fisher,
    parameters: Parameters,
    records: tuple[LayerRecord, ...],
    residual: Float[Array, "N C"],
    step_size: Any,
    solve_dtype: Any = jnp.float64,
    *,
    is_whitened: bool = False,
) -> Parameters:
    """`theta - eta (G + rho I)^{-1} J^T r / N`; records and residual may be whitened (see `ntkng.whitening`)."""
    kernels = from_records(network, tuple(record.astype(solve_dtype) for record in records))
    kernels = mark(kernels) if is_whitened else kernels
    cotangents = fisher.cotangents(kernels, records, residual)
    # no step before all backward passes, which read the weights: else the compiler copies them, twice (and lifts barriers first)
    step_size = step_size + 0 * sum(record.deltas.ravel()[0] for record in records)
    parts = []
    for own, record, cotangent in zip(network.split(parameters), records, cotangents, strict=True):
        parts.append(descend(own, record, cotangent.astype(record.deltas.dtype), step_size))
    return network.join(parts)


def distance(one: Parameters, other: Parameters) -> Float[Array, ""]:
    """`|theta - theta'|`."""
    squares = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), one, other)
    return jnp.sqrt(jnp.sum(jnp.stack(jax.tree.leaves(squares))))


def simulation_facts(problem: Problem, fisher: Fisher, **arguments: Any) -> dict[str, Any]:
    """Provenance of a simulation."""
    return provenance({"network": repr(problem.network), "fisher": repr(fisher), **arguments})
