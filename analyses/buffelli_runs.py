"""The training runs behind the figures on Buffelli et al. 2024, each computed once and shared by the figures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from analyses.buffelli_data import load, prepare
from analyses.study import Settings
from ntkng.precision import in_float64
from ntkng.reversible import (
    Objective,
    Optimiser,
    Record,
    RevMLP,
    RightInverse,
    Split,
    gauss_newton,
    kernel_cosine,
    linear_cka,
    neural_tangent_kernel,
    train,
)
from ntkng.sweep import sweep

Method = Literal["Gauss-Newton", "Adam", "SGD"]
METHODS: tuple[Method, ...] = ("Gauss-Newton", "Adam", "SGD")
SOURCE = "Buffelli et al. 2024"


@dataclasses.dataclass(frozen=True)
class Setup:
    """Everything that a run depends on. The defaults are the small-scale setting of these figures.

    Attributes:
        objective: loss and Hessian.
        method: the optimiser.
        learning_rate: its rate.
        seed: of the split, the lift, the fixed matrices, the weights and the shuffling.
        dataset: a name that `analyses.buffelli_data.load` knows.
        dim: `D`; the inputs are lifted to it (`None`: as they are).
        width: `m` of the inverted bottleneck; `None` for none.
        blocks: `L_b`.
        linear_first: no ReLU in the first block.
        rtol: cut of the singular values.
        train: number of training samples.
        test: number of held-out samples (`None`: the rest).
        batch: mini-batch size (`None`: all).
        epochs: passes over the data.
        observed: epochs at which representations and kernels are compared with the initial ones.
    """

    objective: Objective = "mse"
    method: Method = "Gauss-Newton"
    learning_rate: float = 0.1
    seed: int = 0
    dataset: str = "digits"
    dim: int | None = 256
    width: int | None = 300
    blocks: int = 3
    linear_first: bool = True
    rtol: float = 1e-2
    train: int = 1400
    test: int | None = None
    batch: int | None = 100
    epochs: int = 40
    observed: tuple[int, ...] = ()

    @property
    def effective_rate(self) -> float:
        """`eta L_b`, what full-row-rank Gauss-Newton does to the function."""
        return self.learning_rate * self.blocks

    def optimiser(self) -> Optimiser:
        """Equal settings share one object, so that they are compiled once."""
        return _optimiser(self.method, self.learning_rate, self.rtol)

    def build(self, split: Split) -> tuple[RevMLP, Any]:
        """The network and its initial weights."""
        fixed, start = jax.random.split(jax.random.key(self.seed))
        dim, classes = split.inputs.shape[1], split.targets.shape[1]
        model = RevMLP.create(fixed, dim, classes, self.blocks, self.width, linear_first=self.linear_first)
        return model, model.initial_weights(start)

    def split(self, data: tuple[Any, Any] | None = None) -> Split:
        """The samples: of `dataset`, or of the `(inputs, labels)` given."""
        inputs, labels = data or load(self.dataset)
        return prepare(inputs, labels, train=self.train, test=self.test, dim=self.dim, seed=self.seed)


@functools.cache
def _optimiser(method: Method, rate: float, rtol: float) -> Optimiser:
    if method == "Gauss-Newton":
        return gauss_newton(rate, RightInverse(rtol=rtol))
    return Optimiser({"Adam": optax.adam, "SGD": optax.sgd}[method](rate))


def mini_batch_setups(settings: Settings, objective: Objective, methods: Sequence[Method] = METHODS) -> list[Setup]:
    """The mini-batch runs of one objective: every seed and method (no SGD if quick), observed at a few epochs."""
    if settings.quick:
        methods = [m for m in methods if m != "SGD"]
    rates = {"Gauss-Newton": 0.1, "Adam": 1e-3, "SGD": 0.01 if objective == "mse" else 0.1}
    seeds = range(settings.seed, settings.seed + settings.choose(1, 5, 10))
    observed = (1, 2, 5, 10, 20, 30, 40)
    return [Setup(objective, m, rates[m], seed=s, observed=observed) for s in seeds for m in methods]


def training(setups: Sequence[Setup], settings: Settings, data: tuple[Any, Any] | None = None) -> pd.DataFrame:
    """One row a run and epoch: the fields of the set-up and those of `run_rows`.

    Args:
        setups: the runs; those of named data sets are remembered, and kept in the cache of the settings.
        settings: progress and cache.
        data: `(inputs, labels)` to use instead of the named data sets.
    """
    if data is not None:
        runs = settings.track(setups, "training")
        return pd.DataFrame([{**dataclasses.asdict(s), **row} for s in runs for row in run_rows(s, data)])
    points = [dataclasses.asdict(setup) for setup in setups]
    return pd.DataFrame(
        sweep(remembered_rows, points, cache=settings.cache, track=settings.track, description="training")
    )


def remembered_rows(**fields: Any) -> list[dict[str, Any]]:
    """`run_rows` of the set-up with these fields, computed once in a process."""
    return _remembered(Setup(**{**fields, "observed": tuple(fields["observed"])}))


@functools.cache
def _remembered(setup: Setup) -> list[dict[str, Any]]:
    return run_rows(setup)


def run_rows(setup: Setup, data: tuple[Any, Any] | None = None) -> list[dict[str, Any]]:
    """Train; one row an epoch, the first before training.

    A row has the training and held-out loss and accuracy, the mean percentage change of the batch loss by an update of
    that epoch and, at the observed epochs, the entries of `compare_with_start`.
    """
    split = setup.split(data)
    model, weights = setup.build(split)
    record = train(
        model,
        weights,
        split,
        setup.objective,
        setup.optimiser(),
        epochs=setup.epochs,
        batch=setup.batch,
        key=jax.random.key(setup.seed + 1),
        snapshots=setup.observed,
    )
    observed = compare_with_start(model, record, split) if setup.observed else {}
    percent = [float("nan"), *record.percent_change.mean(1)]
    columns = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
    return [
        {
            "epoch": epoch,
            **{column: float(getattr(record, column)[epoch]) for column in columns},
            "percent_change": float(percent[epoch]),
            **observed.get(epoch, {}),
        }
        for epoch in range(setup.epochs + 1)
    ]


def compare_with_start(
    model: RevMLP, record: Record, split: Split, kernel_samples: int = 48
) -> dict[int, dict[str, float]]:
    """CKA of every block's output (all held-out samples) and the NTK (the first `kernel_samples` of them), by epoch.

    `ntk_cosine` is the Frobenius alignment with the initial kernel, `ntk_rate` the relative change
    `|Theta_k - Theta_j| / |Theta_j|` since the preceding observed epoch `j`, divided by `k - j`.
    """
    rows: dict[int, dict[str, float]] = {}
    first: Any = None
    previous: Any = None
    for epoch, weights in sorted(record.snapshots.items()):
        outputs, kernel = _observe(model, weights, split.test_inputs, kernel_samples)
        first = first or (outputs, kernel)
        row = {f"cka_{b + 1}": linear_cka(z, z0) for b, (z, z0) in enumerate(zip(outputs, first[0], strict=True))}
        row["ntk_cosine"] = kernel_cosine(kernel, first[1])
        if previous is not None:
            change = np.linalg.norm(kernel - previous[1]) / np.linalg.norm(previous[1])
            row["ntk_rate"] = float(change) / (epoch - previous[0])
        previous = (epoch, kernel)
        rows[epoch] = row
    return rows


@in_float64
def _observe(model: RevMLP, weights: Any, inputs: Any, kernel_samples: int) -> tuple[list[Any], Any]:
    outputs = _representations(model, jax.tree.map(jnp.asarray, weights), jnp.asarray(inputs))
    return outputs, neural_tangent_kernel(model, weights, inputs[:kernel_samples])


_representations = jax.jit(RevMLP.representations)
