"""Data of the Buffelli et al. figures: standardised, lifted to the dimension of the network, split."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkng.reversible import Split


def folder(name: str) -> Path:
    """Where the files of a data set are looked for: `$NTKNG_DATA/<name>`, or `data/<name>` in the working directory."""
    return Path(os.environ.get("NTKNG_DATA", "data")) / name


def load(name: str) -> tuple[Float[np.ndarray, "N d"], Int[np.ndarray, " N"]]:
    """Inputs and labels of the digits, or of MNIST and CIFAR-10 from their `folder` (see `ntkng.data.load`)."""
    from ntkng import data

    dataset = data.load(name, None if name == "digits" else folder(name))
    return dataset.inputs, dataset.labels


def prepare(inputs: Any, labels: Any, *, train: int, test: int | None = None, dim: int | None = None, seed: int = 0):
    """A random split with inputs standardised by one mean and one deviation and lifted by a fixed Gaussian matrix.

    Args:
        inputs: `[N, ...]`, flattened to `[N, d]`.
        labels: `[N]` integers, one-hot encoded.
        train: number of training samples.
        test: number of held-out samples; the rest by default.
        dim: `D`; the inputs are multiplied by a fixed `N(0, 1/d)` matrix `[d, D]`. `None` leaves `D = d`.
        seed: of the permutation and of the lift.

    Returns:
        A `Split`.

    Raises:
        ValueError: when there are not enough samples, or `d` is odd and not lifted.
    """
    inputs = np.asarray(inputs, dtype=np.float64).reshape(len(inputs), -1)
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(inputs))
    held_out = order[train:] if test is None else order[train : train + test]
    if train < 1 or len(held_out) < (test or 1):
        raise ValueError(f"got {len(inputs)} samples for {train} training and {test or 1} held-out ones; ask for fewer")
    if dim is None and inputs.shape[1] % 2:
        raise ValueError(f"got inputs with {inputs.shape[1]} columns, expected an even number; lift them with dim=...")
    chosen = inputs[order[:train]]
    inputs = (inputs - chosen.mean()) / chosen.std()
    if dim is not None:
        inputs = inputs @ rng.standard_normal((inputs.shape[1], dim)) / np.sqrt(inputs.shape[1])
    targets = np.eye(labels.max() + 1)[labels]
    return Split(inputs[order[:train]], targets[order[:train]], inputs[held_out], targets[held_out])
