"""Random numbers are the CPU's: the same seed draws the same ones on every device."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad.testing.device_conformance.comparing import on_both, require

SMOKE = pytest.param("float32", marks=pytest.mark.smoke)
FLOATS = ["float16", "bfloat16", SMOKE, "float64", "complex64", "complex128"]


@pytest.mark.parametrize("name", FLOATS)
def test_uniform_numbers(name, device):
    dtype = getattr(tensorgrad, name)
    require(device, dtype)
    cpu, other = on_both(lambda d: tensorgrad.rand(7, 191, dtype=dtype, device=d), device)
    np.testing.assert_array_equal(other, cpu)


@pytest.mark.parametrize("name", FLOATS)
def test_normal_numbers(name, device):
    dtype = getattr(tensorgrad, name)
    require(device, dtype)
    cpu, other = on_both(lambda d: tensorgrad.randn(7, 191, dtype=dtype, device=d), device)
    # a half may fall on the other side of a rounding
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2}.get(name, 2e-6)
    np.testing.assert_allclose(other, cpu, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["uint8", "int32", "int64", SMOKE, "bool"])
def test_integers(name, device):
    top = 2 if name == "bool" else 117
    cpu, other = on_both(
        lambda d: tensorgrad.randint(0, top, (5, 77), dtype=getattr(tensorgrad, name), device=d), device
    )
    np.testing.assert_array_equal(other, cpu)


@pytest.mark.parametrize(
    "draw",
    [
        lambda d: tensorgrad.empty(999, device=d).bernoulli_(0.3),
        lambda d: tensorgrad.randperm(500, device=d),
        lambda d: tensorgrad.empty(40, 30, device=d).t().uniform_(-2, 5),
        lambda d: tensorgrad.empty(5, device=d).random_(),
        lambda d: tensorgrad.empty(2, 3, dtype=tensorgrad.int64, device=d)[:, 1:].random_(-(2**40), 2**40),
        lambda d: tensorgrad.dropout(tensorgrad.ones(333, device=d), 0.25, True),
    ],
)
def test_what_else_is_drawn(draw, device):
    cpu, other = on_both(draw, device)
    np.testing.assert_array_equal(other, cpu)


def test_exponential_numbers(device):
    cpu, other = on_both(lambda d: tensorgrad.empty(333, device=d).exponential_(2.0), device)
    np.testing.assert_allclose(other, cpu, rtol=2e-6)


@pytest.mark.smoke
def test_the_stream_goes_on(device):
    """Draws follow each other, on the device as on the CPU, and a state brings them back."""
    tensorgrad.manual_seed(5)
    cpu = [tensorgrad.rand(3).tolist(), tensorgrad.rand(3).tolist()]
    tensorgrad.manual_seed(5)
    first = tensorgrad.rand(3, device=device).tolist()
    state = tensorgrad.get_rng_state()
    second = tensorgrad.rand(3, device=device).tolist()
    assert [first, second] == cpu and first != second
    tensorgrad.set_rng_state(state)
    assert tensorgrad.rand(3, device=device).tolist() == second
    generator = tensorgrad.Generator()
    generator.manual_seed(5)
    assert tensorgrad.empty(3, device=device).uniform_(generator=generator).tolist() == first
