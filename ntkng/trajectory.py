"""`Trajectory`: training as seen in function space, from a closed form or from a simulation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from ntkng.families import Bernoulli, Family, Gaussian, Softmax
from ntkng.fisher.preconditioned import Stability
from ntkng.precision import AnyArray, is_concrete
from ntkng.problem import Loss
from ntkng.short_repr import short_repr
from ntkng.targets import border
from ntkng.validation import real_array

FAMILIES: dict[Loss, Family] = {"mse": Gaussian(), "softmax": Softmax(), "logistic": Bernoulli()}


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Functions on train and test inputs at each time.

    Attributes:
        times: steps (discrete) or times (flow), `[T]`.
        train: `f_t(x)`, `[T, N, C]`, or `[seeds, T, N, C]` for several networks.
        targets: `y`, `[N, C]`.
        test: `f_t(x')`, `[.., T, M, C]`, or `None` without test inputs.
        test_targets: `y'`, or `None`.
        displacement: `|theta_t - theta_0|`, `[seeds, T]`; simulations only.
        observed: further arrays with leading axes `[seeds, T]`, by name; simulations only.
        parameters: of the trained networks, in the pytree structure that `Network.init` returns, every array with a leading
            axis `seeds`; simulations with `keep_parameters=True` only.
        stability: what the spectrum of `K` says of the step size; closed forms only (static).
        source: `"closed form"`, `"iteration"` or `"ODE"` in function space, or `"simulation"` (static).
        fisher: name of the approximation (static).
        loss: `"mse"`, `"softmax"` or `"logistic"`; for the last two the functions are logits (static).
        step_size: `eta`, `None` for the flow (static).

    Targets `[N]` of one output are taken as `[N, 1]`. As a pytree its leaves may be anything; only this constructor checks.

    Raises:
        TypeError: arrays that are not numeric.
        ValueError: shapes that do not fit each other, or targets that are no means of the loss; the message names the field.
    """

    times: Float[AnyArray, "T"]
    train: Float[AnyArray, "*seeds T N C"]
    targets: Float[AnyArray, "N C"]
    test: Float[AnyArray, "*seeds T M C"] | None = None
    test_targets: Float[AnyArray, "M C"] | None = None
    displacement: Float[AnyArray, "seeds T"] | None = None
    observed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parameters: Any = None
    stability: Stability | None = dataclasses.field(default=None, metadata={"static": True})
    source: Literal["closed form", "iteration", "ODE", "simulation"] = dataclasses.field(
        default="closed form", metadata={"static": True}
    )
    fisher: str = dataclasses.field(default="", metadata={"static": True})
    step_size: float | None = dataclasses.field(default=None, metadata={"static": True})
    loss: Loss = dataclasses.field(default="mse", metadata={"static": True})

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if self.loss not in FAMILIES:
            raise ValueError(f"loss must be one of {list(FAMILIES)}, got {self.loss!r}")
        times = _shape("times", self.times, 1)
        for outputs, targets in (("train", "targets"), ("test", "test_targets")):
            self._check_functions(outputs, targets, times)
        leading = np.shape(self.train)[:-2]
        test = leading if self.test is None else np.shape(self.test)
        if self.test is not None and (test[:-2] != leading or test[-1] != np.shape(self.train)[-1]):
            wanted = ", ".join(map(str, (*leading, "M", np.shape(self.train)[-1])))
            raise ValueError(f"test must have shape [{wanted}] like train, got {list(test)}: networks and times first")

    def _check_functions(self, outputs: str, targets: str, times: tuple[int, ...]) -> None:
        function, wanted = getattr(self, outputs), getattr(self, targets)
        if function is None:
            return
        shape = _shape(outputs, function)
        if len(shape) < 3 or shape[-3] != times[0] or 0 in shape[-2:]:
            raise ValueError(
                f"{outputs} must have shape [.., {times[0]}, N, C] (networks, times, inputs, outputs), got {list(shape)}; write "
                "one output as f[..., None]"
            )
        if wanted is None:
            if outputs == "train":
                raise ValueError("targets must be given, got None")
            return
        own = _shape(targets, wanted)
        if len(own) == 1 and shape[-1] == 1:
            object.__setattr__(
                self, targets, wanted[:, None] if hasattr(wanted, "ndim") else np.asarray(wanted)[:, None]
            )
            own = (*own, 1)
        if own != shape[-2:]:
            raise ValueError(
                f"{targets} must have shape {list(shape[-2:])} like {outputs}, got {list(own)}; one-hot encode class numbers"
            )
        if is_concrete(getattr(self, targets)):
            FAMILIES[self.loss].require_means(real_array(targets, getattr(self, targets)).astype(float))

    def predictions(self, on: Literal["train", "test"] = "train") -> Float[np.ndarray, "*seeds T M C"]:
        """The mean of the predictive distribution: `f_t` itself for the squared loss, else probabilities."""
        outputs = self.train if on == "train" else self.test
        if outputs is None:
            raise ValueError("this trajectory has no test inputs; give the Problem x_test")
        return FAMILIES[self.loss].mean(np.asarray(outputs))

    @property
    def residual(self) -> Float[np.ndarray, "*seeds T N C"]:
        """`r_t = f_t - y` on the training inputs, or `p_t - y` for cross-entropy."""
        return FAMILIES[self.loss].residual(np.asarray(self.train), np.asarray(self.targets))

    @property
    def train_loss(self) -> Float[np.ndarray, "*seeds T"]:
        """`1/(2N) sum |f_t - y|^2`, or the mean cross-entropy."""
        return FAMILIES[self.loss].loss(np.asarray(self.train), np.asarray(self.targets))

    @property
    def test_loss(self) -> Float[np.ndarray, "*seeds T"]:
        """The same on the test inputs; `ValueError` without test targets."""
        if self.test is None or self.test_targets is None:
            raise ValueError("this trajectory has no test inputs and targets; give the Problem x_test and y_test")
        return FAMILIES[self.loss].loss(np.asarray(self.test), np.asarray(self.test_targets))

    def accuracy(self, on: Literal["train", "test"] = "test") -> Float[np.ndarray, "*seeds T"]:
        """Share of inputs classified right.

        With several outputs the class is that of the largest one (the first of equal ones). With one output there are two classes,
        on either side of the midpoint of the smallest and the largest target (labels -1 and 1, or 0 and 1); for
        cross-entropy of logit 0. An output on the border itself is in neither class.

        Raises:
            ValueError: no such inputs or targets, or a single output whose targets are all equal.
        """
        outputs, targets = (self.train, self.targets) if on == "train" else (self.test, self.test_targets)
        if outputs is None or targets is None:
            raise ValueError("this trajectory has no test inputs and targets; give the Problem x_test and y_test")
        outputs, targets = np.asarray(outputs), np.asarray(targets, dtype=np.float64)
        if targets.shape[-1] > 1:
            return (outputs.argmax(-1) == targets.argmax(-1)).mean(axis=-1)
        if self.loss == "logistic":
            return (np.sign(outputs) == np.sign(targets - 0.5)).mean(axis=(-2, -1))
        middle = border(self.targets, self.test_targets)
        if np.isnan(middle):
            raise ValueError(
                f"all targets are {targets.flat[0]:.4g}, so that nothing tells two classes apart; compare outputs and targets by "
                "the loss, or give targets of both classes"
            )
        return (np.sign(outputs - middle) == np.sign(targets - middle)).mean(axis=(-2, -1))


def _shape(name: str, value: Any, ndim: int | None = None) -> tuple[int, ...]:
    """Of an array, concrete or traced."""
    shape = value.shape if hasattr(value, "shape") else real_array(name, value).shape
    if ndim is not None and len(shape) != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {list(shape)}")
    return tuple(shape)


STATIC = tuple(field.name for field in dataclasses.fields(Trajectory) if field.metadata.get("static"))
LEAVES = tuple(field.name for field in dataclasses.fields(Trajectory) if field.name not in STATIC)


def _flatten(path: Trajectory) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
    children = [(jax.tree_util.GetAttrKey(name), getattr(path, name)) for name in LEAVES]
    return children, tuple(getattr(path, name) for name in STATIC)


def _unflatten(static: tuple[Any, ...], leaves: Any) -> Trajectory:
    """Without the constructor: leaves of mapped trees are whatever a function made of them."""
    path = object.__new__(Trajectory)
    for name, value in (*zip(STATIC, static, strict=True), *zip(LEAVES, leaves, strict=True)):
        object.__setattr__(path, name, value)
    return path


jax.tree_util.register_pytree_with_keys(Trajectory, _flatten, _unflatten)
