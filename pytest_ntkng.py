"""pytest plugin: fixtures for small problems, kernels of both kinds and width sweeps; markers for slow and GPU checks.

Loaded by its entry point wherever ntkng is installed; it is a module of its own, outside of the package, because importing the
package imports JAX. JAX comes with the first fixture or test that needs it, so that projects which do not use the plugin do not
pay for it. All names are prefixed: a project's own fixtures and markers stay as they are.

- `pytest --ntkng-seeds K`: networks at the largest width of statistical checks (default 32; narrower ones get more).
- `pytest --ntkng-slow`: run the tests marked `ntkng_slow`, which are skipped otherwise.
- `@pytest.mark.ntkng_gpu`: skipped where JAX has no accelerator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntkng import Kernels, Problem
    from ntkng.fisher import Fisher
    from ntkng.testing import WidthSweep

SEEDS = 32
WIDTH = 64


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options above."""
    group = parser.getgroup("ntkng", "checks of the infinite-width theory")
    group.addoption(
        "--ntkng-seeds", type=_positive, default=SEEDS, metavar="K",
        help="networks at the largest width of statistical checks (default: %(default)s)",
    )  # fmt: skip
    group.addoption("--ntkng-slow", action="store_true", help="also run the tests marked ntkng_slow")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "ntkng_slow: a long statistical check; needs --ntkng-slow")
    config.addinivalue_line("markers", "ntkng_gpu: needs an accelerator that JAX can see")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow checks unless they were asked for."""
    if config.getoption("--ntkng-slow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --ntkng-slow")
    for item in items:
        if item.get_closest_marker("ntkng_slow"):
            item.add_marker(skip)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip GPU checks where there is none; JAX is asked only then."""
    if item.get_closest_marker("ntkng_gpu"):
        import jax

        if jax.default_backend() == "cpu":
            pytest.skip("needs an accelerator, JAX has none")


def _positive(text: str) -> int:
    value = int(text)
    if value < 2:
        raise ValueError  # argparse turns it into a usage error
    return value


@pytest.fixture(scope="session")
def ntkng_seeds(request: pytest.FixtureRequest) -> int:
    """The value of `--ntkng-seeds`."""
    return int(request.config.getoption("--ntkng-seeds"))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def ntkng_problem_of_width() -> Callable[[int], Problem]:
    """`width -> Problem`: `ntkng.testing.small_problem`, a three-layer erf network with biases and 2 outputs."""
    from ntkng.testing import small_problem

    return small_problem


@pytest.fixture(scope="session")
def ntkng_problem(ntkng_problem_of_width: Callable[[int], Problem]) -> Problem:
    """The same problem at width 64."""
    return ntkng_problem_of_width(WIDTH)


@pytest.fixture(scope="session")
def ntkng_analytic(ntkng_problem: Problem) -> Kernels:
    """Infinite-width kernels of `ntkng_problem`."""
    import ntkng

    return ntkng.analytic(ntkng_problem.network, ntkng_problem.x, ntkng_problem.x_test)


@pytest.fixture(scope="session")
def ntkng_empirical(ntkng_problem: Problem) -> Kernels:
    """Kernels of one random network of `ntkng_problem`."""
    import jax
    import numpy as np

    import ntkng

    with jax.enable_x64(True):
        parameters = jax.tree.map(np.asarray, ntkng_problem.network.init(jax.random.key(0)))  # NumPy keeps its 64 bits
    return ntkng.empirical(ntkng_problem.network, parameters, ntkng_problem.x, ntkng_problem.x_test)


@pytest.fixture(scope="session")
def ntkng_width_sweep(ntkng_problem_of_width: Callable[[int], Problem], ntkng_seeds: int) -> Callable[..., WidthSweep]:
    """`(fisher, **options) -> WidthSweep` on `ntkng_problem_of_width`, with `--ntkng-seeds` networks; results are kept."""
    from ntkng.testing import width_sweep

    kept: dict[Any, WidthSweep] = {}

    def sweep(fisher: Fisher, **options: Any) -> WidthSweep:
        key = (fisher, tuple(sorted(options.items())))
        if key not in kept:
            kept[key] = width_sweep(ntkng_problem_of_width, fisher, **{"seeds": ntkng_seeds, **options})
        return kept[key]

    return sweep
