"""`Problem`: a network with data and a loss, validated once."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from ntkng.network import Network
from ntkng.rows import refuse_duplicates
from ntkng.short_repr import short_repr
from ntkng.validation import real_array, shape_advice

Loss = Literal["mse", "softmax", "logistic"]


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What is trained on what.

    The loss `"mse"` is `1/(2N) sum_n |f(x_n) - y_n|^2`; `"softmax"` and `"logistic"` are the mean cross-entropy.

    Attributes:
        network: the architecture.
        x: training inputs `[N, *input]`.
        y: targets `[N, C]`; `[N]` is taken as C = 1.
        x_test: test inputs, or `None`.
        y_test: test targets, or `None`.
        loss: `"mse"`, `"softmax"` (rows of `y` on the simplex) or `"logistic"` (C = 1, `y` in [0, 1]).
        allow_duplicates: accept equal training inputs, which make every kernel singular (damping is needed then).

    Raises:
        TypeError: not a `Network`, or arrays that are not numeric.
        ValueError: shapes that do not fit each other or the network, NaN or infinite entries, duplicate inputs,
            targets that do not fit the loss; each message names what was got, what was expected and the fix.
    """

    network: Network
    x: Float[np.ndarray, "N *input"]
    y: Float[np.ndarray, "N C"]
    x_test: Float[np.ndarray, "M *input"] | None = None
    y_test: Float[np.ndarray, "M C"] | None = None
    loss: Loss = "mse"
    allow_duplicates: bool = False

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise TypeError(
                f"network must be a ntkng.Network, got {type(self.network).__name__}; "
                "wrap it: Network(layer, input_shape), or use ntkng.mlp(...)"
            )
        if self.loss not in ("mse", "softmax", "logistic"):
            raise ValueError(f"loss must be 'mse', 'softmax' or 'logistic', got {self.loss!r}")
        object.__setattr__(self, "x", self._inputs("x", self.x))
        object.__setattr__(self, "y", self._targets("y", self.y, len(self.x)))
        if self.x_test is not None:
            object.__setattr__(self, "x_test", self._inputs("x_test", self.x_test))
            if self.y_test is not None:
                object.__setattr__(self, "y_test", self._targets("y_test", self.y_test, len(self.x_test)))
        elif self.y_test is not None:
            raise ValueError("got y_test without x_test; give both or neither")
        if not self.allow_duplicates:
            refuse_duplicates(self.x)

    @property
    def samples(self) -> int:
        """N."""
        return len(self.x)

    @property
    def outputs(self) -> int:
        """C."""
        return self.network.outputs

    def _inputs(self, name: str, value: Any) -> np.ndarray:
        array = real_array(name, value).astype(float)
        if array.ndim == 0 or array.shape[1:] != self.network.input_shape:
            expected = ", ".join(map(str, ("N", *self.network.input_shape)))
            raise ValueError(
                f"{name} must have shape [{expected}] for this network, got {list(array.shape)}; "
                f"{shape_advice(name, array.shape, self.network.input_shape)}"
            )
        return array

    def _targets(self, name: str, value: Any, samples: int) -> np.ndarray:
        array = real_array(name, value, (1, 2)).astype(float)
        array = array[:, None] if array.ndim == 1 else array
        if array.shape != (samples, self.outputs):
            if np.shape(value) == (self.outputs, samples):
                fix = f"transpose it: {name}.T"
            else:
                fix = f"one-hot encode labels, ntkng.data.encode({name}, classes), or change the network's outputs"
            raise ValueError(
                f"{name} must have shape [{samples}, {self.outputs}] (inputs, outputs of the network), "
                f"got {list(np.shape(value))}; {fix}"
            )
        if self.loss == "logistic" and (self.outputs != 1 or array.min() < 0 or array.max() > 1):
            raise ValueError(f"logistic {name} must be in [0, 1] with C = 1, got C = {self.outputs}, values in "
                             f"[{array.min():.3g}, {array.max():.3g}]; map labels to 0 and 1")  # fmt: skip
        if self.loss == "softmax":
            off = np.abs(array.sum(axis=1) - 1).max()
            if self.outputs < 2 or array.min() < 0 or off > 1e-6:
                raise ValueError(
                    f"softmax {name} needs C >= 2 and rows that are probabilities, got C = {self.outputs}, smallest entry "
                    f"{array.min():.3g}, row sums off by {off:.1e}; one-hot encode the labels"
                )
        return array
