"""What the engine is meant to reach, and whether it does: each target is one ratio measured in one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.results import Results, Row


@dataclasses.dataclass(frozen=True)
class Target:
    """One line of the table of targets.

    Attributes:
        statement: what is measured.
        bound: the number to reach.
        at_least: whether larger is better.
        measure: all values that must reach it, each with where it was measured.
        remark: why it is missed, or what the number leaves out.
    """

    statement: str
    bound: float
    at_least: bool
    measure: Callable[[Results], list[tuple[float, str]]]
    remark: str = ""

    def evaluate(self, results: Results) -> tuple[str, str]:
        """The worst and the best value in words, and the verdict."""
        found = sorted(self.measure(results), reverse=not self.at_least)
        if not found:
            return "-", "not run"
        (worst, where), (best, _) = found[0], found[-1]
        met = worst >= self.bound if self.at_least else worst < self.bound
        span = f"{worst:.3g} ({where})" if len(found) == 1 else f"{worst:.3g} ({where}) to {best:.3g}"
        return span, "met" if met else "**missed**"


def _where(row: Row) -> str:
    return ", ".join(f"{name} = {row[name]}" for name in "NMC" if name in row and (name != "C" or row[name] > 1))


def _values(rows: Iterable[Row], key: str) -> list[tuple[float, str]]:
    return [(row[key], _where(row)) for row in rows if row.get(key) is not None]


def _peer(kind: str, name: str, **size: int) -> Callable[[Results], list[tuple[float, str]]]:
    return lambda results: _values(results.select(f"peers, {kind}", contestant=name, **size), "ratio")


def _best_neural_tangents(results: Results) -> list[tuple[float, str]]:
    found: dict[str, float] = {}
    for row in results.select("peers, exact", C=1):
        if row["contestant"].startswith("neural-tangents"):
            found[_where(row)] = min(found.get(_where(row), float("inf")), row["ratio"])
    return [(ratio, where) for where, ratio in found.items()]


def _neural_tangents_over_floor(results: Results) -> list[tuple[float, str]]:
    """The bound for any step whatever: what the ratio would be with a step of ours that takes no longer than the floor."""
    floor = {_where(row): row["ratio to floor"] for row in results.select("step", contestant="Exact", C=1)}
    return [(ratio * floor[where], where) for ratio, where in _best_neural_tangents(results) if where in floor]


def _memory(key: str, own: str, **size: int) -> Callable[[Results], list[tuple[float, str]]]:
    def measure(results: Results) -> list[tuple[float, str]]:
        rows = [results.select("peers, exact", contestant=name, **size) for name in ("NumPy, full Jacobian", own)]
        return [(full[key] / ours[key], _where(full)) for full, ours in zip(*rows, strict=False)]

    return measure


def _named(what: str, key: str, skip: str = "", **values: Any) -> Callable[[Results], list[tuple[float, str]]]:
    def measure(results: Results) -> list[tuple[float, str]]:
        rows = [row for row in results.select(what, **values) if not skip or row["contestant"] != skip]
        return [(row[key], row["contestant"]) for row in rows]

    return measure


def _floor(results: Results) -> list[tuple[float, str]]:
    rows = [row for row in results.select("step", contestant="Exact") if row["M"] >= 2048]
    return _values(rows, "ratio to floor")


FULL = {"N": 500, "M": 1024, "C": 1}

TARGETS = (
    Target(
        "exact step: time of neural-tangents' best implementation over ours, C = 1", 3, True, _best_neural_tangents,
        "its structured derivatives form no Jacobian either: beside our three large products (forward, signals, parameter step) "
        "they take one more reverse pass, so counting operations the ratio is 4/3 for a good compiler on either side; see the next line",
    ),
    Target(
        "the same, if our step took no longer than the floor", 3, True, _neural_tangents_over_floor,
        "so no step of these operations at the machine's rate can reach the target: it would have to leave operations out",
    ),
    Target(
        "exact step: time of eager PyTorch over ours, C = 1", 1, True, _peer("exact", "PyTorch, eager", C=1),
        "depends on the processor: MKL, which PyTorch uses, takes no AVX-512 path on AMD",
    ),
    Target("exact step: time of the full Jacobian in NumPy over ours", 100, True, _peer("exact", "NumPy, full Jacobian", **FULL)),
    Target(
        "exact step: working memory of the full Jacobian over ours", 50, True,
        _memory("working MiB", "ntkng, compiled before", **FULL),
        "peak less what the process held before; our program comes from JAX's compilation cache, as in every run but the first",
    ),
    Target(
        "the same, compiling in the same process", 50, True, _memory("working MiB", "ntkng", **FULL),
        "most of it is the compiler's own memory",
    ),
    Target(
        "the same, memory of the whole processes", 50, True, _memory("peak MiB", "ntkng, compiled before", **FULL),
        "most of ours is Python with JAX and neural-tangents loaded",
    ),
    Target("K-FAC: time of kfac_jax over ours", 60, True, _peer("K-FAC", "kfac_jax", N=100, M=4096, C=1)),
    Target("K-FAC: time of curvlinops over ours", 40, True, _peer("K-FAC", "curvlinops", N=100, M=4096, C=1)),
    Target(
        "unit-wise step over the exact one", 10, False,
        lambda results: _values(results.select("step", contestant="UnitWise", N=100, M=1024, C=1), "ratio to exact"),
    ),
    Target("exact step over the floor, M >= 2048", 1.5, False, _floor),
    Target(
        "closed form of each of three approximations, 100 times, over one Cholesky and one eigh, N = 5000", 3, False,
        _named("closed form", "ratio to algebra", "Cholesky + eigh", N=5000),
    ),
    Target("all analytic layer kernels over neural-tangents' total NTK", 2, False, lambda results: _values(
        results.select("analytic kernel", contestant="ntkng, every layer"), "ratio to total NTK")),
    Target(
        "first call, which compiles, seconds", 5, False,
        lambda results: _named("compilation", "first call")(results) + _named("step", "first call")(results),
    ),
    Target("first call in the next process, with JAX's cache, over that", 1, False, _named("compilation", "ratio")),
    Target(
        "peak memory of closed forms at N = 20,000, GiB", 24, False,
        lambda results: [(results.provenance["many-samples"]["peak_memory_mib"] / 1024, "streamed")]
        if results.select("many samples", N=20_000) else [],
    ),
    Target(
        "step at N = 10,000, M = 16,384 on an accelerator over the floor", 1.5, False,
        _named("accelerator", "ratio to floor"),
    ),
)  # fmt: skip
