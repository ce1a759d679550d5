"""The conformance suites: `check_fisher`, `check_network`, `check_kernels`, and pytest's parametrisation of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ntkng.fisher import Fisher
from ntkng.network import Network
from ntkng.report import Claim, Report, merge
from ntkng.testing.conformance import (
    dense_checks,
    interface_checks,
    kernel_checks,
    limit_checks,
    network_checks,
    simulation_checks,
)
from ntkng.testing.conformance.cases import DEPTHS, Case, cases
from ntkng.testing.failure import require

FisherCheck = Callable[[Fisher, tuple[Case, ...]], Report]

FISHER_CHECKS: dict[str, FisherCheck] = {
    check.__name__: check
    for check in (
        interface_checks.interface,
        dense_checks.dense_kernel,
        dense_checks.dense_step,
        dense_checks.step_moves_function,
        interface_checks.symmetric_positive,
        interface_checks.sample_order,
        interface_checks.independent_outputs,
        interface_checks.compiled,
        limit_checks.large_damping,
        limit_checks.small_damping,
        limit_checks.single_sample,
        limit_checks.linear_network,
        limit_checks.isotropic,
        dense_checks.dense_training,
        simulation_checks.small_residual,
        simulation_checks.infinite_width,
    )
}
NETWORK_CHECKS: dict[str, Callable[[Network], Report]] = network_checks.CHECKS
KERNEL_CHECKS: dict[str, Callable[[Any], Report]] = kernel_checks.CHECKS
SLOW = frozenset({"infinite_width", "finite_networks"})


def checks_of(subject: Any, depths: tuple[int, ...] = DEPTHS) -> dict[str, Callable[[], Report]]:
    """The checks that apply to a Fisher approximation (class or instance), a `Network`, or a kernel function.

    Raises:
        TypeError: anything else.
    """
    if isinstance(subject, type) and issubclass(subject, Fisher):
        subject = subject()
    if isinstance(subject, Fisher):
        chosen = cases(depths)
        return {name: functools.partial(check, subject, chosen) for name, check in FISHER_CHECKS.items()}
    if isinstance(subject, Network):
        return {name: functools.partial(check, subject) for name, check in NETWORK_CHECKS.items()}
    if callable(subject):
        return {name: functools.partial(check, subject) for name, check in KERNEL_CHECKS.items()}
    raise TypeError(
        f"expected a Fisher approximation, a ntkng.Network or a kernel function, got {type(subject).__name__}"
    )


def check_fisher(
    fisher: Fisher | type[Fisher],
    *,
    depths: tuple[int, ...] = DEPTHS,
    slow: bool = False,
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Run every check on a Fisher approximation, without and with damping.

    Args:
        fisher: a class (constructed with its defaults) or an instance.
        depths: of the networks; restrict them for approximations that exist for some depths only.
        slow: also run the statistical check against infinite width (about ten seconds).
        expected_failures: by name of the check, the reason why it cannot hold; an attribute `expected_failures` of the
            class counts as well. A check that is declared and passes fails: declarations must not rot.

    Returns:
        The report of all claims.

    Raises:
        AssertionError: with a table.
    """
    __tracebackhide__ = True
    return _run(fisher, checks_of(fisher, depths), slow, expected_failures)


def check_network(network: Network, *, expected_failures: Mapping[str, str] | None = None) -> Report:
    """Run every check on a network: its tags against plain automatic differentiation, at both widths."""
    __tracebackhide__ = True
    return _run(network, checks_of(network), False, expected_failures)


def check_kernels(
    kernels: Callable[..., Any], *, slow: bool = False, expected_failures: Mapping[str, str] | None = None
) -> Report:
    """Run every check on a kernel function `(network, x, x_test) -> Kernels` such as `ntkng.analytic`."""
    __tracebackhide__ = True
    return _run(kernels, checks_of(kernels), slow, expected_failures)


def parametrize_with_checks(
    subjects: Iterable[Any],
    *,
    depths: tuple[int, ...] = DEPTHS,
    slow: bool = True,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:
    """Decorate a pytest function with arguments `subject` and `check`: one test for each subject and check.

        @parametrize_with_checks([MyFisher(), MyFisher(damping=0.1)])
        def test_conformance(subject, check):
            check()

    Slow checks carry the marker `ntkng_slow` (see `pytest_ntkng`); declared failures are strict `xfail`.
    """
    import pytest  # only where tests run

    parameters = []
    for subject in subjects:
        declared = _declared(subject, expected_failures)
        for name, check in checks_of(subject, depths).items():
            if name in SLOW and not slow:
                continue
            marks = [pytest.mark.ntkng_slow] if name in SLOW else []
            if name in declared:
                marks.append(pytest.mark.xfail(reason=declared[name], strict=True, raises=AssertionError))
            run = functools.partial(_require, check)
            parameters.append(pytest.param(subject, run, marks=marks, id=f"{_name(subject)}-{name}"))
    return pytest.mark.parametrize(("subject", "check"), parameters)


def _require(check: Callable[[], Report]) -> Report:
    __tracebackhide__ = True
    return require(check())


def _run(subject: Any, checks: Mapping[str, Callable[[], Report]], slow: bool, expected: Any) -> Report:
    __tracebackhide__ = True
    declared = _declared(subject, expected)
    unknown = set(declared) - set(checks)
    if unknown:
        raise ValueError(f"expected_failures names unknown checks {sorted(unknown)}; there are {sorted(checks)}")
    reports = []
    for name, check in checks.items():
        if name in SLOW and not slow:
            continue
        report = check().prefixed(name)
        if name in declared:
            note = f"declared as an expected failure ({declared[name]}), but it holds: remove the declaration"
            claim = Claim.holds(
                f"{name}/expected failure", not report, f"fails as declared: {declared[name]}", note=note
            )
            report = Report(report.title, (claim,))
        reports.append(report)
    return require(merge(f"conformance of {_name(subject)}", reports))


def _declared(subject: Any, expected: Mapping[str, str] | None) -> dict[str, str]:
    if isinstance(subject, type) and issubclass(subject, Fisher):
        subject = subject()  # what is declared may depend on the fields
    return {**getattr(subject, "expected_failures", {}), **(expected or {})}


def _name(subject: Any) -> str:
    if isinstance(subject, type) or (callable(subject) and hasattr(subject, "__name__")):
        return subject.__name__
    return repr(subject).replace(" ", "")
