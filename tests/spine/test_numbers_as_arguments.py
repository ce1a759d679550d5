"""One checker for every scalar argument: numbers of any type are floats, and nothing else passes for a number."""

import fractions

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkng
from ntkng.function_space_flow import Damped
from ntkng.validation import positive

NO_NUMBERS = ["1e-3", b"1", "", None, True, np.True_, 1j, [0.1], np.array([0.1]), jnp.ones(1), np.array("1"), {}]
FISHERS = [*ntkng.fisher.FISHERS, ntkng.EmpiricalFisher, ntkng.UnitWise]
ZEROS = [0, np.float64(0), np.float32(0), np.int64(0), np.array(0.0), jnp.zeros(()), fractions.Fraction(0)]
NETWORK = ntkng.mlp(4, width=8, depth=2)
X = np.random.default_rng(0).normal(size=(4, 4))
PROBLEM = ntkng.Problem(NETWORK, X, X[:, 0])


@pytest.mark.parametrize("bad", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_named(bad):
    for cls in FISHERS:
        with pytest.raises(TypeError, match="damping"):
            cls(bad)
    with pytest.raises(TypeError, match="sigma_w must be a number"):
        ntkng.mlp(4, sigma_w=bad)
    with pytest.raises(TypeError, match="sigma_b must be a number"):
        ntkng.mlp(4, sigma_b=bad)
    with pytest.raises(TypeError, match="step_size must be a number"):
        ntkng.simulate(PROBLEM, ntkng.Exact(), step_size=bad, steps=1)
    with pytest.raises(TypeError, match="step_size must be a number"):
        ntkng.iterate(PROBLEM, ntkng.Exact(), step_size=bad, steps=1)
    with pytest.raises(TypeError, match="rho must be a number"):
        Damped(bad, np.eye(2))
    if bad is not None:  # which is the default: fastest step, or no bias
        with pytest.raises(TypeError, match="step_size must be a number"):
            ntkng.closed_form(PROBLEM, ntkng.Exact(), step_size=bad, steps=1)
        with pytest.raises(TypeError, match="b_std.* must be a number"):
            ntkng.stax.Dense(3, b_std=bad)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 10**400], ids=["nan", "inf", "-inf", "-1", "huge"])
def test_numbers_out_of_range(bad):
    for cls in FISHERS:
        with pytest.raises(ValueError, match="damping .*must be finite and >= 0"):
            cls(bad)


def test_numbers_of_any_type_are_floats():
    for value in (2, np.float32(2), np.int8(2), np.array(2), jnp.array(2.0), jnp.bfloat16(2), fractions.Fraction(2)):
        assert type(positive("value", value)) is float
        assert ntkng.Exact(value) == ntkng.Exact(2.0)
    assert jax.vmap(lambda rho: ntkng.Exact(rho).damping)(jnp.ones(3)).shape == (3,)  # traced scalars pass
    with pytest.raises(TypeError, match="damping must be a number"):
        jax.jit(lambda rho: ntkng.Exact(rho).damping)(jnp.ones(3))


@pytest.mark.parametrize("zero", ZEROS, ids=lambda zero: type(zero).__name__)
def test_a_zero_of_any_type_is_undamped(zero):
    for cls in FISHERS[:-1]:
        assert not cls(zero).is_damped
        assert jax.tree.structure(cls(zero)) == jax.tree.structure(cls())
        assert cls(zero) == cls()
    assert ntkng.EmpiricalFisher(0.1, of=ntkng.Exact(zero)).is_damped
    with pytest.raises(ValueError, match="without variance"):
        ntkng.UnitWise(zero)
