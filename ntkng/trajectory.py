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
from ntkng.precision import AnyArray
from ntkng.problem import Loss
from ntkng.short_repr import short_repr

FAMILIES: dict[Loss, Family] = {"mse": Gaussian(), "softmax": Softmax(), "logistic": Bernoulli()}


@jax.tree_util.register_dataclass
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
        facts: provenance and settings (static).
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
        """Share of inputs classified right: by the largest output; when C = 1, by the sign (cross-entropy: of the logit)."""
        outputs, targets = (self.train, self.targets) if on == "train" else (self.test, self.test_targets)
        if outputs is None or targets is None:
            raise ValueError("this trajectory has no test inputs and targets; give the Problem x_test and y_test")
        outputs, targets = np.asarray(outputs), np.asarray(targets)
        if targets.shape[-1] == 1:
            signs = np.sign(targets - 0.5 if self.loss == "logistic" else targets)
            return (np.sign(outputs) == signs).mean(axis=(-2, -1))
        return (outputs.argmax(-1) == targets.argmax(-1)).mean(axis=-1)
