"""Conformance suites for users' own Fisher approximations, networks and kernel functions."""

from ntkng.testing.conformance.suite import check_fisher as check_fisher
from ntkng.testing.conformance.suite import check_kernels as check_kernels
from ntkng.testing.conformance.suite import check_network as check_network
from ntkng.testing.conformance.suite import parametrize_with_checks as parametrize_with_checks
