"""What a value *is*, as a hash: data by its content, functions by their code and everything that the code reads.

Two functions of one name, such as closures over different values, differ; the same function in another process does not. Code
is bytecode, so that comments and other parts of a file may change. The global names that a function uses are followed into its
own package and into code that is not installed; what an installed package defines is known by its name, and the package's
version is the caller's business. What a function itself changes (a log that it appends to, a counter) is not what it computes from
and is left out.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import random
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
CHANGING = (np.random.Generator, np.random.RandomState, random.Random, Iterator)
CHANGES = frozenset(
    (
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "insert",
        "pop",
        "popitem",
        "remove",
        "setdefault",
        "update",
    )
)
METHODS = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)


def fingerprint(value: Any) -> str:
    """A hash of a value with everything that it consists of.

    Raises:
        TypeError: something that cannot be identified (an open file, a lock), or that has another state at every use (a random
            generator), with its name.
    """
    return _Reader(_package(value)).digest(value).hex()


class _Reader:
    """Reads one value; the global names of `package` are followed even where it is installed."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.seen: dict[int, tuple[Any, bytes]] = {}  # the value too: an id is unique among living objects only

    def digest(self, value: Any) -> bytes:
        if type(value) in PLAIN:
            return _hash(type(value).__name__, repr(value))
        if id(value) not in self.seen:
            self.seen[id(value)] = value, _hash("cycle", str(len(self.seen)))  # for what refers back to it
            self.seen[id(value)] = value, self.read(value)
        return self.seen[id(value)][1]

    def read(self, value: Any) -> bytes:
        kind = type(value)
        if isinstance(value, CHANGING):
            raise TypeError(
                f"{kind.__module__}.{kind.__qualname__} has another state at every use; pass a seed, or what it is made from"
            )
        if kind in (list, tuple):
            return _hash(kind.__name__, *map(self.digest, value))
        if kind in (set, frozenset):
            return _hash(kind.__name__, *sorted(map(self.digest, value)))
        if kind in (dict, types.MappingProxyType):
            return _hash("dict", *sorted(self.digest(key) + self.digest(item) for key, item in value.items()))
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
            return _hash("array", str(value.dtype), str(value.shape), value.tobytes())
        if isinstance(value, types.CodeType):
            return self.code(value)
        if isinstance(value, np.ufunc) or (callable(value) and not self.follows(value) and _importable(value)):
            return _hash("global", str(getattr(value, "__module__", None)), value.__name__)
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, types.MethodType):
            return _hash("method", self.digest(value.__func__), self.digest(value.__self__))
        if isinstance(value, type):
            return self.class_(value)
        if isinstance(value, types.ModuleType):
            return _hash("module", value.__name__)
        if callable(value) and hasattr(value, "__wrapped__"):  # jit, functools.cache
            return _hash("wrapper", kind.__qualname__, self.digest(value.__wrapped__))
        if _array_of_jax(value):
            return self.jax_array(value)
        return self.reduced(value)

    def code(self, code: types.CodeType) -> bytes:
        signature = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return _hash("code", code.co_code, repr(signature), repr(names), *map(self.digest, code.co_consts))

    def function(self, function: types.FunctionType) -> bytes:
        parts = [
            self.digest(function.__code__),
            self.digest(function.__defaults__),
            self.digest(function.__kwdefaults__),
        ]
        changed = _changed(function.__code__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name in changed:
                continue
            try:
                parts.append(self.digest(cell.cell_contents))
            except ValueError:  # not filled yet
                parts.append(b"empty")
        if self.follows(function):
            parts += self.used(function, changed)
        return _hash("function", f"{function.__module__}.{function.__qualname__}", *parts)

    def used(self, function: types.FunctionType, changed: set[str]) -> list[bytes]:
        """Global names that the code reads, and attributes of modules that are followed."""
        names, parts = sorted(_names(function.__code__)), []
        for name in names:
            if name not in function.__globals__ or name in changed:
                continue
            value = function.__globals__[name]
            parts += [name.encode(), self.known(value)]
            if isinstance(value, types.ModuleType) and self.follows(value):
                found = [other for other in names if other in vars(value)]
                parts += [part for other in found for part in (other.encode(), self.known(vars(value)[other]))]
        return parts

    def follows(self, value: Any) -> bool:
        """Whether the code of this function, class or module is read."""
        package = _package(value)
        return package == self.package or not _installed(package)

    def known(self, value: Any) -> bytes:
        """Like `digest`, but what cannot be identified is known by its type: a name says enough beside the code."""
        try:
            return self.digest(value)
        except TypeError:
            return _hash("type", f"{type(value).__module__}.{type(value).__qualname__}")

    def class_(self, cls: type) -> bytes:
        parts = [f"{cls.__module__}.{cls.__qualname__}".encode()]
        if self.follows(cls):
            parts += map(self.digest, cls.__bases__)
            for name, value in sorted(vars(cls).items()):
                if isinstance(value, METHODS) or not name.startswith("_"):
                    parts += [name.encode(), self.known(value)]
        return _hash("class", *parts)

    def jax_array(self, value: Any) -> bytes:
        import jax

        if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
            return _hash("key", str(jax.random.key_impl(value)), self.digest(np.asarray(jax.random.key_data(value))))
        return self.digest(np.asarray(value))

    def reduced(self, value: Any) -> bytes:
        """Any other object by what pickle would keep of it."""
        kind = type(value)
        if kind in (property, staticmethod, classmethod, functools.cached_property):
            functions = [getattr(value, part, None) for part in ("fget", "fset", "fdel", "func", "__func__")]
            return _hash(kind.__name__, *map(self.digest, functions))
        try:
            parts = value.__reduce_ex__(4)
        except Exception as error:
            raise TypeError(
                f"{value!r} of type {kind.__module__}.{kind.__qualname__} cannot be identified; "
                "pass what it is made from instead"
            ) from error
        if isinstance(parts, str):
            return _hash("global", str(getattr(value, "__module__", None)), parts)
        made, state, items = parts[:2], parts[2:3], (list(part) for part in parts[3:5] if part is not None)
        return _hash("object", *map(self.digest, (kind, *made, *state, *items)))


def _hash(tag: str, *parts: bytes | str) -> bytes:
    whole = hashlib.sha256()
    for part in (tag, *parts):
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.digest()


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*inner)


