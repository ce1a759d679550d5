"""Training of a RevMLP by exact Gauss-Newton or by any optax optimiser, with the records that the figures need."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from ntkng.precision import to_numpy
from ntkng.reversible import objective as objectives
from ntkng.reversible.metrics import percent_loss_change
from ntkng.reversible.network import RevMLP, Weights
from ntkng.reversible.objective import Objective
from ntkng.reversible.update import RightInverse, gauss_newton_direction
from ntkng.targets import border
from ntkng.validation import real_array


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """An optax transformation, fed with the gradient or with the Gauss-Newton direction.

    Keep one object for several runs: each new one is compiled anew.

    Attributes:
        transformation: for Gauss-Newton `optax.sgd(eta)`; weight decay and schedules chain as in optax.
        inverse: the right inverse of Gauss-Newton; `None` means the gradient of the loss.
    """

    transformation: optax.GradientTransformation
    inverse: RightInverse | None = None


def gauss_newton(learning_rate: float, inverse: RightInverse | None = None) -> Optimiser:
    """`W <- W - eta R eps`; acts on the function with the rate `eta L_b`."""
    return Optimiser(optax.sgd(learning_rate), inverse or RightInverse())


@dataclasses.dataclass(frozen=True)
class Split:
    """Training and held-out samples: inputs `[N, D]`, targets `[N, C]`; kept as float64.

    Raises:
        TypeError: arrays that are not numeric.
        ValueError: shapes that do not fit each other, no samples, NaN or infinite entries.
    """

    inputs: Any
    targets: Any
    test_inputs: Any
    test_targets: Any

    def __post_init__(self) -> None:
        for part in ("", "test_"):
            inputs = real_array(f"{part}inputs", getattr(self, f"{part}inputs")).astype(np.float64)
            targets = real_array(f"{part}targets", getattr(self, f"{part}targets")).astype(np.float64)
            if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets):
                raise ValueError(
                    f"got {part}inputs {inputs.shape} and {part}targets {targets.shape}, expected [N, D] and [N, C]; one-hot encode "
                    "labels, write one output as [N, 1]"
                )
            object.__setattr__(self, f"{part}inputs", inputs)
            object.__setattr__(self, f"{part}targets", targets)


@dataclasses.dataclass(frozen=True)
class Record:
    """What a training run left behind; losses and accuracies are taken before the first epoch and after each.

    Attributes:
        train_loss: `[epochs + 1]`, on all training samples.
        train_accuracy: `[epochs + 1]`.
        test_loss: `[epochs + 1]`.
        test_accuracy: `[epochs + 1]`.
        batch_loss_before: `[epochs, steps]`, of each mini-batch before the update that it causes.
        batch_loss_after: `[epochs, steps]`, of the same mini-batch after that update.
        ranks: `[epochs, L_b, 2]`, smallest number of singular values kept in an epoch (Gauss-Newton; else zeros).
        snapshots: weights after the epochs asked for, and before the first (key 0).
    """

    train_loss: Float[np.ndarray, " epochs+1"]
    train_accuracy: Float[np.ndarray, " epochs+1"]
    test_loss: Float[np.ndarray, " epochs+1"]
    test_accuracy: Float[np.ndarray, " epochs+1"]
    batch_loss_before: Float[np.ndarray, "epochs steps"]
    batch_loss_after: Float[np.ndarray, "epochs steps"]
    ranks: np.ndarray
    snapshots: Mapping[int, Weights]

    @property
    def percent_change(self) -> Float[np.ndarray, "epochs steps"]:
        """`percent_loss_change` of every update."""
        return percent_loss_change(self.batch_loss_before, self.batch_loss_after)


def train(
    model: RevMLP,
    weights: Weights,
    data: Split,
    objective: Objective,
    optimiser: Optimiser,
    *,
    epochs: int,
    batch: int | None = None,
    key: jax.Array | None = None,
    snapshots: Collection[int] = (),
    x64: bool = True,
    progress: Callable[[range], Iterable[int]] = iter,  # type: ignore[assignment]
) -> Record:
    """Train and record.

    Args:
        model: the network.
        weights: where to start.
        data: training and held-out samples.
        objective: loss and, for Gauss-Newton, its Hessian.
        optimiser: `gauss_newton(...)` or `Optimiser(optax.adam(...))`.
        epochs: passes over the data.
        batch: mini-batch size; the samples are shuffled for every epoch and an incomplete last batch is left out.
            `None` takes all samples in every step, so that an epoch is one step.
        key: a typed key for the shuffling, needed with `batch`.
        snapshots: epochs after which the weights are kept.
        x64: double precision; single precision suits an accelerator.
        progress: wraps the range of epochs, for a progress bar.

    Raises:
        ValueError: when `batch` does not fit or comes without `key`, `epochs < 1`, data for another network or another
            objective.
    """
    objectives.check_objective(objective)
    _check_data(model, weights, data, objective)
    size = len(data.inputs)
    if epochs < 1 or (batch is not None and not 1 <= batch <= size):
        raise ValueError(f"got epochs={epochs}, batch={batch}, expected epochs >= 1 and batch in 1..{size} or None")
    if batch is not None and key is None:
        raise ValueError(f"got batch={batch} without a key to shuffle with; pass key=jax.random.key(seed)")
    with jax.enable_x64(x64):
        model, weights = jax.tree.map(jnp.asarray, (model, weights))
        x, y, test_x, test_y = (jnp.asarray(a) for a in dataclasses.astuple(data))
        middle = border(data.targets, data.test_targets)
        state = optimiser.transformation.init(weights)
        kept: dict[int, Any] = {0: weights}
        scores = [_scores(model, weights, x, y, test_x, test_y, middle, objective)]
        steps = []
        for epoch in progress(range(epochs)):
            order = _batches(size, batch, key, epoch)
            weights, state, step = _epoch(model, weights, state, x[order], y[order], objective, optimiser)
            steps.append(to_numpy(step))
            scores.append(_scores(model, weights, x, y, test_x, test_y, middle, objective))
            if epoch + 1 in snapshots:
                kept[epoch + 1] = weights
        train_loss, train_accuracy, test_loss, test_accuracy = np.asarray(scores, dtype=np.float64).T
    before, after, ranks = (np.stack([step[i] for step in steps]) for i in range(3))
    kept = {epoch: to_numpy(weights) for epoch, weights in kept.items()}
    return Record(train_loss, train_accuracy, test_loss, test_accuracy, before, after, ranks.min(1), kept)


def _check_data(model: RevMLP, weights: Weights, data: Split, objective: Objective) -> None:
    logits = jax.eval_shape(model.logits, weights, jax.ShapeDtypeStruct(np.shape(data.inputs), np.float32)).shape[-1]
    for name, targets in (("targets", data.targets), ("test_targets", data.test_targets)):
        objectives.check_targets(objective, targets, logits, name)


def _batches(size: int, batch: int | None, key: jax.Array | None, epoch: int) -> np.ndarray:
    """Sample indices `[steps, batch]` of one epoch."""
    if batch is None or key is None:
        return np.arange(size)[None]
    order = np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), size))
    steps = size // batch
    return order[: steps * batch].reshape(steps, batch)


@partial(jax.jit, static_argnames=("objective", "optimiser"))
def _epoch(model: RevMLP, weights: Weights, state: Any, xs: Array, ys: Array, objective: Objective, optimiser):
    def step(carry, batch):
        weights, state = carry
        before, direction, ranks = _direction(model, weights, batch[0], batch[1], objective, optimiser)
        change, state = optimiser.transformation.update(direction, state, weights)
        weights = jax.tree.map(jnp.add, weights, change)
        after = objectives.loss(objective, model.logits(weights, batch[0]), batch[1])
        return (weights, state), (before, after, ranks)

    (weights, state), record = jax.lax.scan(step, (weights, state), (xs, ys))
    return weights, state, record


def _direction(model: RevMLP, weights: Weights, x: Array, y: Array, objective: Objective, optimiser: Optimiser):
    """Batch loss, what goes into the optax transformation, and the numbers of kept singular values."""
    value = lambda w: objectives.loss(objective, model.logits(w, x), y)  # noqa: E731
    if optimiser.inverse is None:
        before, gradient = jax.value_and_grad(value)(weights)
        return before, gradient, jnp.zeros((model.blocks, 2), int)
    error = objectives.function_error(objective, model.logits(weights, x), y)
    direction = gauss_newton_direction(model, weights, x, error, optimiser.inverse)
    return value(weights), direction.weights, direction.ranks


@partial(jax.jit, static_argnames=("objective",))
def _scores(model: RevMLP, weights: Weights, x, y, test_x, test_y, middle, objective: Objective) -> Array:
    train_f, test_f = model.logits(weights, x), model.logits(weights, test_x)
    return jnp.stack(
        [
            objectives.loss(objective, train_f, y),
            objectives.accuracy(train_f, y, middle),
            objectives.loss(objective, test_f, test_y),
            objectives.accuracy(test_f, test_y, middle),
        ]
    )
