"""`Dataset` (inputs with labels) and `Split` (what a `Problem` is made of)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ntkng.data.sphere import Radius, on_sphere
from ntkng.data.targets import Encoding, encode
from ntkng.validation import positive_integer, real_array


class Split(NamedTuple):
    """Training and test data, in the order in which `Problem` takes them: `Problem(network, *split)`.

    Attributes:
        x: `[N, *input]`.
        y: `[N, C]`.
        x_test: `[N', *input]`, or `None`.
        y_test: `[N', C]`, or `None`.
    """

    x: Float[np.ndarray, "N *input"]
    y: Float[np.ndarray, "N C"]
    x_test: Float[np.ndarray, "M *input"] | None
    y_test: Float[np.ndarray, "M C"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs with class labels.

    Attributes:
        inputs: `[N, *input]`, vectors or images (height, width, channels).
        labels: `[N]`, integers.
        name: of the data.

    Raises:
        ValueError: NaN or infinite inputs, or numbers of inputs and labels that differ.
    """

    inputs: Float[np.ndarray, "N *input"]
    labels: Int[np.ndarray, "N"]
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", real_array("inputs", self.inputs))
        object.__setattr__(self, "labels", real_array("labels", self.labels, 1).astype(int))
        if len(self.inputs) != len(self.labels):
            raise ValueError(f"got {len(self.inputs)} inputs and {len(self.labels)} labels; they must be as many")

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.inputs.shape[1:]))
        return f"Dataset({self.name}: {len(self.inputs)} inputs of {shape}, classes {list(self.classes)})"

    @property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur, ascending."""
        return tuple(int(label) for label in np.unique(self.labels))

    def centred(self) -> Dataset:
        """The same with the mean input subtracted, which lowers the condition number of the input Gram.

        The mean is over all samples: with that of the training samples alone their inputs would be linearly dependent.
        """
        return dataclasses.replace(self, inputs=self.inputs - self.inputs.mean(axis=0), name=f"centred {self.name}")

    def split(
        self,
        train: int,
        test: int = 0,
        *,
        classes: Sequence[int] | None = None,
        seed: int = 0,
        targets: Encoding = "auto",
        radius: Radius | None = "sqrt",
    ) -> Split:
        """Draw disjoint training and test samples, the classes equally often in each (up to one).

        Args:
            train: N.
            test: N', may be 0.
            classes: which ones, in the order of the outputs; `None` takes all.
            seed: of the draw; one seed gives the same training inputs whatever `test` is.
            targets: see `encode`; two classes give -1 and +1, C = 1.
            radius: project the inputs on the sphere of this radius (see `on_sphere`); `None` leaves them as they are.

        Raises:
            ValueError: classes that do not occur or are named twice, or fewer samples of a class than are asked for.
        """
        train = positive_integer("train", train)
        test = test if test == 0 else positive_integer("test", test)
        chosen = self._classes(classes)
        first = _quota(train, len(chosen))
        counts = [a + b for a, b in zip(first, _quota(test, len(chosen)), strict=True)]
        rng = np.random.default_rng(seed)
        parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for label, use, total in zip(chosen, first, counts, strict=True):
            indices = np.flatnonzero(self.labels == label)
            if len(indices) < total:
                raise ValueError(
                    f"{self.name or 'the data'} has {len(indices)} samples of class {label}, {total} are needed for "
                    f"train = {train} and test = {test}; ask for fewer, or for more classes"
                )
            drawn = rng.permutation(indices)
            parts[0].append(drawn[:use])
            parts[1].append(drawn[use:total])
        x, y = self._take(_interleave(parts[0]), chosen, targets, radius)
        if test == 0:
            return Split(x, y, None, None)
        return Split(x, y, *self._take(_interleave(parts[1]), chosen, targets, radius))

    def _classes(self, classes: Sequence[int] | None) -> tuple[int, ...]:
        if classes is None:
            return self.classes
        chosen = tuple(int(label) for label in classes)
        unknown = sorted(set(chosen) - set(self.classes))
        if unknown:
            raise ValueError(f"classes {unknown} do not occur in {self.name or 'the data'}; choose from {self.classes}")
        if len(chosen) < 2 or len(set(chosen)) != len(chosen):
            raise ValueError(f"classes must be two or more different labels, got {chosen}")
        return chosen

    def _take(self, indices: np.ndarray, classes: Sequence[int], targets: Encoding, radius: Radius | None):
        inputs = self.inputs[indices].astype(float)
        return inputs if radius is None else on_sphere(inputs, radius), encode(self.labels[indices], classes, targets)


def _quota(total: int, parts: int) -> list[int]:
    """`total` as `parts` nearly equal numbers, the larger ones first."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def _interleave(parts: list[np.ndarray]) -> np.ndarray:
    """First elements first, so that the classes alternate."""
    keys = np.concatenate([np.arange(len(part)) for part in parts])
    return np.concatenate(parts)[np.argsort(keys, kind="stable")]