def _changed(code: types.CodeType) -> set[str]:
    """Variables of the surroundings that the code assigns, or whose content it changes by a method or `x[key] = ..`."""
    found, steps = set(), list(dis.get_instructions(code))
    for index, step in enumerate(steps):
        method, subscript = ([*steps[index + 1 : index + 3], step, step])[:2]
        stored = step.opname in ("STORE_DEREF", "STORE_GLOBAL")
        if stored or (
            step.opname in ("LOAD_DEREF", "LOAD_GLOBAL")
            and (
                (method.opname in ("LOAD_ATTR", "LOAD_METHOD") and method.argval in CHANGES)
                or subscript.opname in ("STORE_SUBSCR", "DELETE_SUBSCR", "COPY")
            )
        ):
            found.add(str(step.argval))
    return found.union(*(_changed(const) for const in code.co_consts if isinstance(const, types.CodeType)))


def _package(value: Any) -> str:
    """The first part of the module in which a function, class or object's class is defined."""
    value = getattr(value, "func", value)  # of functools.partial
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return str(module or type(value).__module__).partition(".")[0]


@functools.cache
def _installed(package: str) -> bool:
    """Whether a top-level package is one of Python, of ntkng, or lies in a folder of installed packages."""
    if package in ("ntkng", "builtins") or package in sys.stdlib_module_names - {"__main__"}:
        return True
    module = sys.modules.get(package)
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    found = next((Path(place).resolve() for place in places if place), None)
    folders = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return found is not None and (
        any(folder in found.parents for folder in folders)
        or not {"site-packages", "dist-packages"}.isdisjoint(found.parts)
    )


def _importable(value: Any) -> bool:
    """Whether the module that a value names has it under its name."""
    found = sys.modules.get(str(getattr(value, "__module__", None)))
    for part in str(getattr(value, "__qualname__", "")).split("."):
        found = getattr(found, part, None)
    return found is value


def _array_of_jax(value: Any) -> bool:
    import jax

    return isinstance(value, jax.Array)
