"""What is known of the data sets that do not come with a package."""

from __future__ import annotations

import dataclasses
from typing import Literal

Part = Literal["train", "test", "all"]


@dataclasses.dataclass(frozen=True)
class Source:
    """One data set.

    Attributes:
        name: for `load`, and of its NPZ file.
        shape: of an image: height, width, channels.
        openml: its name on OpenML.
        train_rows: how many of OpenML's rows, from the first on, are the published training part; `None` where their
            order is not that of the publication.
        page: where its files are published.
    """

    name: str
    shape: tuple[int, int, int]
    openml: str
    train_rows: int | None
    page: str


SOURCES = {
    "mnist": Source("mnist", (28, 28, 1), "mnist_784", 60_000, "https://www.openml.org/d/554"),
    "cifar10": Source("cifar10", (32, 32, 3), "CIFAR_10", None, "https://www.cs.toronto.edu/~kriz/cifar.html"),
}
