"""What runs are called with: objects of the right type, at concrete values; each check names the argument."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ntkng.precision import is_concrete


def require_type(name: str, value: Any, expected: type, fix: str = "") -> None:
    """Refuse what is no `expected`.

    Raises:
        TypeError: naming what was got (a class, perhaps, that was not called) and the fix.
    """
    if isinstance(value, expected):
        return
    if isinstance(value, type) and issubclass(value, expected):
        fix = f"call it: {value.__name__}()"
    got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    raise TypeError(
        f"{name} must be an instance of {expected.__name__}, got {got}; {fix or 'check the order of the arguments'}"
    )


def check_run(caller: str, problem: Any, fisher: Any, kernels: Any = None, **values: Any) -> None:
    """Check the arguments that all runs share, and that neither they nor `values` are traced.

    Args:
        caller: the public function, for the message.
        problem: must be a `Problem`.
        fisher: must be a `Fisher`.
        kernels: must be `Kernels` or `None`.
        values: further arguments by name, of any type.

    Raises:
        TypeError: an argument of another type, or a call inside `jax.jit`, `jax.vmap` or `jax.grad`.
    """
    from ntkng.fisher.base import Fisher
    from ntkng.kernels.kernels import Kernels
    from ntkng.problem import Problem

    require_type("problem", problem, Problem, "build one: ntkng.Problem(network, x, y), and give it first")
    require_type("fisher", fisher, Fisher, "give an approximation such as ntkng.Exact() second")
    if kernels is not None:
        require_type("kernels", kernels, Kernels, "compute them with ntkng.analytic or ntkng.empirical")
    refuse_traced(caller, fisher=fisher, kernels=kernels, **values)


def refuse_traced(caller: str, **values: Any) -> None:
    """Refuse to run inside a transformation of JAX: runs look at numbers and decide by them.

    Raises:
        TypeError: some value is traced, or everything is, because the caller is being compiled.
    """
    traced = [name for name, value in values.items() if not is_concrete(value)]
    if not traced and is_concrete(jnp.add(0, 0)):
        return
    what = f"the traced {', '.join(traced)}" if traced else "a call that is being traced"
    raise TypeError(
        f"{caller} got {what} (inside jax.jit, jax.vmap or jax.grad), expected numbers that it can look at; call it outside "
        "of the transformation: in a Python loop over step sizes, dampings or keys, or with seeds= for several networks"
    )
