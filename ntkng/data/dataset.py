"""`Dataset` (inputs with labels) and `Split` (what a `Problem` is made of)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from ntkng.data.labels import class_labels
from ntkng.data.quotas import Balance, quotas
from ntkng.data.sphere import Radius, on_sphere
from ntkng.data.standard import standardise as _standardise
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
    """Inputs with class labels, or with targets of a regression.

    Attributes:
        inputs: `[N, *input]`, vectors or images (height, width, channels).
        labels: `[N]`, whole numbers, booleans or text; `None` for a regression.
        name: of the data.
        targets: `[N, C]` or `[N]`, numbers to fit; `None` where there are labels.
        columns: names of the columns of `inputs`, where they have some (see `from_frame`).

    Raises:
        TypeError: inputs or targets that are not numeric, labels of mixed types.
        ValueError: NaN or infinite inputs, labels that are missing or not whole, numbers of inputs and labels that differ, labels
            and targets together or neither.
    """

    inputs: Float[np.ndarray, "N *input"]
    labels: Shaped[np.ndarray, "N"] | None = None
    name: str = ""
    targets: Float[np.ndarray, "N C"] | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", real_array("inputs", self.inputs))
        if (self.labels is None) == (self.targets is None):
            raise ValueError("give either labels (classes) or targets (numbers to fit), got both or neither")
        if self.labels is not None:
            object.__setattr__(self, "labels", class_labels("labels", self.labels))
        else:
            targets = real_array("targets", self.targets, (1, 2)).astype(float)
            object.__setattr__(self, "targets", targets[:, None] if targets.ndim == 1 else targets)
        of, kind = (self.labels, "labels") if self.targets is None else (self.targets, "targets")
        assert of is not None
        if self.inputs.ndim == 0 or len(self.inputs) != len(of):
            raise ValueError(f"got {len(np.atleast_1d(self.inputs))} inputs and {len(of)} {kind}; they must be as many")

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.inputs.shape[1:]))
        what = f"classes {list(self.classes)}" if self.targets is None else f"{self.targets.shape[1]} targets"
        return f"Dataset({self.name}: {len(self.inputs)} inputs of {shape}, {what})"

    @property
    def classes(self) -> tuple[int, ...] | tuple[str, ...]:
        """The labels that occur, ascending; `ValueError` for a regression."""
        if self.labels is None:
            raise ValueError(f"{self.name or 'the data'} has targets to fit and no classes; leave classes out")
        return tuple(np.unique(self.labels).tolist())

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
        classes: Sequence[int | str] | None = None,
        seed: int = 0,
        balance: Balance = "equal",
        targets: Encoding = "auto",
        standardise: bool = False,
        radius: Radius | None = "sqrt",
    ) -> Split:
        """Draw disjoint training and test samples.

        Args:
            train: N.
            test: N', may be 0.
            classes: which ones, in the order of the outputs; `None` takes all.
            seed: of the draw; one seed gives the same training inputs whatever `test` is.
            balance: `"equal"`: the classes equally often in each part (up to one); `"proportional"`: as often as in the data (a
                stratified split), every class at least once. Regressions draw from all samples alike.
            targets: see `encode`; two classes give -1 and +1, C = 1.
            standardise: shift and scale the columns of the inputs as the training part asks for (see `ntkng.data.standardise`).
            radius: project the inputs on the sphere of this radius (see `on_sphere`); `None` leaves them as they are. (With the
                default the length of an input says nothing any more, which suits images; for tables pass `None`.)

        Raises:
            ValueError: classes that do not occur or are named twice, fewer than two classes, or fewer samples of a class than are
                asked for.
        """
        train = positive_integer("train", train)
        test = test if isinstance(test, (int, np.integer)) and test == 0 else positive_integer("test", test)
        groups, chosen = self._groups(classes)
        sizes = [len(group) for group in groups]
        first, second = quotas(self.name, sizes, chosen, (train, test), balance)
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(group) for group in groups]
        own = _interleave([rows[:use] for rows, use in zip(drawn, first, strict=True)])
        held = _interleave([rows[use : use + more] for rows, use, more in zip(drawn, first, second, strict=True)])
        x, x_test = self.inputs[own].astype(float), self.inputs[held].astype(float) if test else None
        if standardise:
            x, x_test = _standardise(x, x_test)
        if radius is not None:
            x = on_sphere(x, radius, names=own)
            x_test = None if x_test is None else on_sphere(x_test, radius, names=held)
        y = self._targets(own, chosen, targets)
        return Split(x, y, x_test, self._targets(held, chosen, targets) if test else None)

    def _groups(self, classes: Sequence[int | str] | None) -> tuple[list[np.ndarray], tuple[int | str, ...]]:
        """Rows among which are drawn, one group a class."""
        if self.labels is None:
            if classes is not None:
                raise ValueError(f"{self.name or 'the data'} has targets to fit and no classes; leave classes out")
            return [np.arange(len(self.inputs))], ()
        chosen = self._classes(classes)
        return [np.flatnonzero(self.labels == label) for label in chosen], chosen

    def _classes(self, classes: Sequence[int | str] | None) -> tuple[int | str, ...]:
        chosen = self.classes if classes is None else tuple(class_labels("classes", list(classes)).tolist())
        unknown = [label for label in chosen if label not in self.classes]
        if unknown:
            raise ValueError(f"classes {unknown} do not occur in {self.name or 'the data'}; choose from {self.classes}")
        if len(chosen) < 2 or len(set(chosen)) != len(chosen):
            raise ValueError(
                f"classes must be two or more different labels, got {chosen}; one class leaves nothing to tell apart"
            )
        return chosen

    def _targets(self, rows: np.ndarray, classes: Sequence[int | str], encoding: Encoding) -> np.ndarray:
        if self.labels is None:
            assert self.targets is not None
            return self.targets[rows]
        return encode(self.labels[rows], classes, encoding)


def _interleave(parts: list[np.ndarray]) -> np.ndarray:
    """First elements first, so that the classes alternate."""
    keys = np.concatenate([np.arange(len(part)) for part in parts])
    return np.concatenate(parts)[np.argsort(keys, kind="stable")]
