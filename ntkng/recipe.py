"""How a layer was made: the constructor and its arguments, which equality, pickling and messages of networks rest on.

The functions inside a layer are closures: they cannot be pickled, and those of two equal constructor calls differ. What was called
with what is enough to make them again.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pickle
import sys
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import numpy as np

from ntkng.precision import is_concrete

PUBLIC = (
    "jax.numpy",
    "jax.nn",
    "jax.scipy.special",
    "jax.lax",
)  # compiled functions of JAX do not pickle, their names do


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """A call of a constructor of `ntkng.stax`.

    Attributes:
        name: of the constructor.
        args: its positional arguments, layers among them.
        kwargs: its keyword arguments.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def build(self) -> Any:
        """The layer, made again."""
        from ntkng import stax

        return getattr(stax, self.name)(*self.args, **self.kwargs)

    def arguments(self) -> dict[str, Any]:
        """All arguments by name, defaults included."""
        from ntkng import stax

        bound = inspect.signature(getattr(stax, self.name)).bind(*self.args, **self.kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def key(self) -> Hashable:
        """Equal for calls with equal arguments; functions are equal where they are the same object."""
        return self.name, tuple((name, _frozen(value)) for name, value in self.arguments().items())

    def parts(self) -> list[Recipe]:
        """The layers in a row that a nested `serial` amounts to; any other layer alone."""
        if self.name != "serial":
            return [self]
        return [part for layer in self.args for part in layer.recipe.parts()]

    def __repr__(self) -> str:
        shown = [_shown(value) for value in self.args]
        shown += [f"{name}={_shown(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(shown)})"

    def __reduce__(self) -> Any:
        kwargs = {name: _portable(self, value) for name, value in self.kwargs.items()}
        return _remade, (self.name, tuple(_portable(self, value) for value in self.args), kwargs)


class _Is:
    """Equal where it holds the same object, which need not be hashable; keeps the object alive."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Is) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _frozen(value: Any) -> Hashable:
    recipe = getattr(value, "recipe", None)
    if isinstance(recipe, Recipe):
        return recipe.key()
    if not is_concrete(value):
        return _Is(value)
    if isinstance(value, (np.ndarray, jax.Array)):
        array = np.asarray(value)
        return array.dtype.str, array.shape, array.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(part) for part in value)
    if isinstance(value, Mapping):
        return tuple((name, _frozen(part)) for name, part in value.items())
    try:
        hash(value)
    except TypeError:
        return _Is(value)
    return value


def _shown(value: Any) -> str:
    recipe = getattr(value, "recipe", None)
    if isinstance(recipe, Recipe):
        return repr(recipe)
    if isinstance(value, (np.ndarray, jax.Array)):
        return f"array{list(value.shape)}"
    return getattr(value, "__name__", None) or repr(value)


@dataclasses.dataclass(frozen=True)
class _Name:
    """A function by the name under which it can be imported."""

    module: str
    name: str

    def find(self) -> Any:
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part, None)
        return found


def _portable(recipe: Recipe, value: Any) -> Any:
    """`value`, or the name of the function that it is.

    Raises:
        TypeError: a function without a name to import it by (a lambda, a local function), which no other process could find.
    """
    if not callable(value) or isinstance(value, type) or hasattr(value, "recipe"):
        return value
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    if name is not None:
        for module in (getattr(value, "__module__", None), *PUBLIC):
            if module in sys.modules and _Name(module, name).find() is value:
                return _Name(module, name)
    try:
        pickle.dumps(value)
    except Exception as error:
        if _is_by_value():
            return value
        raise TypeError(
            f"a network with {recipe!r} cannot be pickled: its function {_shown(value)} has no name to import it by; define "
            "it with `def` at the top of a module"
        ) from error
    return value


def _is_by_value() -> bool:
    """Whether the one who asks is cloudpickle (of Dask, joblib, ..), which takes any function."""
    frame: Any = sys._getframe()
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("cloudpickle"):
        frame = frame.f_back
    return frame is not None


def _remade(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recipe:
    def plain(value: Any) -> Any:
        return value.find() if isinstance(value, _Name) else value

    return Recipe(name, tuple(plain(value) for value in args), {key: plain(value) for key, value in kwargs.items()})


def recorded(name: str, construct: Callable[..., Any]) -> Callable[..., Any]:
    """`construct`, a constructor of `ntkng.stax` of this name, whose layers know their recipe."""

    @functools.wraps(construct)
    def make(*args: Any, **kwargs: Any) -> Any:
        layer = construct(*args, **kwargs)
        layer.recipe = Recipe(name, args, kwargs)
        return layer

    return make
